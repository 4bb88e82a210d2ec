//! The exchange of refresh tokens.

use std::sync::Arc;

use super::MemoryStore;
use super::intern::Interned;
use super::lineage::Family;
use super::packed::Packed;
use super::shard::{Books, Presented, Shard};
use crate::ports::{Rotate, Rotation, StoreError};
use crate::record::{Activity, LastRotation, Record, Refresh};
use crate::refresh::{Verdict, judge};
use crate::time::Timestamp;
use crate::token::TokenKey;

impl MemoryStore {
    pub(super) fn rotate_now(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        let Rotation { presented, next: _, token_expires_at: _, activity: _, client, window, now } = rotation;
        let mut shard = self.shard(presented.slot)?.write();
        let interned = &mut *self.interned.write();
        let Some(at) = holder(&shard, *presented, interned)? else {
            return Ok(Rotate::Unknown);
        };
        let record = shard.unpack(at, interned)?;
        let family = Family { slot: record.slot, id: record.family };
        match judge(&record, presented.hash, *client, *now, *window) {
            Verdict::Rotate => {
                let previous = record.token;
                let record = rotated(record, rotation);
                if shard.pair_collides(presented.slot, &rotation.next.token, &rotation.next.refresh) {
                    return Err(StoreError::Unavailable(None));
                }
                if shard.spending_grows(family) && !self.reserve_spent(&mut shard, *now, interned) {
                    return Err(StoreError::Full);
                }
                // Its kind is known already, so packing cannot fail after the reservation.
                let packed = Packed::new(&record, interned)?;
                shard.rotate(at, packed, presented.hash, interned);
                Ok(Rotate::Done { record: Arc::new(record), previous })
            }
            Verdict::Repeat => {
                let last = record.last_rotation();
                let sealed_pair = last.map(|last| last.sealed_pair.clone()).ok_or(StoreError::Corrupt(None))?;
                Ok(Rotate::Repeat { record: Arc::new(record), sealed_pair })
            }
            Verdict::Reuse => {
                let ending: Vec<u32> = shard.of_family(family).collect();
                Ok(Rotate::Reuse(ending.into_iter().filter_map(|at| shard.end(at, interned)).collect()))
            }
            Verdict::Expired(limit) => Ok(Rotate::Expired(Arc::new(record), limit)),
        }
    }

    fn reserve_spent(&self, shard: &mut Shard, now: Timestamp, interned: &mut Interned) -> bool {
        let reserve = || Books::reserve(&self.books.spent_tokens, self.options.most_spent_tokens);
        reserve() || (shard.drop_ended(now, interned) && reserve())
    }
}

/// The record that a refresh token leads to: the one whose current token it is, else the one of its family that it was
/// exchanged for last, else any that its family has become.
pub(super) fn holder(shard: &Shard, key: TokenKey, interned: &Interned) -> Result<Option<u32>, StoreError> {
    let family = match shard.by_refresh(key) {
        Some(Presented::Current(at)) => return Ok(Some(at)),
        Some(Presented::Spent(family)) => family,
        None => return Ok(None),
    };
    let mut best = None;
    for at in shard.of_family(family) {
        let record = shard.unpack(at, interned)?;
        let last = record.last_rotation();
        let exchanged = last.is_some_and(|last| last.predecessor == key.hash);
        best = best.max(Some((exchanged, record.created_at, at)));
    }
    Ok(best.map(|(_, _, at)| at))
}

fn rotated(record: Record, rotation: &Rotation) -> Record {
    let Rotation { presented, next, token_expires_at, activity, client, window: _, now } = rotation;
    let generation = record.refresh.as_ref().map_or(0, |refresh| refresh.generation).saturating_add(1);
    let last =
        LastRotation { predecessor: presented.hash, at: *now, client: *client, sealed_pair: next.sealed.clone() };
    let Activity { seen_at, idle_expires_at } = record.activity().moved_forward(*activity);
    Record {
        token: next.token,
        last_seen_at: seen_at,
        idle_expires_at,
        token_expires_at: (*token_expires_at).min(record.absolute_expires_at),
        refresh: Some(Refresh { current: next.refresh, generation, last: Some(last) }),
        revision: record.revision.next(),
        ..record
    }
}
