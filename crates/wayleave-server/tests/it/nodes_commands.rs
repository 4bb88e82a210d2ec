//! What commands change while servers run on the same store: every server hears of it.

use std::collections::BTreeSet;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::fleet::{Fleet, LEASE, Sessions, email};

/// The names of the keys that a server publishes.
async fn published(fleet: &Fleet, server: usize) -> BTreeSet<String> {
    let answer = fleet.servers[server].ask("GET", "/.well-known/jwks.json", &[], None).await.unwrap();
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// R061: a signing key that a command makes is published by every server long before it signs.
async fn keys_are_rotated(sessions: Sessions) {
    let fleet = Fleet::start(sessions, "prompt").await;
    let made: Value = serde_json::from_str(&printed(&fleet.command(&["key", "rotate", "--json"]).await)).unwrap();
    let begun = Instant::now();
    for server in 0..3 {
        while !published(&fleet, server).await.contains(made["kid"].as_str().unwrap()) {
            assert!(begun.elapsed() < LEASE, "server {server} does not know the new key");
        }
        assert_eq!(published(&fleet, server).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_reaches_servers_on_postgres() {
    keys_are_rotated(Sessions::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_reaches_servers_on_redis() {
    keys_are_rotated(Sessions::Redis).await;
}

/// Settings of whoever died before it could tell anybody are in force all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_nobody_told_of_are_found() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let is_open = async |server: usize| {
        let body = json!({ "email": "bob@example.com", "password": "short", "name": "Bob" });
        let answer = fleet.servers[server].post("/api/auth/register", &body).await.unwrap().json();
        match answer["error"]["code"].as_str() {
            Some("registration_closed") => false,
            Some("validation_failed" | "weak_password") => true,
            _ => panic!("{answer}"),
        }
    };
    // Twice: servers read settings as well some time after others have started.
    for (revision, open) in [(1, true), (2, false)] {
        let registration = if open { "open" } else { "closed" };
        let policy = json!({
            "policy": {
                "session_timeout_minutes": 30, "lockout_attempts": 5, "lockout_window_minutes": 15, "lockout_minutes": 30,
                "registration": registration,
            },
            "dead_before": 0,
        });
        let row = format!(
            "INSERT INTO wayleave.settings VALUES ('policy', convert_to('{policy}', 'UTF8'), {revision}) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, revision = excluded.revision"
        );
        assert_ne!(is_open(2).await, open);
        fleet.database.psql(&row).unwrap();
        let begun = Instant::now();
        for server in 0..3 {
            while is_open(server).await != open {
                assert!(begun.elapsed() < Duration::from_secs(20), "server {server}");
            }
        }
    }
}

/// R024: a service whose key a command withdraws is refused at once, and so are its sessions, also where they could not be
/// taken off the record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_service_is_refused_everywhere() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let key = printed(&fleet.command(&["service-key", "add", "shop", "--permission", "read:profile"]).await);
    let body = json!({ "subject": "c-17", "session_type": "standard" });
    let bearer = format!("Bearer {}", key.trim());
    let fields = [("authorization", bearer.as_str())];
    let opened = fleet.servers[0].ask("POST", "/api/auth/sessions", &fields, Some(&body)).await.unwrap();
    assert_eq!(opened.status, 201, "{}", String::from_utf8_lossy(&opened.body));
    let token = opened.json()["data"]["session_token"].as_str().unwrap().to_owned();
    for server in [0, 1, 2, 0, 1, 2] {
        assert_eq!(fleet.validate(server, &token).await, 200);
    }
    keep_sessions(&fleet);
    assert!(!fleet.command(&["service-key", "revoke", "shop"]).await.status.success());
    refused_everywhere(&fleet, &token).await;
}

/// R024: the same for an account that a command disables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_account_is_refused_everywhere() {
    let fleet = Fleet::start(Sessions::Postgres, "prompt").await;
    let token = fleet.warm().await;
    keep_sessions(&fleet);
    assert!(!fleet.command(&["user", "disable", &email(0)]).await.status.success());
    refused_everywhere(&fleet, &token).await;
}

/// From now on no session can be taken off the record.
fn keep_sessions(fleet: &Fleet) {
    let trigger = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS \
                   $$ BEGIN RAISE EXCEPTION 'kept'; END $$; \
                   CREATE TRIGGER keep BEFORE DELETE ON wayleave.sessions FOR EACH ROW EXECUTE FUNCTION keep()";
    fleet.database.psql(trigger).unwrap();
}

async fn refused_everywhere(fleet: &Fleet, token: &str) {
    let begun = Instant::now();
    for server in 0..3 {
        while fleet.validate(server, token).await != 401 {
            assert!(begun.elapsed() < LEASE, "server {server} honours it");
        }
    }
}
