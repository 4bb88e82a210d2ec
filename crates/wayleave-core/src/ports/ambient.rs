//! Clocks and the source of entropy, so that nothing in the product reaches for the real ones.

use std::time::Duration;

use crate::time::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now. May step backwards; nothing that was found expired comes back to life when it does.
    fn now(&self) -> Timestamp;
}

/// Counts time for leases.
pub trait Uptime: Send + Sync {
    /// The time since some moment that stays the same while the process runs. Never goes back, whatever happens to the
    /// clock, and goes on while the process is stopped or the machine sleeps.
    fn uptime(&self) -> Duration;
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
