//! Entropy that a seed determines, and that can be made to fail.

use parking_lot::Mutex;
use wayleave_core::ports::{Entropy, EntropyFailure};

/// A deterministic generator (SplitMix64). The same seed and the same calls give the same bytes; it is predictable and
/// therefore for tests alone.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<State>);

#[derive(Debug)]
struct State {
    seed: u64,
    fills: u64,
    remaining: Option<u64>,
}

impl SeededEntropy {
    /// A generator for `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(State { seed, fills: 0, remaining: None }))
    }

    /// Lets `calls` more calls succeed and every one after them fail.
    pub fn fail_after(&self, calls: u64) {
        self.0.lock().remaining = Some(calls);
    }

    /// Succeeds again, with the bytes that would have come next.
    pub fn recover(&self) {
        self.0.lock().remaining = None;
    }

    /// How many calls succeeded so far.
    #[must_use]
    pub fn fills(&self) -> u64 {
        self.0.lock().fills
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        let mut state = self.0.lock();
        if let Some(remaining) = &mut state.remaining {
            *remaining = remaining.checked_sub(1).ok_or(EntropyFailure)?;
        }
        for chunk in buffer.chunks_mut(8) {
            let word = state.next().to_le_bytes();
            chunk.iter_mut().zip(word).for_each(|(to, from)| *to = from);
        }
        state.fills += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(entropy: &SeededEntropy) -> Result<[u8; 20], EntropyFailure> {
        let mut buffer = [0; 20];
        entropy.fill(&mut buffer).map(|()| buffer)
    }

    #[test]
    fn a_seed_determines_every_byte() {
        let (one, same, other) = (SeededEntropy::new(7), SeededEntropy::new(7), SeededEntropy::new(8));
        let first = draw(&one).unwrap();
        assert_eq!(first, draw(&same).unwrap());
        assert_ne!(first, draw(&other).unwrap());
        assert_ne!(first, draw(&one).unwrap());
        assert_eq!(one.fills(), 2);
    }

    /// The first output of the published SplitMix64 for seed 1234567.
    #[test]
    fn follows_the_published_generator() {
        let mut word = [0; 8];
        SeededEntropy::new(1_234_567).fill(&mut word).unwrap();
        assert_eq!(u64::from_le_bytes(word), 6_457_827_717_110_365_317);
    }

    #[test]
    fn fails_from_the_chosen_call_on_and_leaves_the_buffer_alone() {
        let entropy = SeededEntropy::new(1);
        entropy.fail_after(1);
        let first = draw(&entropy).unwrap();
        let mut untouched = [9; 4];
        assert_eq!(entropy.fill(&mut untouched), Err(EntropyFailure));
        assert_eq!(untouched, [9; 4]);
        assert_eq!(draw(&entropy), Err(EntropyFailure));
        entropy.recover();
        assert_ne!(draw(&entropy).unwrap(), first);
    }
}
