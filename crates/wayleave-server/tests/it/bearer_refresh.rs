//! Refreshing over HTTP: one use per token, the identical answer for a client that lost it, the end of a stolen
//! family, and nothing that outlives its session.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use wayleave_testkit::{Effect, Fault, StoreVerb, When};

use crate::people::{ANN, unknown_access, unknown_refresh, with_jwt_kind};
use crate::support::{Answer, send};
use crate::world::{Keeping, OTHER_PASSWORD, PASSWORD, World};

const PATH: &str = "/api/auth/sessions/refresh";

async fn ann() -> World {
    let world = World::new().await;
    world.person(ANN, &["read:profile"]).await;
    world
}

fn token(data: &Value, name: &str) -> String {
    data[name].as_str().unwrap().to_owned()
}

/// R064, A38, A13: a spent token ends its family and nothing else; who presents it learns no more than a stranger, and
/// the log says what happened once.
#[tokio::test]
async fn a_replay_ends_the_family() {
    let world = ann().await;
    let (ann, first) = world.with_tokens(ANN).await;
    let (mut bystander, _) = world.with_tokens(ANN).await;
    let unknown_refresh = ann.refresh(&unknown_refresh()).await.masked();
    let unknown_access = ann.get_with(&unknown_access(), "/api/auth/user").await;

    let second = ann.refresh(&token(&first, "refresh_token")).await;
    second.assert_status(200);
    let (access, refresh) = (second.data("session_token"), second.data("refresh_token"));
    assert_ne!(access, token(&first, "session_token"));
    assert_ne!(refresh, token(&first, "refresh_token"));
    assert_eq!(second.data("session_id"), token(&first, "session_id"));
    let old = ann.get_with(&token(&first, "session_token"), "/api/auth/user").await;
    assert_eq!(old.masked(), unknown_access.masked());
    ann.get_with(&access, "/api/auth/user").await.assert_status(200);

    world.pass(Duration::from_secs(11));
    let replayed = ann.refresh(&token(&first, "refresh_token")).await;
    replayed.assert_code(401, "refresh_failed");
    assert_eq!(replayed.masked(), unknown_refresh);
    assert_eq!(ann.refresh(&refresh).await.masked(), unknown_refresh);
    assert_eq!(ann.get_with(&access, "/api/auth/user").await.masked(), unknown_access.masked());
    bystander.get("/api/auth/user").await.assert_status(200);

    let reused = world.audited("refresh.reuse_detected").await;
    assert_eq!(reused.len(), 1);
    assert!(reused[0].subject.as_deref().unwrap().starts_with("user:user_"));
    let ended = world.audited("session.revoked").await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].reason.as_deref(), Some("refresh_reuse"));
    assert_eq!(ended[0].session, reused[0].session);
}

/// R066: within ten seconds the identical pair, never a second one and never a later end; from then on a replay.
#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again() {
    for (wait, identical) in [(0, true), (9, true), (11, false)] {
        let world = ann().await;
        let (ann, first) = world.with_tokens(ANN).await;
        let first = token(&first, "refresh_token");
        let second = ann.refresh(&first).await;
        world.pass(Duration::from_secs(wait));
        let again = ann.refresh(&first).await;
        if identical {
            assert_eq!(again.body, second.body, "after {wait} s");
            ann.get_with(&again.data("session_token"), "/api/auth/user").await.assert_status(200);
            assert_eq!(world.audited("refresh.repeated").await.len(), 1);
        } else {
            again.assert_code(401, "refresh_failed");
            ann.get_with(&second.data("session_token"), "/api/auth/user").await.assert_code(401, "session_invalid");
        }
    }
}

/// R066, A40: once the successor was used, its predecessor is a replay also inside the window, whoever comes second.
#[tokio::test]
async fn the_window_closes_when_the_successor_is_used() {
    let world = ann().await;
    let (ann, first) = world.with_tokens(ANN).await;
    let first = token(&first, "refresh_token");
    let thief = ann.refresh(&first).await;
    let ahead = ann.refresh(&thief.data("refresh_token")).await;
    ahead.assert_status(200);
    ann.refresh(&first).await.assert_code(401, "refresh_failed");
    ann.refresh(&ahead.data("refresh_token")).await.assert_code(401, "refresh_failed");
    ann.get_with(&ahead.data("session_token"), "/api/auth/user").await.assert_code(401, "session_invalid");
    assert_eq!(world.audited("refresh.reuse_detected").await.len(), 1);
}

