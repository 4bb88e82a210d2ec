//! Randomness for a library that cannot be told that there is none: drawn before, and handed out from a buffer.

use opaque_ke::rand::{CryptoRng, Error, RngCore};
use wayleave_core::ports::{Entropy, EntropyFailure};
use zeroize::Zeroizing;

/// Exactly so many random bytes, each given out once.
pub(crate) struct Drawn<const N: usize> {
    bytes: Zeroizing<[u8; N]>,
    used: usize,
    overdrawn: bool,
}

impl<const N: usize> Drawn<N> {
    /// Draws them all.
    pub(crate) fn from(entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        let mut bytes = Zeroizing::new([0; N]);
        entropy.fill(bytes.as_mut())?;
        Ok(Self { bytes, used: 0, overdrawn: false })
    }

    /// `made`, unless more was asked for than had been drawn: then it was made of zeroes, and nobody gets it.
    pub(crate) fn vouch<T>(&self, made: T) -> Result<T, EntropyFailure> {
        if self.overdrawn { Err(EntropyFailure) } else { Ok(made) }
    }
}

impl<const N: usize> RngCore for Drawn<N> {
    fn next_u32(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill_bytes(&mut word);
        u32::from_le_bytes(word)
    }

    fn next_u64(&mut self) -> u64 {
        let mut word = [0; 8];
        self.fill_bytes(&mut word);
        u64::from_le_bytes(word)
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        let end = self.used.saturating_add(buffer.len());
        match self.bytes.get_mut(self.used..end) {
            Some(next) => {
                buffer.copy_from_slice(next);
                next.fill(0);
                self.used = end;
            }
            None => {
                buffer.fill(0);
                self.overdrawn = true;
            }
        }
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

impl<const N: usize> CryptoRng for Drawn<N> {}

#[cfg(test)]
mod tests {
    use wayleave_testkit::SeededEntropy;

    use super::*;

    /// R001: what was drawn is given out once, and what was made of more than that is given to nobody.
    #[test]
    fn nothing_is_made_of_bytes_that_were_not_drawn() {
        let mut drawn = Drawn::<12>::from(&SeededEntropy::new(1)).unwrap();
        let (first, second) = (drawn.next_u64(), drawn.next_u32());
        assert_ne!((first, second), (0, 0));
        assert_eq!(drawn.vouch(7), Ok(7));
        drawn.fill_bytes(&mut [0; 1]);
        assert_eq!(drawn.vouch(7), Err(EntropyFailure));

        let entropy = SeededEntropy::new(1);
        entropy.fail_after(0);
        assert!(Drawn::<12>::from(&entropy).is_err());
    }
}
