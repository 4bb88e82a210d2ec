//! The real clocks and the operating system's generator.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wayleave_core::ports::{Clock, Entropy, EntropyFailure, Uptime};
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

/// The time since the machine was started, its sleep included.
#[derive(Copy, Clone, Debug, Default)]
pub struct SystemUptime;

/// The clock of the system that counts sleep, too.
#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
/// Here the monotonic clock does.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

impl Uptime for SystemUptime {
    fn uptime(&self) -> Duration {
        let now = rustix::time::clock_gettime(BOOT);
        Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
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
