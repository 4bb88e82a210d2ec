//! The script that rotates judges as the core does, whatever is presented, whenever, by whomever.

use std::time::Duration;

use wayleave_conformance::fixtures::{self, TICK, at, bytes, fingerprint, record, refresh_key, rotation};
use wayleave_core::ports::{Insert, Rotate, Rotation, SessionStore, Update};
use wayleave_core::record::{Activity, Fingerprint, MAX_CLOCK_SKEW, Record};
use wayleave_core::refresh::{Verdict, judge};
use wayleave_core::time::Timestamp;
use wayleave_core::token::TokenKey;
use wayleave_redis::RedisStore;

const CASES: u32 = 1_500;
/// When the pair was exchanged that the cases ask for again.
const ROTATED: Timestamp = at_rotation();

const fn at_rotation() -> Timestamp {
    Timestamp::from_millis(fixtures::BASE.as_millis() + 60_000)
}

/// Picks that look random, the same for the same case.
struct Picks(u32, u32);

impl Picks {
    fn of<T: Clone>(&mut self, values: &[T]) -> T {
        self.1 += 1;
        let random = u32::from_be_bytes(bytes(&format!("judge {}", self.1), self.0));
        values[usize::try_from(random).unwrap() % values.len()].clone()
    }

    /// A time around `middle`.
    fn around(&mut self, middle: Timestamp) -> Timestamp {
        self.of(&[middle.minus(TICK), middle, middle.plus(TICK)])
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Judged(Verdict),
    Unknown,
}

async fn present(store: &RedisStore, rotation: &Rotation) -> Outcome {
    match store.rotate(rotation).await.unwrap() {
        Rotate::Done { .. } => Outcome::Judged(Verdict::Rotate),
        Rotate::Repeat { .. } => Outcome::Judged(Verdict::Repeat),
        Rotate::Reuse(gone) => {
            assert!(!gone.is_empty(), "a theft that ended nothing");
            Outcome::Judged(Verdict::Reuse)
        }
        Rotate::Expired(_, limit) => Outcome::Judged(Verdict::Expired(limit)),
        Rotate::Unknown => Outcome::Unknown,
    }
}

/// A session that was rotated twice, or only opened, with an odd end; and tokens that lead to it, or not.
async fn prepare(store: &RedisStore, case: u32, picks: &mut Picks) -> (Record, Vec<TokenKey>, Option<Fingerprint>) {
    let client = picks.of(&[None, Some(fingerprint(1)), Some(fingerprint(2))]);
    let end = picks.of(&[at(70), at(5_000), at(5_000)]);
    let idle = picks.of(&[None, Some(at(75)), Some(at(5_000))]);
    let opened = picks.of(&[at(0), at(0), at(0), ROTATED.plus(MAX_CLOCK_SKEW), ROTATED.plus(2 * MAX_CLOCK_SKEW)]);
    let first = record(case * 10).created(opened).absolute_until(end).build();
    let first = Record { idle_expires_at: idle, subject: None, ..first };
    let done = store.insert(&first, None, None, at(0)).await.unwrap();
    assert!(matches!(done, Insert::Done { .. }));
    let strange = TokenKey { slot: first.slot, ..refresh_key(&record(case * 10 + 9).build()) };
    let mut tokens = vec![refresh_key(&first), strange];
    if picks.of(&[true, true, true, false]) {
        for (number, now) in [(1, ROTATED.minus(Duration::from_secs(5))), (2, ROTATED)] {
            let presented = *tokens.last().filter(|_| number > 1).unwrap_or(&tokens[0]);
            let activity = Activity { seen_at: now, idle_expires_at: idle };
            let window = picks.of(&[Duration::ZERO, Duration::from_secs(10)]);
            let exchange = Rotation { client, activity, window, ..rotation(presented, case * 10 + number, now) };
            if let Rotate::Done { record, .. } = store.rotate(&exchange).await.unwrap() {
                tokens.push(refresh_key(&record));
            } else {
                break;
            }
        }
    }
    let held = store.find(fixtures::by_id(&first)).await.unwrap().unwrap();
    if picks.of(&[true, false, false, false, false]) {
        let expired = Record { expired_at: Some(at(65)), ..(*held).clone() };
        assert!(matches!(store.update(&expired, held.revision).await.unwrap(), Update::Done(_)));
    }
    (first, tokens, client)
}

/// R064, R065, R066: every verdict, at and around each boundary.
#[tokio::test]
async fn the_script_judges_as_the_core_does() {
    let (store, _server) = crate::single().await;
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for case in 0..CASES {
        let mut picks = Picks(case, 0);
        let (first, tokens, rotated_by) = prepare(&store, case, &mut picks).await;
        if picks.of(&[true, false, false, false, false, false]) {
            // Of everybody, so it cannot say whose.
            store.erase_pairs(ROTATED.plus(TICK), 10_000).await.unwrap();
        }
        let window = picks.of(&[
            Duration::ZERO,
            Duration::from_micros(1),
            TICK,
            Duration::from_micros(10_000_001),
            Duration::from_secs(10),
            Duration::MAX,
        ]);
        let middle = picks.of(&[ROTATED, ROTATED.plus(window), ROTATED.minus(window), at(70), at(75), at(5_000)]);
        let now = picks.around(middle);
        let client = picks.of(&[rotated_by, rotated_by, None, Some(fingerprint(1)), Some(fingerprint(2))]);
        // The first, a strange one, the predecessor, the current one: as far as there are so many.
        let presented = tokens[picks.of(&[0, 1, 2, 2, 2, 3, 3]).min(tokens.len() - 1)];
        let held = store.find(fixtures::by_id(&first)).await.unwrap().unwrap();
        let expected = if presented == tokens[1] {
            Outcome::Unknown
        } else {
            Outcome::Judged(judge(&held, presented.hash, client, now, window))
        };
        let exchange = Rotation { client, window, ..rotation(presented, case * 10 + 5, now) };
        assert_eq!(present(&store, &exchange).await, expected, "case {case}: {held:?} {exchange:?}");
        *seen.entry(format!("{expected:?}")).or_default() += 1;
    }
    // Rotate, Repeat, Reuse, Expired by each of three limits, Unknown: each often enough to mean something.
    assert_eq!(seen.len(), 7, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 20), "{seen:?}");
}
