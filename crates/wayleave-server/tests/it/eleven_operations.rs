//! The eleven operations of the OPAQUE vault's document, by the sessions that its people have: each does what its row in
//! `docs/compat/opaque-vault.md` says.

use std::time::Duration;

use serde_json::{Value, json};

use crate::people::{ANN, unknown_access};
use crate::support::Answer;
use crate::vault::OPAL;
use crate::world::{Client, PASSWORD, World};

/// Somebody who signed in by OPAQUE for bearer tokens, and the answer.
async fn created<'a>(world: &'a World, email: &str) -> (Client<'a>, Value) {
    let mut client = world.client();
    let answer = client.opaque_sign_in(email, PASSWORD).await;
    answer.assert_status(200);
    let data = answer.json()["data"].clone();
    client.bearer = data["session_token"].as_str().map(str::to_owned);
    (client, data)
}

async fn world() -> World {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    world.opaque_person(ANN, PASSWORD).await;
    world
}

fn time(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

async fn validates(client: &mut Client<'_>) -> u16 {
    client.get("/api/auth/sessions/validate").await.status.as_u16()
}

/// Create: only a finished login opens a session. No subject can be named, by whoever signs in or by a service.
#[tokio::test]
async fn create() {
    let world = world().await;
    let (mut client, data) = created(&world, OPAL).await;
    assert!(data["session_token"].as_str().unwrap().starts_with("wl_"));
    let session = client.get("/api/auth/sessions/current").await.json()["data"].clone();
    assert_eq!(session["amr"], json!(["opaque"]));
    let body = json!({ "subject": session["subject"], "user_id": session["subject"] });
    world.client().post("/api/auth/sessions", &body).await.assert_status(401);
    client.post("/api/auth/sessions", &json!({ "subject": "x" })).await.assert_status(401);
    let secret = world.administrator().await.make_service("shop", &[]).await;
    let opal = json!({ "subject": session["subject"] });
    let opened = world.bearer(&secret).post("/api/auth/sessions", &opal).await;
    let mut foreign = world.bearer(opened.json()["data"]["session_token"].as_str().unwrap());
    let whose = foreign.get("/api/auth/sessions/current").await.json()["data"].clone();
    assert_eq!(whose["subject"], format!("ext:shop:{}", session["subject"].as_str().unwrap()));
    assert_eq!(whose["amr"], json!(["svc"]));
    let started = world.client().opaque_start(OPAL, PASSWORD).await;
    let unfinished = crate::opaque::finish_body(&started.login_id, &crate::opaque::encode([0; 64]));
    world.client().post(crate::opaque::LOGIN_FINISH, &unfinished).await.assert_code(401, "invalid_credentials");
}

/// Validate: whether a token is good and until when; nothing else is told of one that is not.
#[tokio::test]
async fn validate() {
    let world = world().await;
    let (mut client, data) = created(&world, OPAL).await;
    let answer = client.get("/api/auth/sessions/validate").await.json()["data"].clone();
    assert_eq!(answer["valid"], true);
    assert_eq!(answer["expires_at"], data["expires_at"]);
    assert_eq!(answer["session_id"], data["session_id"]);
    let invalid = |answer: Answer| {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["data"]["valid"], false);
        answer.json()["data"]["reason"].as_str().unwrap().to_owned()
    };
    let path = "/api/auth/sessions/validate";
    assert_eq!(invalid(world.client().get(path).await), "no_token");
    assert_eq!(invalid(world.bearer(&unknown_access()).get(path).await), "invalid");
    world.pass(Duration::from_secs(12 * 3600));
    assert_eq!(invalid(client.get(path).await), "expired");
}

