//! A bounded cache that never serves what was invalidated: a fill that raced with an invalidation is dropped.
//!
//! Every slot belongs to one of a fixed number of shards, and every shard counts its invalidations. A reader notes the
//! count before it asks the store and hands it in with the value; if the count has moved, the value is not kept. Count
//! and insertion share one lock, so no stale value is ever visible once [`Coherent::forget`] has returned.

use std::hash::Hash;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use wayleave_core::id::Slot;

const SHARDS: usize = 64;

/// The state of a shard before a read of the store.
#[derive(Copy, Clone)]
pub(crate) struct Before {
    shard: usize,
    invalidations: u64,
}

pub(crate) struct Coherent<K, V> {
    entries: Cache<K, V>,
    shards: [Mutex<u64>; SHARDS],
}

impl<K: Eq + Hash + Clone, V: Clone> Coherent<K, V> {
    /// A cache of at most `capacity` entries; 0 keeps nothing.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity), shards: std::array::from_fn(|_| Mutex::new(0)) }
    }

    pub(crate) fn find(&self, key: &K) -> Option<V> {
        self.entries.get(key)
    }

    /// To be called before the store is read.
    pub(crate) fn before(&self, slot: Slot) -> Before {
        let shard = usize::from(slot.0) % SHARDS;
        Before { shard, invalidations: self.shards.get(shard).map_or(0, |count| *count.lock()) }
    }

    /// Keeps what the store answered, unless something of the shard was invalidated since `before`.
    pub(crate) fn fill(&self, before: Before, key: K, value: V) {
        if let Some(count) = self.shards.get(before.shard) {
            let count = count.lock();
            if *count == before.invalidations {
                self.entries.insert(key, value);
            }
        }
    }

    /// Drops `keys`, and every fill of their shard that is under way.
    pub(crate) fn forget(&self, slot: Slot, keys: impl IntoIterator<Item = K>) {
        if let Some(count) = self.shards.get(usize::from(slot.0) % SHARDS) {
            let mut count = count.lock();
            *count += 1;
            for key in keys {
                self.entries.remove(&key);
            }
        }
    }

    /// Drops every value of the slot that is `stale`, and every fill of its shard that is under way. Goes through the
    /// whole cache: for the rare change of which nobody knows what it touched.
    pub(crate) fn forget_where(&self, slot: Slot, stale: impl Fn(&V) -> bool) {
        if let Some(count) = self.shards.get(usize::from(slot.0) % SHARDS) {
            let mut count = count.lock();
            *count += 1;
            self.entries.retain(|_, value| !stale(value));
        }
    }

    /// Drops everything, fills under way included.
    pub(crate) fn forget_all(&self) {
        let mut held: Vec<_> = self.shards.iter().map(Mutex::lock).collect();
        for count in &mut held {
            **count += 1;
        }
        self.entries.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_that_raced_with_an_invalidation_is_dropped() {
        let cache = Coherent::new(10);
        let slot = Slot(3);
        let before = cache.before(slot);
        cache.forget(slot, ["a"]);
        cache.fill(before, "a", 1);
        assert_eq!(cache.find(&"a"), None);
        let before = cache.before(slot);
        cache.forget(Slot(4), ["b"]);
        cache.fill(before, "a", 2);
        assert_eq!(cache.find(&"a"), Some(2));
        let before = cache.before(slot);
        cache.forget_all();
        cache.fill(before, "a", 3);
        assert_eq!(cache.find(&"a"), None);
    }

    #[test]
    fn what_is_stale_goes_and_fills_under_way_with_it() {
        let cache = Coherent::new(10);
        let slot = Slot(3);
        cache.fill(cache.before(slot), "a", 1);
        cache.fill(cache.before(slot), "b", 2);
        let before = cache.before(slot);
        cache.forget_where(slot, |value| *value == 1);
        cache.fill(before, "c", 1);
        assert_eq!((cache.find(&"a"), cache.find(&"b"), cache.find(&"c")), (None, Some(2), None));
    }

    #[test]
    fn a_cache_without_capacity_keeps_nothing() {
        let cache = Coherent::new(0);
        cache.fill(cache.before(Slot(3)), "a", 1);
        assert_eq!((cache.find(&"a"), cache.len()), (None, 0));
    }
}
