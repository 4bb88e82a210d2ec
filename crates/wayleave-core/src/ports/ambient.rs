//! The clock and the source of entropy, so that nothing in the product reaches for the real ones.

use crate::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now. May step backwards; nothing that was found expired comes back to life when it does.
    fn now(&self) -> Timestamp;
}

/// Gives unpredictable bytes, from the operating system's generator in production.
pub trait Entropy: Send + Sync {
    /// Fills all of `buffer`.
    ///
    /// # Errors
    /// [`EntropyFailure`] when it cannot. No token is made then, least of all a weak one (R001).
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure>;
}

/// The generator failed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no entropy")]
pub struct EntropyFailure;
