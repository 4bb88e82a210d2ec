//! A clock that stands still until a test moves it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use wayleave_core::ports::Clock;
use wayleave_core::time::Timestamp;

/// A clock under the test's control. Share it in an `Arc`.
#[derive(Debug)]
pub struct FakeClock(AtomicI64);

impl FakeClock {
    /// Where [`FakeClock::default`] starts: 2026-01-01T00:00:00Z.
    pub const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

    /// A clock that shows `start`.
    #[must_use]
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_millis()))
    }

    /// Shows `now` from here on, which may lie before what it showed.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }

    /// Moves forward, at most to [`Timestamp::MAX`]; the time after the step.
    pub fn advance(&self, by: Duration) -> Timestamp {
        self.step(|now| now.plus(by))
    }

    /// Moves backward, at most to [`Timestamp::MIN`]; the time after the step.
    pub fn rewind(&self, by: Duration) -> Timestamp {
        self.step(|now| now.minus(by))
    }

    fn step(&self, to: impl Fn(Timestamp) -> Timestamp) -> Timestamp {
        let moved = |millis| to(Timestamp::from_millis(millis)).as_millis();
        let step = |millis| Some(moved(millis));
        let before = match self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step) {
            Ok(before) | Err(before) => before,
        };
        Timestamp::from_millis(moved(before))
    }
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new(Self::START)
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_only_when_told_and_in_both_directions() {
        let clock = FakeClock::default();
        assert_eq!(clock.now(), FakeClock::START);
        assert_eq!(clock.advance(Duration::from_secs(60)), FakeClock::START.plus(Duration::from_secs(60)));
        assert_eq!(clock.rewind(Duration::from_secs(61)), FakeClock::START.minus(Duration::from_secs(1)));
        assert_eq!(clock.now(), FakeClock::START.minus(Duration::from_secs(1)));
        clock.set(Timestamp::from_seconds(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(5));
    }

    #[test]
    fn stays_within_what_a_timestamp_can_be() {
        let clock = FakeClock::default();
        assert_eq!(clock.advance(Duration::MAX), Timestamp::MAX);
        assert_eq!(clock.rewind(Duration::MAX), Timestamp::MIN);
    }
}
