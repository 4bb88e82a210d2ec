//! JWT access tokens over HTTP: what is in them, how long they hold, that this server ends them at once, and how their
//! keys change without signing anybody out.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};

use crate::people::{ANN, JWT_LIFE, unknown_access, with_jwt_kind};
use crate::world::{Client, Keeping, OTHER_PASSWORD, PASSWORD, World};

async fn world() -> World {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    world.person(ANN, &["read:profile"]).await;
    world
}

/// What a token says, checked with nothing but the published keys, as another service would.
pub(crate) fn read_with(jwks: &Value, token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let part = |text: Option<&str>| B64.decode(text.unwrap()).unwrap();
    let (header, claims, signature) = (part(parts.next()), part(parts.next()), part(parts.next()));
    let header: Value = serde_json::from_slice(&header).unwrap();
    let key = jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"])?;
    let public: [u8; 32] = B64.decode(key["x"].as_str().unwrap()).unwrap().try_into().unwrap();
    let signed = token.rsplit_once('.').unwrap().0;
    VerifyingKey::from_bytes(&public)
        .unwrap()
        .verify_strict(signed.as_bytes(), &Signature::from_slice(&signature).unwrap())
        .unwrap();
    Some((header, serde_json::from_slice(&claims).unwrap()))
}

pub(crate) async fn jwks(world: &World) -> Value {
    let answer = world.client().get("/.well-known/jwks.json").await;
    answer.assert_status(200);
    answer.json()
}

fn text(data: &Value, name: &str) -> String {
    data[name].as_str().unwrap().to_owned()
}

/// R053, R061: the form of RFC 9068, verifiable with the published key, within 900 bytes at 20 permissions of 13 letters.
#[tokio::test]
async fn tokens_are_rfc_9068() {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    let permissions: Vec<_> = (0..20).map(|n| format!("manage:job_{n:02}")).collect();
    let names: Vec<_> = permissions.iter().map(String::as_str).collect();
    let account = world.person(ANN, &names).await;
    let mut ann = world.client();
    let data = ann.tokens(ANN, "api").await;
    let token = text(&data, "session_token");
    assert!(token.len() <= 900, "{} bytes", token.len());
    let (header, claims) = read_with(&jwks(&world).await, &token).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    assert_eq!(header.as_object().unwrap().len(), 3);
    let now = world.app.now().as_seconds();
    assert_eq!(claims["exp"].as_i64().unwrap() - now, i64::try_from(JWT_LIFE.as_secs()).unwrap());
    assert_eq!((&claims["iat"], &claims["auth_time"]), (&json!(now), &json!(now)));
    assert_eq!(claims["sub"], json!(format!("user:{}", account.id)));
    assert_eq!(claims["sid"], data["session_id"]);
    assert_eq!((&claims["client_id"], &claims["amr"], &claims["acr"]), (&json!("api"), &json!(["pwd"]), &json!("1")));
    assert_eq!(claims["scope"], json!(permissions.join(" ")));
    let again = world.client().tokens(ANN, "api").await;
    let (_, other) = read_with(&jwks(&world).await, &text(&again, "session_token")).unwrap();
    assert_ne!(claims["jti"], other["jti"]);
}

/// R058, A13: a token holds up to its end and not a second longer.
#[tokio::test]
async fn tokens_end_on_time() {
    let world = world().await;
    let mut ann = world.client();
    let data = ann.tokens(ANN, "api").await;
    world.pass(JWT_LIFE - Duration::from_secs(1));
    ann.get("/api/auth/user").await.assert_status(200);
    world.pass(Duration::from_secs(1));
    ann.get("/api/auth/user").await.assert_code(401, "session_expired");
    let reason = ann.get("/api/auth/sessions/validate").await.json()["data"].clone();
    assert_eq!(reason, json!({ "valid": false, "reason": "expired" }));
    let renewed = ann.refresh(&text(&data, "refresh_token")).await;
    renewed.assert_status(200);
    ann.get_with(&renewed.data("session_token"), "/api/auth/user").await.assert_status(200);
    ann.get("/api/auth/user").await.assert_code(401, "session_expired");
}