/// R066: with no window the second use is a replay at once.
#[tokio::test]
async fn without_a_window_every_second_use_is_a_replay() {
    let world = World::with(Keeping::Memory, |config| config.sessions.refresh_window = Duration::ZERO).await;
    world.person(ANN, &[]).await;
    let (ann, first) = world.with_tokens(ANN).await;
    let second = ann.refresh(&token(&first, "refresh_token")).await;
    ann.refresh(&token(&first, "refresh_token")).await.assert_code(401, "refresh_failed");
    ann.get_with(&second.data("session_token"), "/api/auth/user").await.assert_code(401, "session_invalid");
}

async fn together(world: &World, refresh: &str, count: usize) -> Vec<Answer> {
    let barrier = Arc::new(Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let mut client = world.client();
            // A browser that also holds cookies of a page: losers must not lose them.
            client.fields.push(("x-wayleave-background".into(), "1".into()));
            let request = client.request(&format!("POST {PATH}"), Some(&json!({ "refresh_token": refresh })));
            let (router, barrier) = (world.router.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                send(&router, request).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// R065, R067, A39: of 100 at once one mints and 99 get its pair; no answer removes a cookie.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_mint_one_pair() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        world.person(ANN, &[]).await;
        let (ann, first) = world.with_tokens(ANN).await;
        let answers = together(&world, &token(&first, "refresh_token"), 100).await;
        for answer in &answers {
            answer.assert_status(200);
            assert_eq!(answer.body, answers[0].body);
            assert!(!answer.headers.contains_key("set-cookie"));
            assert!(!answer.headers.contains_key("clear-site-data"));
        }
        let counts = world.audit_counts(|counts| counts.get("refresh.repeated") == Some(&99)).await;
        assert_eq!(counts.get("refresh.rotated"), Some(&1), "{keeping:?} {counts:?}");
        assert_eq!(counts.get("refresh.reuse_detected"), None);
        ann.refresh(&answers[0].data("refresh_token")).await.assert_status(200);
    }
}

/// R065, R067, A39: with no window one mints at most, the family is over, and still no answer removes a cookie.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_at_once_without_a_window_fork_nothing() {
    let world = World::with(Keeping::Memory, |config| config.sessions.refresh_window = Duration::ZERO).await;
    world.person(ANN, &[]).await;
    let (ann, first) = world.with_tokens(ANN).await;
    let answers = together(&world, &token(&first, "refresh_token"), 100).await;
    let minted: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(minted.len(), 1);
    for answer in &answers {
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    ann.refresh(&minted[0].data("refresh_token")).await.assert_code(401, "refresh_failed");
    ann.get_with(&minted[0].data("session_token"), "/api/auth/user").await.assert_code(401, "session_invalid");
}

/// A41: when the answer of the exchange is lost, the old token leads to the one new pair; when the exchange never
/// happened, the old token is as good as before. Never both, never none.
#[tokio::test]
async fn a_crash_in_the_middle_loses_nothing_and_forks_nothing() {
    for effect in [Effect::Unreached, Effect::AnswerLost] {
        let world = ann().await;
        let (ann, first) = world.with_tokens(ANN).await;
        let (access, refresh) = (token(&first, "session_token"), token(&first, "refresh_token"));
        let faults = world.store.as_ref().unwrap().faults();
        faults.fail(StoreVerb::Rotate, Fault { when: When::Call(1), effect });
        ann.refresh(&refresh).await.assert_code(503, "store_unavailable");
        let after = ann.refresh(&refresh).await;
        after.assert_status(200);
        let rows = world.audit().await;
        let repeated = rows.iter().any(|row| &*row.event == "refresh.repeated");
        assert_eq!(repeated, effect == Effect::AnswerLost);
        ann.get_with(&access, "/api/auth/user").await.assert_code(401, "session_invalid");
        ann.get_with(&after.data("session_token"), "/api/auth/user").await.assert_status(200);
        ann.refresh(&after.data("refresh_token")).await.assert_status(200);
    }
}

/// R018, R020, R021, R070, A13, A42: nothing refreshes after signing out, a disabled account, a new password, an
/// administrator's end, or a deleted lineage; every answer is the one for an unknown token.
#[tokio::test]
async fn nothing_refreshes_what_is_over() {
    for end in ["logout", "sessions_logout", "disable", "password", "admin", "own"] {
        let world = ann().await;
        let mut admin = world.administrator().await;
        let (mut client, data) = world.with_tokens(ANN).await;
        let id = admin.get("/api/admin/users?search=ann").await.json()["data"]["items"][0]["id"].clone();
        let id = id.as_str().unwrap();
        let unknown = client.refresh(&unknown_refresh()).await.masked();
        let done = match end {
            "logout" => client.post("/api/auth/logout", &json!({})).await,
            "sessions_logout" => client.post("/api/auth/sessions/logout", &json!({})).await,
            "disable" => admin.patch(&format!("/api/admin/users/{id}"), &json!({ "disabled": true })).await,
            "password" => {
                let mut other = world.signed_in(ANN).await;
                let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
                other.post("/api/auth/password", &body).await
            }
            "admin" => admin.delete(&format!("/api/admin/users/{id}/sessions")).await,
            _ => client.delete(&format!("/api/auth/sessions/{}", token(&data, "session_id"))).await,
        };
        done.assert_status(200);
        let refused = client.refresh(&token(&data, "refresh_token")).await;
        assert_eq!(refused.masked(), unknown, "{end}");
        client.get("/api/auth/user").await.assert_code(401, "session_invalid");
    }
}

/// R014, R068, A42: tokens end with the session; refreshing all the time moves the absolute limit by nothing.
#[tokio::test]
async fn nothing_moves_the_absolute_limit() {
    let world = ann().await;
    let (ann, mut pair) = world.with_tokens(ANN).await;
    let end = token(&pair, "session_expires_at");
    for _ in 0..15 {
        world.pass(Duration::from_secs(11 * 3600));
        let answer = ann.refresh(&token(&pair, "refresh_token")).await;
        answer.assert_status(200);
        pair = answer.json()["data"].clone();
        assert_eq!(token(&pair, "session_expires_at"), end);
        assert!(token(&pair, "expires_at") <= end, "{pair}");
    }
    // 165 of 168 hours are over.
    world.pass(Duration::from_secs(3 * 3600 - 1));
    ann.get_with(&token(&pair, "session_token"), "/api/auth/user").await.assert_status(200);
    world.pass(Duration::from_secs(1));
    ann.get_with(&token(&pair, "session_token"), "/api/auth/user").await.assert_code(401, "session_expired");
    ann.refresh(&token(&pair, "refresh_token")).await.assert_code(401, "session_expired");
    world.clock.rewind(Duration::from_secs(3600));
    ann.refresh(&token(&pair, "refresh_token")).await.assert_code(401, "session_expired");
}

/// R001, R004: tokens of one person share their public prefix and nothing else, and hold neither person nor time.
#[tokio::test]
async fn tokens_mean_nothing() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let world = World::with(Keeping::Memory, |_| {}).await;
    let account = world.person(ANN, &[]).await;
    for name in ["session_token", "refresh_token"] {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for _ in 0..30 {
            let (_, data) = world.with_tokens(ANN).await;
            let text = token(&data, name);
            let bytes = URL_SAFE_NO_PAD.decode(&text[3..]).unwrap();
            assert_eq!(bytes.len(), 38, "256 random bits, routing and a checksum");
            assert!(!text.contains(&account.id.to_string()[5..]));
            for other in &seen {
                let alike = other.iter().zip(&bytes).take_while(|(one, other)| one == other).count();
                assert!(alike < 4, "{alike} bytes alike");
                let same = other.iter().zip(&bytes).filter(|(one, other)| one == other).count();
                assert!(same < 8, "{same} of 38 bytes are the same");
            }
            seen.push(bytes);
        }
        // No byte stands still: there is neither a time nor a shard in clear.
        for place in 0..38 {
            assert!(seen.iter().any(|bytes| bytes[place] != seen[0][place]), "byte {place} of {name}");
        }
    }
}

