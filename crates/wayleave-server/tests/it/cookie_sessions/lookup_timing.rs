//! Whether the time of a lookup tells how much of a token was right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wayleave::Shown;
use wayleave_core::id::Slot;
use wayleave_core::routing::RoutingKey;
use wayleave_core::token::SessionToken;
use wayleave_testkit::distribution::compare;

use super::ANN;
use crate::world::World;

const SAMPLES: usize = 600;

/// A token that begins like `random` for `same` bytes and goes on with others.
fn guess(random: &[u8], same: usize, count: usize) -> String {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(random);
    bytes[same] ^= 0x80;
    for (at, byte) in bytes.iter_mut().enumerate().skip(same + 1) {
        *byte = u8::try_from((count * 131 + at * 17) % 256).unwrap();
    }
    bytes[30..].copy_from_slice(&u16::try_from(count).unwrap().to_be_bytes());
    SessionToken::new(bytes, Slot(3), &RoutingKey::new([1; 16])).reveal().to_string()
}

/// A12, R003: guesses that share a long beginning with a live token take as long as those that share none. Two samples of
/// the same size, taken in turn; the bar is that of R098, and a difference must show in three runs to count.
#[tokio::test]
async fn a_lookup_tells_nothing_of_a_prefix() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let live = world.signed_in(ANN).await.token();
    let payload = URL_SAFE_NO_PAD.decode(&live[SessionToken::PREFIX.len()..]).unwrap();
    let shown = Shown::default();
    let mut comparisons = Vec::new();
    for run in 0..3 {
        let mut samples = [Vec::new(), Vec::new()];
        for count in 0..SAMPLES {
            // Which comes first changes, so that neither always profits from the other's warm caches.
            for side in [count % 2, 1 - count % 2] {
                let same = [0, 29][side];
                let token = guess(&payload[..32], same, run * SAMPLES * 2 + count * 2 + side);
                #[expect(clippy::disallowed_methods, reason = "it is the time that is measured")]
                let start = std::time::Instant::now();
                let refused = world.app.manager.validate(&token, &shown).await.is_err();
                samples[side].push(start.elapsed().as_secs_f64());
                assert!(refused);
            }
        }
        let comparison = compare(&samples[0], &samples[1]).unwrap();
        let alike = comparison.indistinguishable();
        comparisons.push(comparison);
        if alike {
            return;
        }
    }
    panic!("{comparisons:?}");
}