/// A11, R058: a token that merely ended is no guess; one that is not ours, or whose session was ended, is.
#[tokio::test]
async fn ended_tokens_are_no_guesses() {
    let limited = |config: &mut wayleave_server::config::Config| {
        with_jwt_kind(config);
        config.rate_limits.unknown_token = Some("3/1h".parse().unwrap());
    };
    let world = World::with(Keeping::Memory, limited).await;
    world.person(ANN, &["read:profile"]).await;
    let (mut ann, mut gone) = (world.client(), world.client());
    ann.tokens(ANN, "api").await;
    gone.tokens(ANN, "api").await;
    gone.post("/api/auth/logout", &json!({})).await.assert_status(200);
    world.pass(JWT_LIFE);
    for _ in 0..10 {
        ann.get("/api/auth/user").await.assert_code(401, "session_expired");
    }
    let token = ann.bearer.clone().unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for credential in [gone.bearer.as_deref().unwrap(), &forged, &unknown_access()] {
        ann.get_with(credential, "/api/auth/user").await.assert_code(401, "session_invalid");
    }
    ann.get_with(&forged, "/api/auth/user").await.assert_code(429, "rate_limited");
}

/// R014: an extension says when the presented token ends, which for a JWT it does not change.
#[tokio::test]
async fn an_extension_moves_no_jwt() {
    let world = world().await;
    let mut ann = world.client();
    let data = ann.tokens(ANN, "api").await;
    world.pass(JWT_LIFE / 2);
    let extended = ann.post("/api/auth/sessions/extend", &json!({})).await;
    extended.assert_status(200);
    assert_eq!(extended.data("expires_at"), text(&data, "expires_at"));
    world.pass(JWT_LIFE / 2);
    ann.get("/api/auth/user").await.assert_code(401, "session_expired");
    let mut opaque = world.client();
    let data = opaque.tokens(ANN, "standard").await;
    world.pass(Duration::from_secs(60));
    let extended = opaque.post("/api/auth/sessions/extend", &json!({})).await;
    assert!(extended.data("expires_at") > text(&data, "expires_at"));
}