/// Refresh: a new pair for the old one, without a proof and within limits that it does not move. What is shown twice ends it.
#[tokio::test]
async fn refresh() {
    let world = world().await;
    let (mut client, first) = created(&world, OPAL).await;
    let old = client.bearer.clone().unwrap();
    world.pass(Duration::from_secs(3600));
    let answer = client.refresh(first["refresh_token"].as_str().unwrap()).await;
    answer.assert_status(200);
    let second = answer.json()["data"].clone();
    assert_ne!(second["session_token"], first["session_token"]);
    assert_eq!(second["session_id"], first["session_id"]);
    assert_eq!(second["session_expires_at"], first["session_expires_at"]);
    assert_eq!(time(&second["expires_at"]) - time(&first["expires_at"]), 3600);
    assert_eq!(validates(&mut world.bearer(&old)).await, 401);
    client.bearer = second["session_token"].as_str().map(str::to_owned);
    assert_eq!(validates(&mut client).await, 200);
    world.pass(Duration::from_secs(60));
    client.refresh(first["refresh_token"].as_str().unwrap()).await.assert_code(401, "refresh_failed");
    assert_eq!(validates(&mut client).await, 401, "a spent token was stolen");
}

/// Invalidate: the session of the token is over at once.
#[tokio::test]
async fn invalidate() {
    let world = world().await;
    let (mut client, data) = created(&world, OPAL).await;
    client.post("/api/auth/sessions/logout", &json!({})).await.assert_status(200);
    assert_eq!(validates(&mut client).await, 401);
    client.refresh(data["refresh_token"].as_str().unwrap()).await.assert_code(401, "refresh_failed");
    client.post("/api/auth/sessions/logout", &json!({})).await.assert_status(200);
    // One of several, by its handle.
    let ((mut one, _), (mut other, named)) = (created(&world, OPAL).await, created(&world, OPAL).await);
    let path = format!("/api/auth/sessions/{}", named["session_id"].as_str().unwrap());
    one.delete(&path).await.assert_status(200);
    assert_eq!((validates(&mut one).await, validates(&mut other).await), (200, 401));
}

/// List: one's own and nobody else's, newest first, in pages that miss nothing and repeat nothing.
#[tokio::test]
async fn list() {
    let world = World::with(crate::world::Keeping::Memory, |config| {
        crate::people::limit_web(config, 9, wayleave_core::policy::AtLimit::EvictOldest);
    })
    .await;
    world.opaque_person(OPAL, PASSWORD).await;
    world.opaque_person(ANN, PASSWORD).await;
    let mut expected = Vec::new();
    let mut client = world.client();
    for _ in 0..7 {
        let data = world.client().vault_sign_in(OPAL, crate::roles::Held::Bearer, "read").await;
        client.bearer = data["session_token"].as_str().map(str::to_owned);
        expected.insert(0, data["session_id"].clone());
        created(&world, ANN).await;
        world.pass(Duration::from_secs(1));
    }
    let (mut listed, mut after) = (Vec::new(), String::new());
    for size in [3, 3, 1] {
        let page = client.get(&format!("/api/auth/sessions?limit=3{after}")).await.json()["data"].clone();
        let items = page["items"].as_array().unwrap();
        assert_eq!(items.len(), size);
        listed.extend(items.iter().map(|item| item["session_id"].clone()));
        if let Some(next) = page["next"].as_str() {
            after = format!("&after={next}");
        }
    }
    assert_eq!(listed, expected);
    for limit in ["0", "201", "x"] {
        let answer = client.get(&format!("/api/auth/sessions?limit={limit}")).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{limit}");
    }
    // There is nobody else to ask for.
    let answer = client.get("/api/auth/sessions?user_id=x").await;
    assert!(matches!(answer.status.as_u16(), 400 | 422));
}

/// Stats: live and ended apart, for administrators alone.
#[tokio::test]
async fn stats() {
    let world = world().await;
    for _ in 0..3 {
        created(&world, OPAL).await;
    }
    let (mut client, _) = created(&world, ANN).await;
    client.get("/api/admin/stats").await.assert_code(403, "permission_denied");
    let mut admin = world.administrator().await;
    let before = admin.get("/api/admin/stats").await.json()["data"].clone();
    assert_eq!(before["live"]["standard"], 4, "{before}");
    client.post("/api/auth/sessions/logout", &json!({})).await.assert_status(200);
    let after = admin.get("/api/admin/stats").await.json()["data"].clone();
    assert_eq!(after["live"]["standard"], 3, "{after}");
    assert_eq!(after["accounts"], 3);
}

