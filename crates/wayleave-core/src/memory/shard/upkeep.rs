//! What is done to a shard besides requests: removing what has ended, and erasing pairs whose window has closed.

use std::ops::Range;
use std::time::Duration;

use super::Shard;
use crate::memory::intern::Interned;
use crate::memory::packed::Packed;
use crate::ports::StoreError;
use crate::time::Timestamp;

/// Most ended records that make room for a new one at once.
const DROPPED_AT_ONCE: u32 = 1024;

/// Where a sweep through the slab stands.
pub(super) struct Round {
    /// No record of the shard ends before this.
    earliest: Timestamp,
    /// Where the round goes on.
    position: u32,
    /// No record that this round passed, or that came in since it began, ends before this.
    passed: Timestamp,
}

impl Default for Round {
    fn default() -> Self {
        Self { earliest: Timestamp::MAX, position: 0, passed: Timestamp::MAX }
    }
}

/// What one stride of a sweep did.
pub(in crate::memory) struct Stride {
    pub(in crate::memory) removed: u32,
    pub(in crate::memory) looked_at: u32,
}

impl Shard {
    /// Remembers that some record now ends at `time`.
    pub(in crate::memory) fn ends(&mut self, time: Timestamp) {
        self.round.earliest = self.round.earliest.min(time);
        self.round.passed = self.round.passed.min(time);
    }

    /// Whether something here may have ended before `before`.
    pub(in crate::memory) fn may_hold_ended(&self, before: Timestamp) -> bool {
        self.round.earliest < before
    }

    /// Goes on with the round through the shard: looks at no more than `look_at` slots and removes no more than
    /// `most` records that ended before `before`.
    pub(in crate::memory) fn sweep(
        &mut self,
        before: Timestamp,
        most: u32,
        look_at: u32,
        interned: &mut Interned,
    ) -> Stride {
        let from = self.round.position;
        if from == 0 {
            self.round.passed = Timestamp::MAX;
        }
        let last = from.saturating_add(look_at).min(self.records.end());
        let mut removed = 0;
        let mut at = from;
        while at < last && removed < most {
            match self.records.get(at).map(Packed::ends_at) {
                Some(ends_at) if ends_at < before => {
                    self.remove(at, interned);
                    removed += 1;
                }
                Some(ends_at) => self.round.passed = self.round.passed.min(ends_at),
                None => {}
            }
            at += 1;
        }
        if at >= self.records.end() {
            self.round = Round { earliest: self.round.passed, ..Round::default() };
        } else {
            self.round.position = at;
        }
        Stride { removed, looked_at: at.saturating_sub(from) }
    }

    /// Removes some of what ended by `now`, wherever it is. Says whether there was anything.
    pub(in crate::memory) fn drop_ended(&mut self, now: Timestamp, interned: &mut Interned) -> bool {
        let before = now.plus(Duration::from_millis(1));
        // The first round may have begun behind what there is to find.
        (0..2)
            .any(|_| self.may_hold_ended(before) && self.sweep(before, DROPPED_AT_ONCE, u32::MAX, interned).removed > 0)
    }

    /// Up to `most` records whose pair was sealed outside `window`: the oldest first, then those of a clock that was
    /// ahead.
    pub(in crate::memory) fn sealed_outside(&self, window: &Range<Timestamp>, most: usize) -> Vec<u32> {
        let before = self.sealed.range(..(window.start, 0));
        let ahead = self.sealed.range((window.end, 0)..);
        before.chain(ahead).take(most).map(|(_, at)| *at).collect()
    }

    /// Erases the pair of a record.
    pub(in crate::memory) fn erase_pair(&mut self, at: u32, interned: &mut Interned) -> Result<(), StoreError> {
        let record = self.unpack(at, interned)?.without_pair();
        let packed = Packed::new(&record, interned)?;
        self.unseal(at);
        self.replace(at, packed, interned);
        Ok(())
    }
}
