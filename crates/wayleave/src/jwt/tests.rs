//! Tests of access tokens; what they share.

use serde_json::json;
use wayleave_core::id::{IdPrefix, Slot};
use wayleave_core::routing::RoutingKey;

use super::*;

mod claims;
mod forms;
mod keys;
mod signatures;

const NOW: i64 = 1_767_225_600;
const ALWAYS: KeyLife = KeyLife { created_at: Timestamp::MIN, signs_from: Timestamp::MIN, retired_at: None };

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

fn key(seed: u8, life: KeyLife) -> SigningKey {
    SigningKey::from_seed(&[seed; 32], life)
}

fn keys() -> KeySet {
    KeySet::new(vec![key(1, ALWAYS)]).unwrap()
}

fn audience() -> Audience {
    Audience { issuer: "https://auth.example.org".into(), audience: "https://api.example.org".into() }
}

fn session() -> SessionId {
    SessionId::new(IdPrefix::FALLBACK, [5; 16], Slot(7), &RoutingKey::new([9; 16]))
}

fn claims() -> Claims {
    Claims {
        iss: "https://auth.example.org".into(),
        exp: NOW + 900,
        aud: "https://api.example.org".into(),
        sub: "user:1".into(),
        client_id: "api".into(),
        iat: NOW,
        jti: "AAAAAAAAAAAAAAAAAAAAAA".into(),
        sid: session().to_string(),
        auth_time: NOW - 60,
        amr: vec!["pwd".into()],
        acr: "1".into(),
        scope: "read:profile".into(),
        act: None,
    }
}

fn good() -> String {
    issue(&keys(), &claims(), now()).unwrap()
}

fn kid() -> String {
    keys().keys()[0].name().as_str().to_owned()
}

fn header_json() -> String {
    json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": kid() }).to_string()
}

fn claims_json() -> String {
    serde_json::to_string(&claims()).unwrap()
}

/// Signs anything with the deployment's own key: what is refused then is refused for what it says.
fn signed(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key(1, ALWAYS).secret().sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn check(token: &str) -> Result<Verified, InvalidJwt> {
    verify(&keys(), &audience(), token, now())
}

#[track_caller]
fn refused(token: &str, why: &str) {
    assert_eq!(check(token), Err(InvalidJwt), "{why}: {}", token.get(..200).unwrap_or(token));
}

/// The helper makes what the issuer makes, so that whatever else it makes is refused for its one difference.
#[test]
fn a_good_token_is_good() {
    let verified = Verified { session: session(), expires_at: Timestamp::from_seconds(NOW + 900) };
    assert_eq!(check(&good()), Ok(verified.clone()));
    assert_eq!(check(&signed(header_json(), claims_json())), Ok(verified.clone()));
    let acting = claims_json().replace("\"scope\"", "\"act\":{\"sub\":\"user:2\"},\"scope\"");
    assert_eq!(check(&signed(header_json(), acting)), Ok(verified));
}

const RFC_8037_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

fn rfc_8037_key() -> SigningKey {
    let seed = URL_SAFE_NO_PAD.decode(RFC_8037_D).unwrap();
    SigningKey::from_seed(&seed.try_into().unwrap(), ALWAYS)
}
