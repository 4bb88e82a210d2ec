//! A bounded cache that never serves what was invalidated: a fill that raced with an invalidation is dropped.
//!
//! Every slot belongs to one of a fixed number of shards, and every shard counts its invalidations. A reader notes the
//! count before it asks the store and hands it in with the value; if the count has moved, the value is not kept. Count
//! and insertion share one lock, so no stale value is ever visible once [`Coherent::forget`] has returned.
//!
//! A whole slot is forgotten by counting: every value remembers the count of its slot from when it came in, and is no
//! longer found once that has moved. So it costs the same whatever the cache holds.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use wayleave_core::id::Slot;

/// So many that changes of different subjects at the same time seldom drop each other's fills.
const SHARDS: usize = 1024;
/// Slots that share a count are forgotten together, which costs the others a question to the store. With one for every
/// slot, the counts would push out of the processor's cache what a validation needs.
const COUNTS: usize = 8192;

/// The state of a shard before a read of the store.
#[derive(Copy, Clone)]
pub(crate) struct Before {
    slot: Slot,
    shard: usize,
    invalidations: u64,
}

pub(crate) struct Coherent<K, V> {
    entries: Cache<K, Entry<V>>,
    shards: Box<[Mutex<u64>]>,
    /// How often each slot was forgotten as a whole.
    forgotten: Box<[AtomicU64]>,
}

#[derive(Clone)]
struct Entry<V> {
    value: V,
    since: Since,
}

/// A slot, in the upper 16 bits, and how often it had been forgotten when a value came in.
#[derive(Copy, Clone, PartialEq, Eq)]
struct Since(u64);

impl Since {
    const COUNT: u32 = 48;

    fn new(slot: Slot, forgotten: u64) -> Self {
        Self(u64::from(slot.0) << Self::COUNT | forgotten & ((1 << Self::COUNT) - 1))
    }

