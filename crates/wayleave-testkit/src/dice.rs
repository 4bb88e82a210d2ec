//! Chance that a seed determines.

use std::time::Duration;

use parking_lot::Mutex;
use wayleave_core::ports::Entropy as _;

use crate::entropy::SeededEntropy;

/// Draws numbers. The same seed and the same questions give the same answers.
#[derive(Debug)]
pub struct Dice {
    entropy: SeededEntropy,
    /// Of a draw and its use, nothing else comes in between.
    turn: Mutex<()>,
}

impl Dice {
    /// Dice for `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { entropy: SeededEntropy::new(seed), turn: Mutex::new(()) }
    }

    /// Any number.
    #[must_use]
    pub fn any(&self) -> u64 {
        let _turn = self.turn.lock();
        let mut bytes = [0; 8];
        // Seeded entropy fails only when it is told to.
        let _ = self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `end`; 0 for 0.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        self.any().checked_rem(end).unwrap_or(0)
    }

    /// Yes, in `percent` of 100 cases.
    #[must_use]
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`.
    pub fn one<'a, T>(&self, choices: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(choices.len()).unwrap_or(u64::MAX));
        choices.get(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// A length of time up to `most`, in whole microseconds.
    #[must_use]
    pub fn up_to(&self, most: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX).saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_every_throw() {
        let throws = |seed| {
            let dice = Dice::new(seed);
            (0..50).map(|_| dice.below(6)).collect::<Vec<_>>()
        };
        assert_eq!(throws(1), throws(1));
        assert_ne!(throws(1), throws(2));
        assert!(throws(3).iter().all(|throw| *throw < 6) && (0..6).all(|face| throws(3).contains(&face)));
    }

    #[test]
    fn nothing_to_choose_from_is_no_choice() {
        let dice = Dice::new(1);
        assert_eq!((dice.one::<u8>(&[]), dice.below(0)), (None, 0));
        assert!(dice.chance(100) && !dice.chance(0));
        assert!(dice.up_to(Duration::from_millis(3)) <= Duration::from_millis(3));
    }
}
