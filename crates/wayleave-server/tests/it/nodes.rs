//! Three servers on one store: PostgreSQL, or Redis with PostgreSQL beside it.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::fleet::{Fleet, LEASE, PASSWORD, Sessions, email};
use super::nginx;
use super::process::ask;

/// How long after a sign-out has returned another server still honours the session.
async fn time_to_refusal(fleet: &Fleet, trial: usize) -> Duration {
    let token = fleet.warm().await;
    let (ends, other) = (trial % 3, (trial + 1 + trial / 3 % 2) % 3);
    assert_eq!(fleet.ask(ends, "POST", "/api/auth/logout", &token, None).await, 200);
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        if fleet.validate(other, &token).await == 401 {
            return asked;
        }
        assert!(asked < LEASE, "it is honoured longer than a lease");
    }
}

/// R018: what one server ends no other honours, and what it opens all do.
async fn one_deployment(sessions: Sessions) {
    let fleet = Fleet::start(sessions, "prompt").await;
    let mut times = Vec::new();
    for trial in 0..10 {
        times.push(time_to_refusal(&fleet, trial).await);
    }
    // All of a person's, by one request.
    let (token, other) = (fleet.warm().await, fleet.warm().await);
    assert_eq!(fleet.ask(1, "DELETE", "/api/auth/sessions?scope=others", &token, None).await, 200);
    let begun = Instant::now();
    while fleet.validate(2, &other).await != 401 {
        assert!(begun.elapsed() < LEASE);
    }
    assert_eq!(fleet.validate(2, &token).await, 200);
    // A server that ends leaves the others going.
    fleet.servers[2].kill_now();
    fleet.sign_out(0, &token).await;
    let again = fleet.sign_in(1).await;
    assert_eq!(fleet.validate(0, &again).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_postgres_are_one_deployment() {
    one_deployment(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_redis_are_one_deployment() {
    one_deployment(Sessions::Redis).await;
}

/// Behind nginx as the documentation shows it, requests go to one server after another, and on to the next when one dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_sends_requests_to_any_of_them() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/several-servers.md");
    let mut fleet = Fleet::start(Sessions::Postgres, "strict").await;
    let front = nginx::free_address();
    let mut http = nginx::documented(PAGE).replace("listen 10.0.0.5:80;", &format!("listen {front};"));
    for (documented, server) in ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"].iter().zip(&fleet.servers) {
        assert!(http.contains(documented));
        http = http.replace(documented, &server.address.to_string());
    }
    let _nginx = nginx::start(fleet.folder.path(), &http, front).await;
    let body = json!({ "email": email(0), "password": PASSWORD, "transport": "bearer" });
    let validate = async |bearer: &str| {
        let fields = [("authorization", bearer)];
        ask(front, "GET", "/api/auth/sessions/validate", &fields, None).await.unwrap().status.as_u16()
    };
    for dies in [false, true] {
        if dies {
            fleet.servers.pop().unwrap().kill_now();
        }
        let answer = ask(front, "POST", "/api/auth/login", &[], Some(&body)).await.unwrap();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let bearer = format!("Bearer {}", answer.json()["data"]["session_token"].as_str().unwrap());
        for _ in 0..9 {
            assert_eq!(validate(&bearer).await, 200);
        }
        let fields = [("authorization", bearer.as_str())];
        assert_eq!(ask(front, "POST", "/api/auth/logout", &fields, None).await.unwrap().status, 200);
        for _ in 0..9 {
            assert_eq!(validate(&bearer).await, 401, "a server dies: {dies}");
        }
    }
}

/// A server with a key of its own says what is wrong instead of misreading what the others sealed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_master_key_does_not_start() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let data = fleet.folder.path().join("stranger");
    std::fs::create_dir(&data).unwrap();
    let started = tokio::process::Command::new(env!("CARGO_BIN_EXE_wayleave"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .env_clear()
        .env("WAYLEAVE_STORE_URL", fleet.database.url())
        .current_dir(&data)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(!started.status.success());
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(said.contains("sealed under another master key"), "{said}");
}

/// How soon a thousand revocations are in force on another server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
#[allow(clippy::print_stderr, reason = "the figures are what it is for")]
async fn a_thousand_revocations_are_heard() {
    for sessions in [Sessions::Postgres, Sessions::Redis] {
        let fleet = Fleet::start(sessions, "prompt").await;
        let mut times = Vec::new();
        for trial in 0..1000 {
            times.push(time_to_refusal(&fleet, trial).await);
        }
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        eprintln!("{sessions:?}: revoked elsewhere: p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
    }
}
