//! What attempts cost, and that nobody's attempts are another's.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::Listing;
use wayleave_server::config::{Config, Registration};

use super::{LOGIN_FINISH, LOGIN_START, REGISTER_START, encode, finish_body, ke1};
use crate::people::{ANN, BOB, limit_web};
use crate::support::{Answer, send};
use crate::world::{Keeping, OTHER_PASSWORD, PASSWORD, World};

async fn world(change: impl FnOnce(&mut Config)) -> World {
    let world = World::with(Keeping::Memory, change).await;
    world.opaque_person(ANN, PASSWORD).await;
    world.person(BOB, &[]).await;
    world
}

async fn start(world: &World, email: &str) -> Answer {
    world.client().post(LOGIN_START, &json!({ "identifier": email, "request": ke1(PASSWORD).0 })).await
}

/// R112, A56: first halves count although no second one ever comes, for names with and without an account alike, and
/// together with wrong passwords.
#[tokio::test]
async fn first_halves_count() {
    let world = world(|_| {}).await;
    let mut locked = Vec::new();
    for name in [ANN, BOB, "nobody@example.com", "no address"] {
        for _ in 0..3 {
            start(&world, name).await.assert_status(200);
        }
        let password = json!({ "email": name, "password": OTHER_PASSWORD, "transport": "bearer" });
        for _ in 0..2 {
            world.client().post("/api/auth/login", &password).await.assert_code(401, "invalid_credentials");
        }
        let answer = start(&world, name).await;
        answer.assert_code(429, "account_locked");
        world.client().post("/api/auth/login", &password).await.assert_code(429, "account_locked");
        locked.push(answer.masked());
    }
    assert!(locked.iter().all(|answer| answer == &locked[0]), "{locked:#?}");
    assert_eq!(world.audited("login.locked").await.len(), 4);
}

/// R112: a finished login takes back what it was charged, as does a finished registration.
#[tokio::test]
async fn good_ends_are_refunded() {
    let world = world(|config| {
        config.accounts.registration = Registration::Open;
        config.rate_limits.failed_sign_ins = Some("20/1m".parse().unwrap());
    })
    .await;
    let mut client = world.client();
    for _ in 0..30 {
        client.opaque_sign_in(ANN, PASSWORD).await.assert_status(200);
    }
    for number in 0..8 {
        let email = format!("new{number}@example.com");
        client.opaque_register(&email, PASSWORD, None).await.assert_status(201);
        client.opaque_sign_in(&email, PASSWORD).await.assert_status(200);
    }
}

/// A52, R112: guesses that are spread over many names make strangers wait, whoever they are; one network waits by itself
/// before.
#[tokio::test]
async fn spread_guesses_make_strangers_wait() {
    let world = world(|config| config.rate_limits.failed_sign_ins = Some("40/1h".parse().unwrap())).await;
    let ask = async |network: u8, name: String| {
        let mut client = world.client();
        client.address = Ipv4Addr::new(198, 51, network, 1);
        client.post(LOGIN_START, &json!({ "identifier": name, "request": ke1(PASSWORD).0 })).await
    };
    for number in 0..4 {
        ask(1, format!("one{number}@example.com")).await.assert_status(200);
    }
    ask(1, ANN.to_owned()).await.assert_code(429, "rate_limited");
    for network in 2..11 {
        for number in 0..4 {
            ask(network, format!("{network}-{number}@example.com")).await.assert_status(200);
        }
    }
    let known = ask(200, ANN.to_owned()).await;
    known.assert_code(429, "rate_limited");
    ask(200, "nobody@example.com".to_owned()).await.assert_code(429, "rate_limited");
}

