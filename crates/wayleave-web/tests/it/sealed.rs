//! Sealed cookies at the layer: only what was sealed here, for this cookie, unchanged, comes in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use wayleave_web::Carrier;
use wayleave_web::cookies::CookieOptions;

use crate::client::{Client, Kept, World, keys};

/// A73: bits flipped everywhere, pieces cut off, another key's name, another algorithm, another version: all one answer.
#[tokio::test]
async fn no_changed_envelope_comes_in() {
    let world = World::new(Kept::Sealed).await;
    let mut client = world.client();
    client.post("/sign-in/ann").await.ok();
    let good = URL_SAFE_NO_PAD.decode(client.session().unwrap()).unwrap();
    let status = async |bytes: &[u8]| {
        let mut other = client.clone();
        other.jar.insert("__Host-id".into(), URL_SAFE_NO_PAD.encode(bytes));
        let answer = other.get("/me").await;
        (answer.status, answer.code())
    };
    assert_eq!(status(&good).await.0, StatusCode::OK);
    let refused = (StatusCode::UNAUTHORIZED, "session_required".to_owned());
    for at in 0..good.len() {
        for bit in [0, 3, 7] {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(status(&flipped).await, refused, "byte {at}, bit {bit}");
        }
        assert_eq!(status(&good[..at]).await, refused, "cut at {at}");
    }
    assert_eq!(status(&[good.as_slice(), &[0]].concat()).await, refused);
}

/// A73: an envelope of another deployment, of another cookie of the same deployment, or under a name that is swapped for
/// a key that exists.
#[tokio::test]
async fn no_envelope_from_elsewhere_comes_in() {
    let world = World::new(Kept::Sealed).await;
    let mut client = world.client();
    client.post("/sign-in/ann").await.ok();
    let foreign = world.another(&keys(&[2]), |_| {});
    assert_eq!(Client::of(&foreign, client.jar.clone()).get("/me").await.status, StatusCode::UNAUTHORIZED);

    let both = world.another(&keys(&[2, 1]), |_| {});
    let mut sealed_by_two = Client::of(&both, std::collections::BTreeMap::new());
    sealed_by_two.post("/sign-in/bob").await.ok();
    let (one, two) = (client.session().unwrap(), sealed_by_two.session().unwrap());
    let (one, two) = (URL_SAFE_NO_PAD.decode(one).unwrap(), URL_SAFE_NO_PAD.decode(two).unwrap());
    let swapped = URL_SAFE_NO_PAD.encode([&one[..2], &two[2..6], &one[6..]].concat());
    let mut swapped_client = Client::of(&both, client.jar.clone());
    swapped_client.get("/me").await.ok();
    swapped_client.jar.insert("__Host-id".into(), swapped);
    assert_eq!(swapped_client.get("/me").await.status, StatusCode::UNAUTHORIZED);

    let renamed = world.another(&keys(&[1]), |options| {
        let Carrier::Cookie(cookie) = Carrier::host_cookie() else { unreachable!() };
        options.carrier = Carrier::Cookie(CookieOptions { name: "__Host-other".into(), ..cookie });
    });
    let moved = std::collections::BTreeMap::from([("__Host-other".to_owned(), client.session().unwrap().to_owned())]);
    assert_eq!(Client::of(&renamed, moved).get("/me").await.status, StatusCode::UNAUTHORIZED);
}