/// Cleanup: what ended long enough ago goes, for administrators alone, and by itself in the background.
#[tokio::test]
async fn cleanup() {
    let world = world().await;
    let (mut client, _) = created(&world, OPAL).await;
    client.post("/api/admin/sweep", &json!({})).await.assert_code(403, "permission_denied");
    let keep = world.app.options.keep_ended;
    world.pass(Duration::from_secs(7 * 86_400) + keep + Duration::from_secs(1));
    let (mut live, _) = created(&world, OPAL).await;
    let mut admin = world.administrator().await;
    let swept = admin.post("/api/admin/sweep", &json!({})).await.json()["data"].clone();
    assert_eq!(swept["sessions"], 1, "{swept}");
    assert_eq!(validates(&mut live).await, 200);
    let again = admin.post("/api/admin/sweep", &json!({})).await.json()["data"].clone();
    assert_eq!(again["sessions"], 0);
}

/// Current: the session of the token, with its whole handle, what it may do, and its limits.
#[tokio::test]
async fn current() {
    let world = world().await;
    let (mut client, data) = created(&world, OPAL).await;
    world.pass(Duration::from_secs(90));
    client.get("/api/auth/user").await.assert_status(200);
    let session = client.get("/api/auth/sessions/current").await.json()["data"].clone();
    for field in ["session_id", "session_type", "permissions", "expires_at", "session_expires_at"] {
        assert_eq!(session[field], data[field], "{field}");
    }
    assert_eq!(session["current"], true);
    assert_eq!(time(&session["last_activity"]) - time(&session["created_at"]), 90);
    world.client().get("/api/auth/sessions/current").await.assert_code(401, "session_required");
}

/// Health: whether the server lives and can serve, without a session.
#[tokio::test]
async fn health() {
    let world = world().await;
    for path in ["/healthz", "/readyz"] {
        let answer = world.client().get(path).await;
        answer.assert_status(200);
        assert_eq!(answer.json()["status"], "ok");
    }
    world.store.as_ref().unwrap().take_down();
    world.client().get("/healthz").await.assert_status(200);
    world.client().get("/readyz").await.assert_status(503);
}

/// Token information: for services with a key of theirs, in a body and never in a URL. Of what proves no session it says only
/// that.
#[tokio::test]
async fn token_information() {
    let world = world().await;
    let (mut client, data) = created(&world, OPAL).await;
    let token = client.bearer.clone().unwrap();
    let secret = world.administrator().await.make_service("api", &[]).await;
    let service = world.bearer(&secret);
    let about = service.form("/api/auth/introspect", &[("token", &token)]).await.json();
    assert_eq!(about["active"], true);
    assert_eq!(about["sid"], data["session_id"]);
    assert_eq!(about["amr"], json!(["opaque"]));
    assert_eq!(about["exp"], time(&data["expires_at"]));
    let inactive = json!({ "active": false });
    for token in [&unknown_access(), data["refresh_token"].as_str().unwrap(), "x"] {
        assert_eq!(service.form("/api/auth/introspect", &[("token", token)]).await.json(), inactive);
    }
    client.form("/api/auth/introspect", &[("token", &token)]).await.assert_status(401);
    client.post("/api/auth/sessions/logout", &json!({})).await.assert_status(200);
    assert_eq!(service.form("/api/auth/introspect", &[("token", &token)]).await.json(), inactive);
}

/// Invalidate all, or all others: of one's own account, after a recent sign-in.
#[tokio::test]
async fn invalidate_all_or_others() {
    let world = world().await;
    let (mut one, _) = created(&world, OPAL).await;
    let (mut two, _) = created(&world, OPAL).await;
    let (mut three, _) = created(&world, OPAL).await;
    let (mut ann, _) = created(&world, ANN).await;
    let ended = one.delete("/api/auth/sessions?scope=others").await.json()["data"]["ended"].clone();
    assert_eq!(ended, 2);
    let statuses = [validates(&mut one).await, validates(&mut two).await, validates(&mut three).await];
    assert_eq!(statuses, [200, 401, 401]);
    assert_eq!(one.delete("/api/auth/sessions?scope=all").await.json()["data"]["ended"], 1);
    assert_eq!((validates(&mut one).await, validates(&mut ann).await), (401, 200));
    world.pass(world.app.options.step_up_max_age + Duration::from_secs(1));
    let late = ann.delete("/api/auth/sessions?scope=all").await;
    late.assert_code(401, "insufficient_user_authentication");
}
