//! Opening the vault: with a login by OPAQUE, or by proving again inside a session.

use std::time::Duration;

use serde_json::{Value, json};

use super::{OPAL, finish_with_vault};
use crate::opaque::{LOGIN_FINISH, LOGIN_START, encode};
use crate::people::{ANN, BOB};
use crate::roles::Held;
use crate::world::{Keeping, OTHER_PASSWORD, PASSWORD, World};

#[tokio::test]
async fn a_login_opens_it_where_asked() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    for held in [Held::Bearer, Held::Cookie] {
        for right in ["read", "write"] {
            let mut client = world.client();
            let told = client.vault_sign_in(OPAL, held, right).await["vault"].clone();
            assert_eq!(told["right"], right);
            assert_eq!(told["ended"], Value::Null);
            let time = |name: &str| told[name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
            assert_eq!(time("ends_at") - time("opened_at"), 15 * 60);
            assert_eq!(client.vault().await, told);
        }
    }
    let mut plain = world.client();
    let answer = plain.opaque_sign_in(OPAL, PASSWORD).await;
    assert_eq!(answer.json()["data"].get("vault"), None);
    plain.bearer = answer.json()["data"]["session_token"].as_str().map(str::to_owned);
    assert_eq!(plain.vault().await, Value::Null);
    let opened = world.audited("vault.opened").await;
    let reasons: Vec<_> = opened.iter().map(|row| row.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["read", "write", "read", "write"]);
    assert!(opened.iter().all(|row| row.session.is_some() && row.subject.is_some()));
}

/// What is no right opens nothing, and a sign-in with a password has no such wish.
#[tokio::test]
async fn nothing_else_opens_it() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    world.person(ANN, &[]).await;
    for right in [json!("admin"), json!(""), json!("Write"), json!(1), json!(["write"])] {
        let (login, ke3) = world.client().opaque_start(OPAL, PASSWORD).await.ke3(PASSWORD).unwrap();
        let answer = world.client().post(LOGIN_FINISH, &finish_with_vault(&login, &ke3, &right)).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{right}: {}", answer.text());
    }
    let body = json!({ "email": ANN, "password": PASSWORD, "transport": "bearer", "vault": "read" });
    world.client().post("/api/auth/login", &body).await.assert_code(422, "validation_failed");
}

/// A wrong password opens neither session nor vault.
#[tokio::test]
async fn a_wrong_password_opens_nothing() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let (login, _) = world.client().opaque_start(OPAL, PASSWORD).await.ke3(PASSWORD).unwrap();
    let body = finish_with_vault(&login, &encode([7; 64]), &json!("write"));
    world.client().post(LOGIN_FINISH, &body).await.assert_code(401, "invalid_credentials");
    assert!(world.audited("vault.opened").await.is_empty());
}

/// R011, R014, R025: a running session opens it by proving again. It goes on under another id, within the limits that it had.
#[tokio::test]
async fn a_running_session_opens_it_by_a_fresh_proof() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = world.client();
    let answer = client.opaque_sign_in(OPAL, PASSWORD).await;
    client.bearer = answer.json()["data"]["session_token"].as_str().map(str::to_owned);
    let before = client.get("/api/auth/sessions/current").await.json()["data"].clone();
    let old = client.bearer.clone().unwrap();
    world.pass(Duration::from_secs(600));

    let answer = client.opaque_step_up(OPAL, Some("write")).await;
    answer.assert_status(200);
    assert_eq!(answer.json()["data"]["vault"]["right"], "write");
    let after = client.get("/api/auth/sessions/current").await.json()["data"].clone();
    assert_eq!(after["vault"], answer.json()["data"]["vault"]);
    assert_ne!(after["session_id"], before["session_id"]);
    assert_eq!(after["session_expires_at"], before["session_expires_at"]);
    assert_eq!(after["created_at"], before["created_at"]);
    assert_ne!(after["auth_time"], before["auth_time"]);
    assert_eq!(world.bearer(&old).get("/api/auth/user").await.status, 401);

    // Another right takes the place of this one; without a wish it stays.
    client.opaque_step_up(OPAL, None).await.assert_status(200);
    assert_eq!(client.vault().await["right"], "write");
    client.opaque_step_up(OPAL, Some("read")).await.assert_status(200);
    assert_eq!(client.vault().await["right"], "read");
    let step_ups = world.audited("session.step_up").await;
    assert_eq!(step_ups.len(), 3);
    assert!(step_ups.iter().all(|row| row.reason.as_deref() == Some("opaque")));
    assert_eq!(world.audited("vault.opened").await.len(), 2);
}

/// R025, R060: the proof must be of whoever the session is of, and is good once. What is refused leaves the session as it is.
#[tokio::test]
async fn a_proof_of_somebody_else_opens_nothing() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    world.opaque_person(BOB, PASSWORD).await;
    world.person(ANN, &[]).await;
    let mut opal = world.client();
    opal.vault_sign_in(OPAL, Held::Bearer, "read").await;
    let held = opal.vault().await;
    opal.opaque_step_up(BOB, Some("write")).await.assert_code(401, "invalid_credentials");
    assert_eq!(opal.vault().await, held);
    let (mut ann, _) = world.with_tokens(ANN).await;
    ann.opaque_step_up(OPAL, Some("write")).await.assert_code(401, "invalid_credentials");
    assert_eq!(ann.vault().await, Value::Null);

    let (login, ke3) = world.client().opaque_start(OPAL, PASSWORD).await.ke3(PASSWORD).unwrap();
    let body = json!({ "login_id": login, "finish": ke3, "vault": "write" });
    let first = opal.post(super::STEP_UP, &body).await;
    first.assert_status(200);
    opal.bearer = first.json()["data"]["tokens"]["session_token"].as_str().map(str::to_owned);
    opal.post(super::STEP_UP, &body).await.assert_code(401, "invalid_credentials");
}

/// R112: proving again is counted as signing in is, from its first half on, and a good end takes that back.
#[tokio::test]
async fn fresh_proofs_are_counted() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = world.client();
    client.vault_sign_in(OPAL, Held::Bearer, "read").await;
    for _ in 0..12 {
        client.opaque_step_up(OPAL, None).await.assert_status(200);
    }
    for _ in 0..5 {
        client.opaque_start(OPAL, OTHER_PASSWORD).await;
    }
    let (request, _) = crate::opaque::ke1(PASSWORD);
    let body = json!({ "identifier": OPAL, "request": request });
    client.post(LOGIN_START, &body).await.assert_code(429, "account_locked");
}

/// All requests that use an open vault at once are answered, also where its end is due to be moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_use_is_no_conflict() {
    let world = World::with(Keeping::Sqlite, |_| ()).await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = world.client();
    client.vault_sign_in(OPAL, Held::Bearer, "read").await;
    let opened = client.vault().await["ends_at"].clone();
    for _ in 0..3 {
        world.pass(Duration::from_secs(120));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let mut request = client.request("GET /api/vault/blobs", None);
            let peer = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 50_000));
            request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
            let router = world.router.clone();
            tasks.spawn(async move { crate::support::send(&router, request).await.status.as_u16() });
        }
        let answers = tasks.join_all().await;
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    }
    assert_ne!(client.vault().await["ends_at"], opened, "it was moved");
}
