//! Counting failed attempts: reserve before the work, refund after success, so that parallel guesses cannot pass the
//! limit (R102).

use std::time::Duration;

use crate::time::Timestamp;

/// How many attempts there may be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// This many attempts ...
    pub attempts: u32,
    /// ... in this time ...
    pub window: Duration,
    /// ... and then none for this long.
    pub lock: Duration,
}

impl Rule {
    /// 5 attempts in 15 minutes, then none for 30.
    pub const DEFAULT: Self =
        Self { attempts: 5, window: Duration::from_secs(15 * 60), lock: Duration::from_secs(30 * 60) };
}

/// One counter.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Counter {
    /// Attempts reserved in the current window.
    pub count: u32,
    /// When the window began.
    pub since: Option<Timestamp>,
    /// Until when no attempt is allowed.
    pub locked_until: Option<Timestamp>,
}

/// What became of a reservation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// Go ahead; this many more would be allowed after it.
    Granted {
        /// Attempts left in the window.
        remaining: u32,
        /// This one locked the counter; only a refund opens it before time.
        locks: bool,
    },
    /// Not now.
    Locked {
        /// When the next attempt is allowed.
        until: Timestamp,
    },
}

impl Counter {
    /// Reserves one attempt. The last one allowed locks the counter at once, so that whoever comes in parallel waits.
    #[must_use]
    pub fn reserve(self, rule: Rule, now: Timestamp) -> (Self, Reservation) {
        if let Some(until) = self.locked_until
            && now < until
        {
            return (self, Reservation::Locked { until });
        }
        let open = self.locked_until.is_none() && self.since.is_some_and(|since| now < since.plus(rule.window));
        let (count, since) = if open { (self.count, self.since.unwrap_or(now)) } else { (0, now) };
        let count = count.saturating_add(1);
        let locks = count >= rule.attempts;
        let counter = Self { count, since: Some(since), locked_until: locks.then(|| now.plus(rule.lock)) };
        (counter, Reservation::Granted { remaining: rule.attempts.saturating_sub(count), locks })
    }

    /// When the counter says nothing any more and may be forgotten.
    #[must_use]
    pub fn forgettable_at(self, rule: Rule) -> Timestamp {
        let window = self.since.map_or(Timestamp::MIN, |since| since.plus(rule.window));
        self.locked_until.map_or(window, |until| until.max(window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    /// R100: five attempts, the sixth waits, and the lock ends by itself.
    #[test]
    fn the_sixth_attempt_waits_until_the_lock_ends() {
        let mut counter = Counter::default();
        for left in (0..5).rev() {
            let (next, granted) = counter.reserve(Rule::DEFAULT, at(0));
            assert_eq!(granted, Reservation::Granted { remaining: left, locks: left == 0 });
            counter = next;
        }
        let until = at(1800);
        assert_eq!(counter.reserve(Rule::DEFAULT, at(1799)), (counter, Reservation::Locked { until }));
        let (counter, granted) = counter.reserve(Rule::DEFAULT, until);
        assert_eq!(granted, Reservation::Granted { remaining: 4, locks: false });
        assert_eq!(counter.count, 1);
    }

    #[test]
    fn attempts_outside_the_window_are_forgotten() {
        let (counter, _) = Counter::default().reserve(Rule::DEFAULT, at(0));
        let (counter, _) = counter.reserve(Rule::DEFAULT, at(899));
        assert_eq!(counter.count, 2);
        let (counter, _) = counter.reserve(Rule::DEFAULT, at(900));
        assert_eq!(counter.count, 1);
    }
}
