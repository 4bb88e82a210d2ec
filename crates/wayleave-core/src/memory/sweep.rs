//! Removing what has ended, a little at a time, and counting what has not.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use hashbrown::HashMap;

use super::intern::KindRef;
use super::{MemoryStore, SHARDS};
use crate::policy::KindName;
use crate::ports::{Census, Rotation, StoreError, Swept};
use crate::time::Timestamp;

/// Most places that one sweep looks at.
const MOST_PLACES: u32 = 65_536;
/// Most records that are removed, and most places that are looked at, before the lock is let go.
const STRIDE_RECORDS: u32 = 64;
const STRIDE_PLACES: u32 = 2048;

impl MemoryStore {
    pub(super) fn sweep_now(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        let mut records = 0;
        let mut places = MOST_PLACES;
        let first = self.sweep_from.load(Ordering::Relaxed);
        let mut shards = (first..first + SHARDS).map(|place| place % SHARDS);
        let stopped_at = shards.find_map(|place| {
            let shard = self.shards.get(place)?;
            while shard.read().may_hold_ended(before) {
                if records == most || places == 0 {
                    return Some(place);
                }
                let mut shard = shard.write();
                let interned = &mut *self.interned.write();
                let stride =
                    shard.sweep(before, STRIDE_RECORDS.min(most - records), STRIDE_PLACES.min(places), interned);
                records += stride.removed;
                places -= stride.looked_at.clamp(1, places);
            }
            None
        });
        if let Some(place) = stopped_at {
            self.sweep_from.store(place, Ordering::Relaxed);
        }
        let mut tickets = self.tickets.lock();
        let removed = tickets.sweep(|expires_at| expires_at < before, most);
        let more = stopped_at.is_some() || tickets.first_expiry().is_some_and(|expires_at| expires_at < before);
        Ok(Swept { records, tickets: removed, more })
    }

    /// Oldest first within a shard, and the shards one after another: which pairs go first matters to nobody who asks
    /// until none is left.
    pub(super) fn erase_pairs_now(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        let window = before..Rotation::closed_from(before);
        let mut erased = 0;
        for shard in &self.shards {
            while erased < most {
                let stride = usize::try_from(STRIDE_RECORDS.min(most - erased)).unwrap_or(usize::MAX);
                if shard.read().sealed_outside(&window, 1).is_empty() {
                    break;
                }
                let mut shard = shard.write();
                let interned = &mut *self.interned.write();
                for at in shard.sealed_outside(&window, stride) {
                    shard.erase_pair(at, interned)?;
                    erased += 1;
                }
            }
        }
        Ok(erased)
    }

    pub(super) fn census_now(&self, now: Timestamp) -> Census {
        let mut live: HashMap<KindRef, u64> = HashMap::new();
        let mut ended = 0;
        for shard in &self.shards {
            for (_, held) in shard.read().iter_from(0) {
                if now < held.ends_at() {
                    *live.entry(held.kind()).or_default() += 1;
                } else {
                    ended += 1;
                }
            }
        }
        let interned = self.interned.read();
        let mut by_name: BTreeMap<KindName, u64> = BTreeMap::new();
        for (kind, count) in live {
            // One kind is known by several numbers when its ids had several prefixes.
            if let Some((name, _)) = interned.kinds.get(kind) {
                *by_name.entry(name.clone()).or_default() += count;
            }
        }
        Census { live: by_name.into_iter().collect(), ended }
    }
}
