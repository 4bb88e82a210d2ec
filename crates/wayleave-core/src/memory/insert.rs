//! Taking a record in: the concurrency limit, the replaced session and the store's own bound, in one step.

use std::sync::atomic::Ordering;

use super::MemoryStore;
use super::intern::Interned;
use super::packed::Packed;
use super::shard::{Books, Shard};
use crate::policy::AtLimit;
use crate::ports::{Gone, Insert, InsertLimit, Replaces, StoreError};
use crate::record::Record;
use crate::subject::Subject;
use crate::time::Timestamp;

impl MemoryStore {
    pub(super) fn insert_now(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        if !record.fits() {
            return Err(StoreError::Full);
        }
        let home = Self::place(record.slot);
        // Ids never move, so one that is seen in a shard before the locks are taken can only be gone afterwards.
        let away = replaces
            .and_then(|Replaces { id, .. }| self.shards.iter().position(|shard| shard.read().slot_of(&id).is_some()));
        let (mut here, mut there) = self.lock_two(home, away)?;
        let interned = &mut *self.interned.write();
        let in_shard = |shard: &Shard, Replaces { id, .. }| shard.by_id(shard.slot_of(&id)?, &id, interned);
        let replaced_here = replaces.and_then(|replaces| in_shard(&here, replaces));
        let replaced_there = replaces.and_then(|replaces| in_shard(there.as_deref()?, replaces));
        if let Some(Replaces { id: _, expected: Some(expected) }) = replaces {
            let held = match (replaced_here, replaced_there, there.as_deref()) {
                (Some(at), _, _) => Some(here.unpack(at, interned)?),
                (None, Some(at), Some(there)) => Some(there.unpack(at, interned)?),
                (None, Some(_) | None, _) => None,
            };
            if held.is_none_or(|held| held.revision != expected) {
                return Ok(Insert::Conflict);
            }
        }
        if here.collides(record) {
            return Ok(Insert::Exists);
        }
        let mut marked = false;
        let to_evict = match (limit, &record.subject) {
            (Some(limit), Some(subject)) => {
                let (ended, mut live) = rivals(&here, record, subject, interned, now);
                marked = !ended.is_empty();
                for at in ended {
                    let held = here.unpack(at, interned)?.found_expired(now);
                    here.replace(at, Packed::new(&held, interned)?, interned);
                }
                live.retain(|at| Some(*at) != replaced_here);
                over_limit(&here, live, limit, now)
            }
            (Some(_), None) | (None, _) => Some(Vec::new()),
        };
        let mut end_replaced = |here: &mut Shard, interned: &mut Interned| -> Option<Gone> {
            match (replaced_here, replaced_there, there.as_deref_mut()) {
                (Some(at), _, _) => here.end(at, interned),
                (None, Some(at), Some(there)) => there.end(at, interned),
                (None, Some(_) | None, _) => None,
            }
        };
        let Some(to_evict) = to_evict else {
            end_replaced(&mut here, interned);
            return Ok(Insert::Refused);
        };
        let makes_room = replaced_here.is_some() || replaced_there.is_some() || !to_evict.is_empty();
        if makes_room {
            // Whoever goes below makes up for it, under the same lock.
            self.books.records.fetch_add(1, Ordering::Relaxed);
        } else if !self.reserve_record(&mut here, now, interned) {
            return Err(StoreError::Full);
        }
        let added = Packed::new(record, interned).and_then(|packed| here.add(packed).ok_or(StoreError::Full));
        if let Err(error) = added {
            self.books.records.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        // Only now, so that a family that goes on in the new record keeps its spent tokens.
        let replaced = end_replaced(&mut here, interned);
        let evicted = to_evict.into_iter().filter_map(|at| here.end(at, interned)).collect();
        Ok(Insert::Done { replaced, evicted, marked })
    }

    fn reserve_record(&self, shard: &mut Shard, now: Timestamp, interned: &mut Interned) -> bool {
        let reserve = || Books::reserve(&self.books.records, self.options.most_records);
        reserve() || (shard.drop_ended(now, interned) && reserve())
    }
}

/// The subject's records of the same kind: those that have ended without being marked so, and those that live.
fn rivals(
    shard: &Shard,
    record: &Record,
    subject: &Subject,
    interned: &Interned,
    now: Timestamp,
) -> (Vec<u32>, Vec<u32>) {
    let of_kind = |held: &Packed| interned.kinds.get(held.kind()).is_some_and(|(kind, _)| *kind == record.kind);
    let held = shard.of_subject(record.slot, subject).filter_map(|at| Some((at, shard.get(at)?)));
    let (mut ended, mut live) = (Vec::new(), Vec::new());
    for (at, held) in held.filter(|(_, held)| of_kind(held)) {
        if !held.has_ended(now) {
            live.push(at);
        } else if !held.was_found_expired() {
            ended.push(at);
        }
    }
    (ended, live)
}

/// Those who must go for one more to come; `None` when it is the one more who must not come. What was opened in the
/// future goes first, and even where nobody else does.
fn over_limit(shard: &Shard, mut rivals: Vec<u32>, limit: InsertLimit, now: Timestamp) -> Option<Vec<u32>> {
    let InsertLimit { most, at_limit } = limit;
    let most_others = usize::try_from(most.checked_sub(1)?).unwrap_or(usize::MAX);
    let Some(over) = rivals.len().checked_sub(most_others).filter(|over| *over > 0) else {
        return Some(Vec::new());
    };
    let is_settled = |at: &u32| shard.get(*at).is_some_and(|held| !held.was_opened_ahead(now));
    match at_limit {
        AtLimit::Refuse if rivals.iter().filter(|at| is_settled(at)).count() > most_others => return None,
        AtLimit::Refuse | AtLimit::EvictOldest => {
            rivals.sort_by_cached_key(|at| (is_settled(at), shard.get(*at).map(|held| (held.created_at(), *held.id()))))
        }
        AtLimit::EvictLeastRecentlySeen => rivals.sort_by_cached_key(|at| {
            (is_settled(at), shard.get(*at).map(|held| (held.last_seen_at(), held.created_at(), *held.id())))
        }),
    }
    rivals.truncate(over);
    Some(rivals)
}
