//! The real clock and the operating system's generator.

use std::time::{SystemTime, UNIX_EPOCH};

use wayleave_core::ports::{Clock, Entropy, EntropyFailure};
use wayleave_core::time::Timestamp;

/// The system's wall clock.
#[derive(Copy, Clone, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The operating system's cryptographic generator.
#[derive(Copy, Clone, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        getrandom::fill(buffer).map_err(|_| EntropyFailure)
    }
}
