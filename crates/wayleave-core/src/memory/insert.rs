//! Taking a record in: the concurrency limit, the replaced session and the store's own bound, in one step.

use std::sync::atomic::Ordering;

use super::MemoryStore;
use super::intern::Interned;
use super::packed::Packed;
use super::shard::{Books, Shard};
use crate::id::SessionId;
use crate::policy::AtLimit;
use crate::ports::{Gone, Insert, InsertLimit, StoreError};
use crate::record::Record;
use crate::subject::Subject;
use crate::time::Timestamp;

impl MemoryStore {
    pub(super) fn insert_now(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<&SessionId>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        if !record.client.fits() {
            return Err(StoreError::Full);
        }
        let home = Self::place(record.slot);
        // Ids never move, so one that is seen in a shard before the locks are taken can only be gone afterwards.
        let away = replaces.and_then(|id| self.shards.iter().position(|shard| shard.read().slot_of(id).is_some()));
        let (mut here, mut there) = self.lock_two(home, away)?;
        let interned = &mut *self.interned.write();
        if here.collides(record) {
            return Ok(Insert::Exists);
        }
        let in_shard = |shard: &Shard, id: &SessionId| shard.by_id(shard.slot_of(id)?, id, interned);
        let replaced_here = replaces.and_then(|id| in_shard(&here, id));
        let replaced_there = replaces.and_then(|id| in_shard(there.as_deref()?, id));
        let to_evict = match (limit, &record.subject) {
            (Some(limit), Some(subject)) => {
                let rivals = rivals(&here, record, subject, interned, now);
                over_limit(&here, rivals.filter(|at| Some(*at) != replaced_here).collect(), limit)
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
        Ok(Insert::Done { replaced, evicted })
    }

    fn reserve_record(&self, shard: &mut Shard, now: Timestamp, interned: &mut Interned) -> bool {
        let reserve = || Books::reserve(&self.books.records, self.options.most_records);
        reserve() || (shard.drop_ended(now, interned) && reserve())
    }
}

/// The subject's live records of the same kind.
fn rivals<'a>(
    shard: &'a Shard,
    record: &'a Record,
    subject: &'a Subject,
    interned: &'a Interned,
    now: Timestamp,
) -> impl Iterator<Item = u32> + 'a {
    shard.of_subject(record.slot, subject).filter(move |at| {
        shard.get(*at).is_some_and(|held| {
            let same_kind = interned.kinds.get(held.kind()).is_some_and(|(kind, _)| *kind == record.kind);
            same_kind && now < held.ends_at()
        })
    })
}

/// Those who must go for one more to come; `None` when it is the one more who must not come.
fn over_limit(shard: &Shard, mut rivals: Vec<u32>, limit: InsertLimit) -> Option<Vec<u32>> {
    let InsertLimit { most, at_limit } = limit;
    let most_others = usize::try_from(most.checked_sub(1)?).unwrap_or(usize::MAX);
    let Some(over) = rivals.len().checked_sub(most_others).filter(|over| *over > 0) else {
        return Some(Vec::new());
    };
    match at_limit {
        AtLimit::Refuse => return None,
        AtLimit::EvictOldest => {
            rivals.sort_by_cached_key(|at| shard.get(*at).map(|held| (held.created_at(), *held.id())));
        }
        AtLimit::EvictLeastRecentlySeen => rivals
            .sort_by_cached_key(|at| shard.get(*at).map(|held| (held.last_seen_at(), held.created_at(), *held.id()))),
    }
    rivals.truncate(over);
    Some(rivals)
}
