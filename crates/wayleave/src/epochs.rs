//! Counts what judgements rest on, so that a judgement of an older state is noticed: the rules, and how subjects stand.

use std::sync::atomic::{AtomicU64, Ordering};

use wayleave_core::id::Slot;

const SHARDS: usize = 256;

/// One count for all slots and one for every shard of them, so that what happens to one subject does not make every
/// session be judged anew.
pub(crate) struct Epochs {
    all: AtomicU64,
    shards: [AtomicU64; SHARDS],
}

impl Epochs {
    /// The epoch of a slot. Both counts only grow, so their sum is the same only while both are.
    pub(crate) fn of(&self, slot: Slot) -> u64 {
        let shard = self.shards.get(usize::from(slot.0) % SHARDS);
        self.all.load(Ordering::Acquire) + shard.map_or(0, |count| count.load(Ordering::Acquire))
    }

    /// To be called after what concerns one slot has changed.
    pub(crate) fn advance(&self, slot: Slot) {
        if let Some(count) = self.shards.get(usize::from(slot.0) % SHARDS) {
            count.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// To be called after what concerns all of them has changed.
    pub(crate) fn advance_all(&self) {
        self.all.fetch_add(1, Ordering::AcqRel);
    }
}

impl Default for Epochs {
    fn default() -> Self {
        Self { all: AtomicU64::new(0), shards: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_moves_with_its_own_and_with_all() {
        let epochs = Epochs::default();
        let (one, other) = (Slot(1), Slot(2));
        let before = (epochs.of(one), epochs.of(other));
        epochs.advance(one);
        assert_ne!(epochs.of(one), before.0);
        assert_eq!(epochs.of(other), before.1);
        epochs.advance_all();
        assert_ne!(epochs.of(other), before.1);
    }
}
