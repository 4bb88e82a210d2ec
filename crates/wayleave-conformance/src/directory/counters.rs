//! `Counters` (R100, R102).

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::lockout::{Counter, Reservation, Rule};
use wayleave_core::ports::{CounterKey, Counters};
use wayleave_core::time::Timestamp;

use super::Directory;
use crate::bench::Bench;
use crate::fixtures::{TICK, at, bytes};
use crate::together::together;

fn key(number: u32) -> CounterKey {
    CounterKey(bytes("counter", number))
}

async fn reserve(counters: &Arc<dyn Counters>, number: u32, now: Timestamp) -> Reservation {
    counters.reserve(key(number), Rule::DEFAULT, now).await.unwrap()
}

async fn read(counters: &Arc<dyn Counters>, number: u32) -> Counter {
    counters.read(key(number)).await.unwrap()
}

/// Step by step what [`Counter::reserve`] says, over attempts, lock, its end, and the window's.
pub(super) async fn count_as_the_rule_says(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let counters = &fresh.counters;
    let strict = Rule { attempts: 2, window: Duration::from_secs(10), lock: Duration::from_secs(7) };
    for (number, rule) in [(1, Rule::DEFAULT), (2, strict)] {
        let mut model = Counter::default();
        assert_eq!(counters.read(key(number)).await.unwrap(), model);
        let steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 18, 20, 1_803, 1_804, 1_805, 2_704, 2_705, 9_000, 8_999];
        for seconds in steps {
            for now in [at(seconds).minus(TICK), at(seconds)] {
                let (next, expected) = model.reserve(rule, now);
                let reservation = counters.reserve(key(number), rule, now).await.unwrap();
                assert_eq!(reservation, expected, "{rule:?} at {now:?}");
                model = next;
                // Reading does not count.
                assert_eq!(counters.read(key(number)).await.unwrap(), model);
                assert_eq!(counters.read(key(number)).await.unwrap(), model);
            }
        }
    }
}

/// A53: what one counter counts is nothing to another.
pub(super) async fn are_kept_apart(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let counters = &fresh.counters;
    for _ in 0..6 {
        reserve(counters, 1, at(0)).await;
    }
    assert!(matches!(reserve(counters, 1, at(1)).await, Reservation::Locked { .. }));
    assert_eq!(read(counters, 2).await, Counter::default());
    assert_eq!(reserve(counters, 2, at(1)).await, Reservation::Granted { remaining: 4, locks: false });
    // A success elsewhere forgives nothing here.
    assert!(counters.clear(key(2)).await.unwrap());
    assert!(matches!(reserve(counters, 1, at(2)).await, Reservation::Locked { .. }));
}

pub(super) async fn are_cleared(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let counters = &fresh.counters;
    assert!(!counters.clear(key(1)).await.unwrap());
    for _ in 0..5 {
        reserve(counters, 1, at(0)).await;
    }
    assert!(counters.clear(key(1)).await.unwrap());
    assert_eq!(read(counters, 1).await, Counter::default());
    assert!(!counters.clear(key(1)).await.unwrap());
    assert_eq!(reserve(counters, 1, at(1)).await, Reservation::Granted { remaining: 4, locks: false });
}

pub(super) async fn are_swept_when_they_say_nothing(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let counters = &fresh.counters;
    let rule = Rule::DEFAULT;
    let locked = 7;
    for number in 1..=6 {
        reserve(counters, number, at(0)).await;
    }
    for _ in 0..5 {
        reserve(counters, locked, at(0)).await;
    }
    let over = at(0).plus(rule.window);
    assert_eq!(counters.sweep(rule, over.minus(TICK), 100).await.unwrap(), 0);
    assert_eq!(read(counters, 1).await.count, 1);
    assert_eq!(counters.sweep(rule, over.plus(TICK), 4).await.unwrap(), 4);
    let mut left = 0;
    for number in 1..=6 {
        left += read(counters, number).await.count;
    }
    assert_eq!(left, 2);
    assert_eq!(counters.sweep(rule, over.plus(TICK), 100).await.unwrap(), 2);
    // A lock is forgotten when it has ended, not before.
    assert_eq!(read(counters, locked).await.locked_until, Some(at(0).plus(rule.lock)));
    assert_eq!(counters.sweep(rule, at(0).plus(rule.lock).minus(TICK), 100).await.unwrap(), 0);
    assert_eq!(counters.sweep(rule, at(0).plus(rule.lock).plus(TICK), 100).await.unwrap(), 1);
    assert_eq!(read(counters, locked).await, Counter::default());
}

/// R102, A53: of 200 parallel guesses exactly 5 get an attempt.
pub(super) async fn grant_no_more_than_the_limit(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let counters = &fresh.counters;
    for round in bench.rounds() {
        let outcomes = together((0..200).map(|_| {
            let counters = Arc::clone(counters);
            async move { reserve(&counters, round, at(0)).await }
        }))
        .await;
        let mut left = Vec::new();
        for outcome in outcomes {
            match outcome {
                Reservation::Granted { remaining, locks } => {
                    assert_eq!(locks, remaining == 0);
                    left.push(remaining);
                }
                Reservation::Locked { until } => assert_eq!(until, at(0).plus(Rule::DEFAULT.lock)),
            }
        }
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2, 3, 4]);
        assert_eq!(read(counters, round).await.count, 5);
    }
}