    fn slot(self) -> Slot {
        Slot(u16::try_from(self.0 >> Self::COUNT).unwrap_or_default())
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Coherent<K, V> {
    /// A cache of at most `capacity` entries; 0 keeps nothing.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Cache::new(capacity),
            shards: (0..SHARDS).map(|_| Mutex::new(0)).collect(),
            forgotten: (0..COUNTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A value, and the slot it belongs to.
    pub(crate) fn find(&self, key: &K) -> Option<(V, Slot)> {
        let Entry { value, since } = self.entries.get(key)?;
        let slot = since.slot();
        (Since::new(slot, self.forgotten(slot)?.load(Ordering::Acquire)) == since).then_some((value, slot))
    }

    /// To be called before the store is read.
    pub(crate) fn before(&self, slot: Slot) -> Before {
        let shard = usize::from(slot.0) % SHARDS;
        Before { slot, shard, invalidations: self.shards.get(shard).map_or(0, |count| *count.lock()) }
    }

    /// Keeps what the store answered, unless something of the shard was invalidated since `before`.
    pub(crate) fn fill(&self, before: Before, key: K, value: V) {
        if let Some(count) = self.shards.get(before.shard) {
            let count = count.lock();
            if *count == before.invalidations
                && let Some(forgotten) = self.forgotten(before.slot)
            {
                let since = Since::new(before.slot, forgotten.load(Ordering::Acquire));
                self.entries.insert(key, Entry { value, since });
            }
        }
    }

    /// Drops `keys`, and every fill of their shard that is under way.
    pub(crate) fn forget(&self, slot: Slot, keys: impl IntoIterator<Item = K>) {
        self.invalidate(slot, None, || self.remove(keys));
    }

    /// As [`Self::forget`], by the very change whose outcome `own` is waiting to keep: that fill stays good, if it was.
    pub(crate) fn forget_by(&self, own: &mut Before, slot: Slot, keys: impl IntoIterator<Item = K>) {
        self.invalidate(slot, Some(own), || self.remove(keys));
    }

    /// Drops every value of the slot, and every fill of its shard that is under way.
    pub(crate) fn forget_slot(&self, slot: Slot) {
        self.invalidate(slot, None, || self.remove_slot(slot));
    }

    /// As [`Self::forget_slot`], in the way of [`Self::forget_by`].
    pub(crate) fn forget_slot_by(&self, own: &mut Before, slot: Slot) {
        self.invalidate(slot, Some(own), || self.remove_slot(slot));
    }

    /// Drops everything, fills under way included.
    pub(crate) fn forget_all(&self) {
        let mut held: Vec<_> = self.shards.iter().map(Mutex::lock).collect();
        for count in &mut held {
            **count += 1;
        }
        self.entries.clear();
    }

    /// How many values are kept, with those that are no longer found and not yet replaced.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn invalidate(&self, slot: Slot, own: Option<&mut Before>, remove: impl FnOnce()) {
        let shard = usize::from(slot.0) % SHARDS;
        if let Some(count) = self.shards.get(shard) {
            let mut count = count.lock();
            if let Some(own) = own
                && own.shard == shard
                && own.invalidations == *count
            {
                own.invalidations += 1;
            }
            *count += 1;
            remove();
        }
    }

    fn remove(&self, keys: impl IntoIterator<Item = K>) {
        for key in keys {
            self.entries.remove(&key);
        }
    }

    fn remove_slot(&self, slot: Slot) {
        if let Some(forgotten) = self.forgotten(slot) {
            forgotten.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn forgotten(&self, slot: Slot) -> Option<&AtomicU64> {
        self.forgotten.get(usize::from(slot.0) % COUNTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cache: &Coherent<&'static str, u32>, key: &&'static str) -> Option<u32> {
        cache.find(key).map(|(value, _)| value)
    }

    #[test]
    fn a_fill_that_raced_with_an_invalidation_is_dropped() {
        let cache = Coherent::new(10);
        let slot = Slot(3);
        let before = cache.before(slot);
        cache.forget(slot, ["a"]);
        cache.fill(before, "a", 1);
        assert_eq!(found(&cache, &"a"), None);
        let before = cache.before(slot);
        cache.forget(Slot(4), ["b"]);
        cache.fill(before, "a", 2);
        assert_eq!(found(&cache, &"a"), Some(2));
        let before = cache.before(slot);
        cache.forget_all();
        cache.fill(before, "a", 3);
        assert_eq!(found(&cache, &"a"), None);
    }

    #[test]
    fn a_slot_goes_as_a_whole_and_fills_under_way_with_it() {
        let cache = Coherent::new(10);
        let (slot, other) = (Slot(3), Slot(4));
        cache.fill(cache.before(slot), "a", 1);
        cache.fill(cache.before(other), "b", 2);
        let before = cache.before(slot);
        cache.forget_slot(slot);
        cache.fill(before, "c", 1);
        assert_eq!((found(&cache, &"a"), found(&cache, &"b"), found(&cache, &"c")), (None, Some(2), None));
        cache.fill(cache.before(slot), "a", 3);
        assert_eq!(found(&cache, &"a"), Some(3));
    }

    #[test]
    fn a_change_may_keep_its_own_outcome_but_not_past_what_others_invalidate() {
        let cache = Coherent::new(10);
        let (slot, elsewhere) = (Slot(3), Slot(4));
        cache.fill(cache.before(slot), "old", 1);
        let mut own = cache.before(slot);
        cache.forget_slot_by(&mut own, slot);
        cache.forget_by(&mut own, slot, ["older"]);
        cache.forget_by(&mut own, elsewhere, ["b"]);
        cache.fill(own, "new", 2);
        assert_eq!((found(&cache, &"old"), found(&cache, &"new")), (None, Some(2)));
        let mut own = cache.before(slot);
        cache.forget(slot, ["another's"]);
        cache.forget_slot_by(&mut own, slot);
        cache.forget_by(&mut own, slot, ["older"]);
        cache.fill(own, "newer", 3);
        assert_eq!(found(&cache, &"newer"), None);
        let mut own = cache.before(slot);
        cache.forget_all();
        cache.forget_by(&mut own, slot, ["older"]);
        cache.fill(own, "newest", 4);
        assert_eq!(found(&cache, &"newest"), None);
    }

    #[test]
    fn a_cache_without_capacity_keeps_nothing() {
        let cache = Coherent::new(0);
        cache.fill(cache.before(Slot(3)), "a", 1);
        assert_eq!((found(&cache, &"a"), cache.len()), (None, 0));
    }
}
