//! What tells refusals apart from outside: nothing in the answer, nothing in the calls to the store, nothing in time.

use wayleave_testkit::distribution::{Comparison, compare};

use super::*;

/// Every kind of attempt that is refused while the lock is open.
const REFUSED: [(&str, &str); 7] = [
    (OWNER, WRONG),
    (DISABLED, RIGHT),
    (DISABLED, WRONG),
    (OUTDATED, WRONG),
    (BARE, RIGHT),
    (UNKNOWN, RIGHT),
    ("not an address", RIGHT),
];

/// A51, R098: what an outsider can be told is the same for all of them, from the first attempt to the lock.
#[tokio::test]
async fn refusals_are_equal_in_what_they_show() {
    let mut shown = Vec::new();
    for (email, text) in REFUSED {
        let world = World::new().await;
        let mut answers = Vec::new();
        for _ in 0..7 {
            answers.push(match world.attempt(email, text).await {
                Outcome::Refused(refused) => format!("{refused} {}", refused.locks()),
                Outcome::Locked { until } => format!("{until:?}"),
                outcome @ (Outcome::Verified(_) | Outcome::TurnedAway | Outcome::Busy(_)) => {
                    panic!("{email}: {outcome:?}")
                }
            });
        }
        shown.push(answers);
    }
    assert!(shown.iter().all(|answers| answers == &shown[0]), "{shown:#?}");
    assert_ne!(shown[0][0], shown[0][5]);
}

/// A51, R098, R099: the same calls to the store in the same numbers, and one hash, whatever is wrong; and when the
/// lock is closed again the same calls and none.
#[tokio::test]
async fn refusals_are_equal_in_calls_and_hashes() {
    for device in [None, Some(DEVICE), Some([0xFF; 32])] {
        let mut seen = Vec::new();
        for (email, text) in REFUSED {
            let world = World::new().await;
            for _ in 0..5 {
                let _ = world.try_attempt(email, text, device).await.unwrap();
            }
            let open = (world.directory.faults().calls(), world.password.load().hashes);
            world.directory.faults().reset();
            assert_eq!(word(&world.try_attempt(email, text, device).await.unwrap()), "locked");
            seen.push((email, open, world.directory.faults().calls(), world.password.load().hashes));
        }
        let (_, open, locked, hashes) = &seen[0];
        assert_eq!(*hashes, 5);
        for other in &seen {
            assert_eq!((&other.1, &other.2, &other.3), (open, locked, hashes), "{}", other.0);
        }
    }
}

/// Parameters whose hash takes some milliseconds, far above what a scheduler adds.
fn measurable() -> Parameters {
    Parameters::bounded(Cost { memory_kib: 4096, passes: 2, lanes: 1 }).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "measures real time")]
async fn microseconds(world: &World, email: &str) -> f64 {
    let begun = std::time::Instant::now();
    let outcome = world.attempt(email, WRONG).await;
    let taken = begun.elapsed().as_secs_f64() * 1e6;
    assert!(!matches!(outcome, Outcome::Verified(_) | Outcome::TurnedAway | Outcome::Busy(_)));
    taken
}

/// Takes turns, so that whatever else the machine does falls on both alike.
async fn race(world: &World, one: &str, other: &str) -> Comparison {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        a.push(microseconds(world, one).await);
        b.push(microseconds(world, other).await);
        world.clock.advance(Duration::from_secs(3600));
    }
    compare(&a, &b).unwrap()
}

/// A51, R098, R099: 200 samples each do not tell an address with an account from one without, nor from one whose hash
/// is outdated; and the same samples do tell an attempt that is not hashed. A run is repeated twice at most, because
/// one in a hundred comparisons of equals looks unequal.
#[tokio::test]
async fn refusals_take_the_same_time() {
    let world = World::with(WorldOptions { parameters: measurable(), ..WorldOptions::default() }).await;
    for other in [UNKNOWN, OUTDATED, "not an address"] {
        let mut found = Vec::new();
        while !found.last().is_some_and(Comparison::indistinguishable) {
            assert!(found.len() < 3, "{other}: {found:#?}");
            found.push(race(&world, OWNER, other).await);
        }
    }

    for _ in 0..5 {
        let _ = world.attempt(BARE, WRONG).await;
    }
    let (mut open, mut locked) = (Vec::new(), Vec::new());
    for number in 0..50 {
        open.push(microseconds(&world, &format!("nobody{number}@example.org")).await);
        locked.push(microseconds(&world, BARE).await);
    }
    let control = compare(&open, &locked).unwrap();
    assert!(!control.indistinguishable() && control.p < 1e-6, "{control:?}");
}
