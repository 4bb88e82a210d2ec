//! Whether the time of a first half tells if a name has an account.

use std::time::Duration;

use serde_json::json;
use wayleave_core::lockout::{Reservation, Rule};
use wayleave_core::ports::CounterKey;
use wayleave_testkit::distribution::{Comparison, compare};

use super::{LOGIN_START, ke1};
use crate::people::ANN;
use crate::world::{Keeping, PASSWORD, World};

/// Of each side.
const SAMPLES: usize = 1000;

/// What one side does besides asking.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Besides {
    Nothing,
    /// One more call to the store, of those that a first half makes: what must show.
    OneCall,
}

/// Seconds that each first half for a name took, taken in turn with those of another name.
async fn race(world: &World, other: &str, besides: Besides) -> Comparison {
    let (counters, now) = (&world.app.directory.counters, world.app.now());
    let mut samples = [Vec::new(), Vec::new()];
    for count in 0..SAMPLES {
        // Which comes first changes, so that neither always profits from the other's warm caches.
        for side in [count % 2, 1 - count % 2] {
            let name = [ANN, other][side];
            let client = world.client();
            let body = json!({ "identifier": name, "request": ke1(PASSWORD).0 });
            let request = client.request(&format!("POST {LOGIN_START}"), Some(&body));
            #[expect(clippy::disallowed_methods, reason = "it is the time that is measured")]
            let begun = std::time::Instant::now();
            let answer = client.ask_as_is(request).await;
            if side == 1 && besides == Besides::OneCall {
                let key = CounterKey([u8::try_from(count % 256).unwrap(); 32]);
                let reserved = counters.reserve(key, Rule::DEFAULT, now).await.unwrap();
                assert!(matches!(reserved, Reservation::Granted { .. } | Reservation::Locked { .. }));
            }
            samples[side].push(begun.elapsed().as_secs_f64());
            answer.assert_status(200);
        }
        // Whatever was counted and kept is over.
        world.pass(Duration::from_secs(3600));
    }
    compare(&samples[0], &samples[1]).unwrap()
}

/// Races until one is as `wanted`, three times at most.
async fn until(world: &World, besides: Besides, wanted: impl Fn(&Comparison) -> bool) {
    let mut found = Vec::new();
    while !found.last().is_some_and(&wanted) {
        assert!(found.len() < 3, "{besides:?}: {found:#?}");
        found.push(race(world, "nobody@example.com", besides).await);
    }
}

/// R110, A51: two thousand first halves in turn, on a real database, do not tell a name with an account from one without:
/// the bar is that of R098, and a difference must show in three runs to count. The same comparison tells when one side
/// makes one call more.
#[tokio::test]
async fn first_halves_take_the_same_time() {
    let world = World::with(Keeping::Sqlite, |_| {}).await;
    world.opaque_person(ANN, PASSWORD).await;
    until(&world, Besides::Nothing, Comparison::indistinguishable).await;
    until(&world, Besides::OneCall, |found| !found.indistinguishable() && found.median_b > found.median_a).await;
}