/// R006, A43: each token opens its own door alone.
#[tokio::test]
async fn tokens_are_not_taken_for_each_other() {
    let world = ann().await;
    let (ann, data) = world.with_tokens(ANN).await;
    let (access, refresh) = (token(&data, "session_token"), token(&data, "refresh_token"));
    let unknown = ann.get_with(&unknown_access(), "/api/auth/user").await.masked();
    assert_eq!(ann.get_with(&refresh, "/api/auth/user").await.masked(), unknown);
    let service = refresh.replace("rt_", "sk_");
    assert_eq!(ann.get_with(&service, "/api/auth/user").await.masked(), unknown);
    let unknown = ann.refresh(&unknown_refresh()).await.masked();
    for wrong in [&*access, &access.replace("wl_", "rt_"), &refresh.replace("rt_", "wl_"), "", " ", "rt_"] {
        assert_eq!(ann.refresh(wrong).await.masked(), unknown, "{wrong:?}");
    }
    // Nothing of that spent the real one.
    ann.refresh(&refresh).await.assert_status(200);
}

/// R069, A42: a refresh cannot ask for more, and gets less when the account has less by then.
#[tokio::test]
async fn a_refresh_never_widens_anything() {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    world.person(ANN, &["read:profile", "write:messages"]).await;
    let mut admin = world.administrator().await;
    let mut ann = world.client();
    let data = ann.tokens(ANN, "api").await;
    let refresh = token(&data, "refresh_token");
    for extra in [json!({ "scope": "admin" }), json!({ "permissions": ["admin"] }), json!({ "duration": 9_999_999 })] {
        let mut body = extra;
        body["refresh_token"] = refresh.clone().into();
        let answer = world.client().post(PATH, &body).await;
        assert!(answer.status.is_client_error(), "{}", answer.text());
    }
    let found = admin.get("/api/admin/users?search=ann").await.json();
    let id = found["data"]["items"][0]["id"].as_str().unwrap().to_owned();
    admin
        .patch(&format!("/api/admin/users/{id}"), &json!({ "permissions": ["read:profile"] }))
        .await
        .assert_status(200);
    let after = ann.refresh(&refresh).await;
    after.assert_status(200);
    let seen = ann.get_with(&after.data("session_token"), "/api/auth/sessions/validate").await;
    assert_eq!(seen.json()["data"]["permissions"], json!(["read:profile"]));
    admin
        .patch(&format!("/api/admin/users/{id}"), &json!({ "permissions": ["read:profile", "admin"] }))
        .await
        .assert_status(200);
    let later = ann.refresh(&after.data("refresh_token")).await;
    let seen = ann.get_with(&later.data("session_token"), "/api/auth/sessions/validate").await;
    assert_eq!(seen.json()["data"]["permissions"], json!(["read:profile"]), "what was not granted does not come later");
}

/// R071: with a cookie no token is in any body, and there is nothing to refresh.
#[tokio::test]
async fn cookie_sessions_never_see_a_token_in_a_body() {
    let world = ann().await;
    let mut ann = world.client();
    let mut answers = vec![ann.sign_in(ANN, PASSWORD).await];
    for path in ["session", "user", "sessions", "sessions/current", "sessions/validate", "verify"] {
        answers.push(ann.get(&format!("/api/auth/{path}")).await);
    }
    answers.push(ann.post("/api/auth/sessions/extend", &json!({})).await);
    answers.push(ann.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await);
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
    answers.push(ann.post("/api/auth/password", &body).await);
    for answer in &answers {
        answer.assert_status(200);
        for prefix in ["wl_", "rt_", "refresh"] {
            assert!(!answer.text().contains(prefix), "{prefix} in {}", answer.text());
        }
    }
    let cookie = ann.jar["__Host-id"].replace("wl_", "rt_");
    ann.refresh(&cookie).await.assert_code(401, "refresh_failed");
}