/// R018, R019, R020, A13: this server refuses a token from the moment its session ends, whatever the token says.
#[tokio::test]
async fn ended_sessions_have_no_tokens() {
    for end in ["logout", "disable", "password", "admin", "reuse", "must_change"] {
        let world = world().await;
        let mut admin = world.administrator().await;
        let service = admin.make_service("shop", &[]).await;
        let mut ann = world.client();
        let data = ann.tokens(ANN, "api").await;
        let token = text(&data, "session_token");
        ann.get("/api/auth/user").await.assert_status(200);
        let id = admin.get("/api/admin/users?search=ann").await.json()["data"]["items"][0]["id"].clone();
        let id = id.as_str().unwrap();
        let answer = match end {
            "logout" => ann.post("/api/auth/logout", &json!({})).await,
            "disable" => admin.patch(&format!("/api/admin/users/{id}"), &json!({ "disabled": true })).await,
            "must_change" => {
                admin.patch(&format!("/api/admin/users/{id}"), &json!({ "must_change_password": true })).await
            }
            "password" => {
                let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
                world.signed_in(ANN).await.post("/api/auth/password", &body).await
            }
            "admin" => admin.delete(&format!("/api/admin/sessions/{}", text(&data, "session_id"))).await,
            _ => {
                ann.refresh(&text(&data, "refresh_token")).await.assert_status(200);
                world.pass(Duration::from_secs(11));
                ann.refresh(&text(&data, "refresh_token")).await.assert_code(401, "refresh_failed");
                admin.get("/api/csrf").await
            }
        };
        answer.assert_status(200);
        let unknown = ann.get_with(&unknown_access(), "/api/auth/user").await.masked();
        assert_eq!(ann.get_with(&token, "/api/auth/user").await.masked(), unknown, "{end}");
        let inactive = world.bearer(&service).form("/api/auth/introspect", &[("token", &token)]).await;
        assert_eq!(inactive.text(), r#"{"active":false}"#, "{end}");
    }
}

/// R018, A13: signing out with a token that has just ended still ends the session, as it does with an opaque one.
#[tokio::test]
async fn an_ended_token_still_signs_out() {
    for kind in ["api", "standard"] {
        let world = world().await;
        let mut ann = world.client();
        let data = ann.tokens(ANN, kind).await;
        world.pass(Duration::from_secs(13 * 3600));
        ann.get("/api/auth/user").await.assert_status(401);
        ann.post("/api/auth/logout", &json!({})).await.assert_status(200);
        ann.refresh(&text(&data, "refresh_token")).await.assert_code(401, "refresh_failed");
    }
}

/// DESIGN 4, R019: a demotion bites inside the life of a token that still says otherwise.
#[tokio::test]
async fn a_demotion_bites_inside_a_tokens_life() {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    world.person(ANN, &["admin", "write:messages"]).await;
    let mut admin = world.administrator().await;
    let mut ann = world.client();
    ann.tokens(ANN, "api").await;
    ann.get("/api/admin/stats").await.assert_status(200);
    ann.get("/api/auth/verify?permission=write:messages").await.assert_status(200);
    let id = admin.get("/api/admin/users?search=ann").await.json()["data"]["items"][0]["id"].clone();
    let path = format!("/api/admin/users/{}", id.as_str().unwrap());
    admin.patch(&path, &json!({ "permissions": [] })).await.assert_status(200);
    ann.get("/api/admin/stats").await.assert_code(403, "permission_denied");
    ann.get("/api/auth/verify?permission=write:messages").await.assert_code(403, "permission_denied");
    let verified = ann.get("/api/auth/verify").await;
    assert_eq!(verified.header("x-wayleave-permissions"), Some(""));
}

async fn kids(world: &World) -> Vec<String> {
    let keys = jwks(world).await["keys"].clone();
    keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn rotate(admin: &mut Client<'_>) {
    step_up(admin).await;
    admin.post("/api/admin/keys/rotate", &json!({})).await.assert_status(200);
}

async fn step_up(admin: &mut Client<'_>) {
    admin.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await.assert_status(200);
}

/// R061, A36: public members only; a new key is published before it signs; a replaced one verifies until its last
/// token ended and is gone then; nobody is signed out; what only looks like a key is no key.
#[tokio::test]
async fn keys_change_without_signing_anybody_out() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let published = jwks(&world).await;
    for key in published["keys"].as_array().unwrap() {
        let names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["alg", "crv", "kid", "kty", "use", "x"]);
    }
    let mut early = world.client();
    let early_pair = early.tokens(ANN, "api").await;
    let before = kids(&world).await;

    rotate(&mut admin).await;
    let after = kids(&world).await;
    assert_eq!(after.len(), 2);
    assert_eq!(after[1], before[0]);
    admin.post("/api/admin/keys/rotate", &json!({})).await.assert_code(409, "conflict");
    let mut between = world.client();
    let token = text(&between.tokens(ANN, "api").await, "session_token");
    let (header, _) = read_with(&published, &token).expect("whoever cached the keys can still check");
    assert_eq!(header["kid"], json!(before[0]));
    early.get("/api/auth/user").await.assert_status(200);

    world.pass(world_cache(&world));
    let mut late = world.client();
    let token = text(&late.tokens(ANN, "api").await, "session_token");
    assert!(read_with(&published, &token).is_none());
    assert_eq!(read_with(&jwks(&world).await, &token).unwrap().0["kid"], json!(after[0]));
    early.get("/api/auth/user").await.assert_status(200);
    between.get("/api/auth/user").await.assert_status(200);
    late.get("/api/auth/user").await.assert_status(200);

    world.pass(Duration::from_secs(2 * 3600));
    assert_eq!(kids(&world).await, after[..1], "the replaced key is gone");
    let renewed = early.refresh(&text(&early_pair, "refresh_token")).await;
    renewed.assert_status(200);
    early.get_with(&renewed.data("session_token"), "/api/auth/user").await.assert_status(200);
    assert_eq!(world.audited("key.rotated").await.len(), 1);
}

/// How long others may keep the key set.
fn world_cache(_: &World) -> Duration {
    wayleave_server::config::Config::with_defaults("/nowhere".into()).jwt.jwks_max_age
}

/// A36: a flood of tokens that name keys nobody has reaches neither a store nor the network.
#[tokio::test]
async fn unknown_keys_cost_no_lookup() {
    let world = world().await;
    let mut ann = world.client();
    let token = text(&ann.tokens(ANN, "api").await, "session_token");
    let (_, rest) = token.split_once('.').unwrap();
    let faults = world.store.as_ref().unwrap().faults();
    let directory = world.directory.as_ref().unwrap().faults();
    faults.reset();
    directory.reset();
    for n in 0..500 {
        let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": format!("{n:043}") });
        let forged = format!("{}.{rest}", B64.encode(header.to_string()));
        ann.get_with(&forged, "/api/auth/user").await.assert_status(401);
    }
    assert!(faults.calls().is_empty(), "{:?}", faults.calls());
    let calls: Vec<_> = directory.calls().into_keys().collect();
    assert!(calls.iter().all(|verb| format!("{verb:?}").starts_with("Audit")), "{calls:?}");
}