/// R101: strangers' attempts do not keep a known client out, by cookie or by token.
#[tokio::test]
async fn known_devices_come_in_past_strangers() {
    let world = world(|_| {}).await;
    let mut page = world.client();
    page.get("/api/csrf").await.assert_status(200);
    let (login_id, ke3) = page.opaque_start(ANN, PASSWORD).await.ke3(PASSWORD).unwrap();
    page.post(LOGIN_FINISH, &json!({ "login_id": login_id, "finish": ke3 })).await.assert_status(200);
    let mut bearer = world.client();
    let (login_id, ke3) = bearer.opaque_start(ANN, PASSWORD).await.ke3(PASSWORD).unwrap();
    let mut finish = finish_body(&login_id, &ke3);
    finish["remember_device"] = true.into();
    let token = bearer.post(LOGIN_FINISH, &finish).await.data("device_token");

    for _ in 0..5 {
        start(&world, ANN).await.assert_status(200);
    }
    start(&world, ANN).await.assert_code(429, "account_locked");
    page.opaque_start(ANN, PASSWORD).await;
    let with_token = json!({ "identifier": ANN, "request": ke1(PASSWORD).0, "device_token": token });
    bearer.post(LOGIN_START, &with_token).await.assert_status(200);
    start(&world, ANN).await.assert_code(429, "account_locked");
}

/// R113, R112: the first half of a registration can tell as much as that of a login, so it counts as much.
#[tokio::test]
async fn first_halves_of_registrations_count() {
    let world = world(|config| config.accounts.registration = Registration::Open).await;
    for email in [ANN, "new@example.com"] {
        let request = encode(super::client(PASSWORD).register().0);
        let wish = json!({ "identifier": email, "request": request });
        for _ in 0..5 {
            world.client().post(REGISTER_START, &wish).await.assert_status(200);
        }
        world.client().post(REGISTER_START, &wish).await.assert_code(429, "account_locked");
        start(&world, email).await.assert_code(429, "account_locked");
    }
}

/// Logins of one account go on side by side and are finished in any order; another's failure ends none of them.
#[tokio::test]
async fn logins_do_not_cancel_each_other() {
    let world = world(|_| {}).await;
    let mut client = world.client();
    let mut under_way = Vec::new();
    for _ in 0..4 {
        under_way.push(client.opaque_start(ANN, PASSWORD).await);
    }
    let wrong = under_way.remove(1);
    let finish = finish_body(&wrong.login_id, &encode([7; 64]));
    client.post(LOGIN_FINISH, &finish).await.assert_code(401, "invalid_credentials");
    while let Some(started) = under_way.pop() {
        let (login_id, ke3) = started.ke3(PASSWORD).unwrap();
        client.post(LOGIN_FINISH, &finish_body(&login_id, &ke3)).await.assert_status(200);
    }
}

/// R024: of fifty logins that are finished at once, at a limit of three, three sessions are left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_logins_keep_the_limit() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |config| {
            config.lockout.attempts = 100;
            limit_web(config, 3, AtLimit::EvictOldest);
        })
        .await;
        let account = world.opaque_person(ANN, PASSWORD).await;
        let mut proofs = Vec::new();
        for _ in 0..50 {
            proofs.push(world.client().opaque_start(ANN, PASSWORD).await.ke3(PASSWORD).unwrap());
        }
        let barrier = Arc::new(Barrier::new(proofs.len()));
        let mut tasks = Vec::new();
        for (login_id, ke3) in proofs {
            let mut body = finish_body(&login_id, &ke3);
            body["session_type"] = "web".into();
            let request = world.client().request(&format!("POST {LOGIN_FINISH}"), Some(&body));
            let (router, barrier) = (world.router.clone(), Arc::clone(&barrier));
            tasks.push(tokio::spawn(async move {
                barrier.wait().await;
                send(&router, request).await.status
            }));
        }
        for task in tasks {
            assert_eq!(task.await.unwrap(), 200);
        }
        let evicted = world.audit_counts(|counts| counts.get("session.evicted") == Some(&47)).await;
        assert_eq!(evicted["session.created"], 50, "{keeping:?}");
        let subject = account.subject();
        let listing = Listing { subject: None, after: None, most: 100 };
        let records = world.app.store.list(&listing).await.unwrap().records;
        let now = world.app.now();
        let live = records.iter().filter(|record| record.subject == subject && !record.has_ended(now)).count();
        assert_eq!(live, 3, "{keeping:?}");
    }
}
