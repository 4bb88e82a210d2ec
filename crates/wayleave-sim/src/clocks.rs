//! The clocks of a node: one on the wall that drifts and jumps, and one that counts and only drifts.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wayleave::core::ports::{Clock, Uptime};
use wayleave::core::time::Timestamp;
use wayleave_testkit::FakeClock;

/// A wall clock, and all that it has shown.
#[derive(Debug)]
pub(crate) struct WallClock {
    start: Instant,
    drift: Drift,
    jumps: Mutex<Vec<Jump>>,
}

/// From `at` on, the clock shows so much more.
#[derive(Copy, Clone, Debug)]
struct Jump {
    at: Duration,
    offset: i64,
}

impl WallClock {
    pub(crate) const fn new(start: Instant, drift: Drift) -> Self {
        Self { start, drift, jumps: Mutex::new(Vec::new()) }
    }

    /// From now on it shows what it would without any jump, and so many milliseconds more.
    pub(crate) fn jump(&self, offset: i64) {
        self.jumps.lock().push(Jump { at: self.start.elapsed(), offset });
    }

    /// The earliest and the latest that it showed between two moments.
    pub(crate) fn shown(&self, from: Duration, to: Duration) -> Shown {
        let jumps = self.jumps.lock();
        let before = jumps.iter().rfind(|jump| jump.at < from).map_or(0, |jump| jump.offset);
        let mut shown = Shown::at(self.reading(from, before));
        let mut offset = before;
        for jump in jumps.iter().filter(|jump| jump.at >= from && jump.at <= to) {
            shown =
                shown.and(Shown::at(self.reading(jump.at, offset))).and(Shown::at(self.reading(jump.at, jump.offset)));
            offset = jump.offset;
        }
        shown.and(Shown::at(self.reading(to, offset)))
    }

    fn reading(&self, elapsed: Duration, offset: i64) -> Timestamp {
        let length = self.drift.of(elapsed);
        Timestamp::from_millis(FakeClock::START.plus(length).as_millis().saturating_add(offset))
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let offset = self.jumps.lock().last().map_or(0, |jump| jump.offset);
        self.reading(self.start.elapsed(), offset)
    }
}

/// What a clock showed within some time.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The earliest.
    pub earliest: Timestamp,
    /// The latest.
    pub latest: Timestamp,
}

impl Shown {
    const fn at(time: Timestamp) -> Self {
        Self { earliest: time, latest: time }
    }

    /// This and that together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { earliest: self.earliest.min(other.earliest), latest: self.latest.max(other.latest) }
    }
}

/// How fast a clock goes.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Drift {
    /// Of a million units of true time, the clock counts so many.
    pub(crate) per_million: u64,
}

impl Drift {
    fn of(self, length: Duration) -> Duration {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros.saturating_mul(self.per_million) / 1_000_000)
    }
}

/// Counts time, a little wrong. Never goes back.
#[derive(Debug)]
pub(crate) struct DriftingUptime {
    pub(crate) start: Instant,
    pub(crate) drift: Drift,
}

impl Uptime for DriftingUptime {
    fn uptime(&self) -> Duration {
        // Not nothing at the start, as no machine's is.
        Duration::from_secs(1000) + self.drift.of(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_remembers_what_it_showed() {
        let second = Duration::from_secs(1);
        let clock = WallClock::new(Instant::now(), Drift { per_million: 1_010_000 });
        tokio::time::advance(100 * second).await;
        assert_eq!(clock.now(), FakeClock::START.plus(101 * second));
        clock.jump(-3_600_000);
        tokio::time::advance(100 * second).await;
        let back = FakeClock::START.plus(202 * second).minus(3600 * second);
        assert_eq!(clock.now(), back);
        let whole = clock.shown(Duration::ZERO, 200 * second);
        assert_eq!(whole.earliest, FakeClock::START.plus(101 * second).minus(3600 * second));
        assert_eq!(whole.latest, FakeClock::START.plus(101 * second));
        assert_eq!(clock.shown(200 * second, 200 * second), Shown::at(back));
    }
}
