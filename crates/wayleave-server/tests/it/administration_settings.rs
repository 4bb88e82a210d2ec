//! Administration of the deployment over HTTP: settings, the audit log, numbers, sweeping.

use std::time::Duration;

use serde_json::{Value, json};

use crate::people::{ANN, unknown_access};
use crate::world::{Client, Keeping, PASSWORD, World};

const SETTINGS: &str = "/api/admin/settings";

async fn settings(admin: &mut Client<'_>) -> Value {
    let answer = admin.get(SETTINGS).await;
    answer.assert_status(200);
    answer.json()["data"].clone()
}

/// DESIGN 5: settings are changed by compare-and-set and within bounds that no administrator passes.
#[tokio::test]
async fn settings_have_bounds_and_a_revision() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        let mut admin = world.administrator().await;
        let first = settings(&mut admin).await;
        assert_eq!(first["revision"], json!(0));
        let mut body = first.clone();
        body["policy"]["session_timeout_minutes"] = json!(60);
        admin.put(SETTINGS, &body).await.assert_status(200);
        admin.put(SETTINGS, &body).await.assert_code(409, "conflict");
        let now = settings(&mut admin).await;
        assert_eq!(now["policy"]["session_timeout_minutes"], json!(60));
        assert_ne!(now["revision"], json!(0));
        for (field, values) in [
            (
                "session_timeout_minutes",
                vec![json!(4), json!(1441), json!(0), json!(-5), json!(70_000), json!("60"), json!(5.5)],
            ),
            ("lockout_attempts", vec![json!(2), json!(101), json!(0)]),
            ("lockout_window_minutes", vec![json!(0), json!(1441)]),
            ("lockout_minutes", vec![json!(0), json!(1441)]),
            ("registration", vec![json!("anybody"), Value::Null]),
            ("whatever", vec![json!(1)]),
        ] {
            for value in values {
                let mut body = now.clone();
                body["policy"][field] = value.clone();
                let answer = admin.put(SETTINGS, &body).await;
                assert!([400, 422].contains(&answer.status.as_u16()), "{field} {value} {}", answer.text());
            }
        }
        assert_eq!(settings(&mut admin).await, now);
        let rows = world.audited("settings.changed").await;
        assert_eq!(rows.len(), 1);
        assert!(rows[0].detail.as_deref().unwrap().contains("\"session_timeout_minutes\":60"));
    }
}

/// R013, R017, DESIGN 5: a shorter timeout bites at the next request of a live session, and a longer one revives
/// nothing.
#[tokio::test]
async fn the_timeout_bites_and_never_revives() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut admin = world.administrator().await;
    let mut ann = world.signed_in(ANN).await;
    ann.get("/api/auth/user").await.assert_status(200);
    world.pass(Duration::from_secs(6 * 60));
    let mut admin_now = world.signed_in(crate::people::ADMIN).await;
    let set = async |admin: &mut Client<'_>, minutes: u32| {
        let mut body = settings(admin).await;
        body["policy"]["session_timeout_minutes"] = json!(minutes);
        admin.put(SETTINGS, &body).await.assert_status(200);
    };
    set(&mut admin_now, 5).await;
    let cookie = ann.jar["__Host-id"].clone();
    ann.get("/api/auth/user").await.assert_code(401, "session_expired");
    admin.get("/api/auth/user").await.assert_code(401, "session_expired");
    set(&mut admin_now, 1440).await;
    ann.get_with(&cookie, "/api/auth/user").await.assert_code(401, "session_expired");
}

/// R100: lockout numbers and registration follow the settings from the next attempt on.
#[tokio::test]
async fn lockout_and_registration_follow_the_settings() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut admin = world.administrator().await;
    let mut body = settings(&mut admin).await;
    body["policy"]["lockout_attempts"] = json!(3);
    body["policy"]["lockout_minutes"] = json!(1);
    body["policy"]["registration"] = json!("open");
    admin.put(SETTINGS, &body).await.assert_status(200);
    for _ in 0..3 {
        world.client().sign_in(ANN, "wrong wrong wrong").await.assert_status(401);
    }
    let locked = world.client().sign_in(ANN, PASSWORD).await;
    locked.assert_code(429, "account_locked");
    assert_eq!(locked.header("retry-after"), Some("60"));
    let wish = json!({ "email": "new@example.com", "name": "New", "password": PASSWORD });
    world.client().post("/api/auth/register", &wish).await.assert_status(201);
}

/// R163: every act of a person and of an administrator is one row, found by event, subject and time, newest first.
#[tokio::test]
async fn the_audit_log_is_read() {
    let world = World::new().await;
    let account = world.person(ANN, &[]).await;
    let mut admin = world.administrator().await;
    let mut ann = world.signed_in(ANN).await;
    ann.post("/api/auth/logout", &json!({})).await.assert_status(200);
    let since = "2026-01-01T00:01:00Z";
    world.pass(Duration::from_secs(90));
    ann.sign_in(ANN, PASSWORD).await.assert_status(200);
    let read = async |admin: &mut Client<'_>, query: &str| -> Vec<Value> {
        let answer = admin.get(&format!("/api/admin/audit{query}")).await;
        answer.assert_status(200);
        answer.json()["data"]["items"].as_array().unwrap().clone()
    };
    world.settle().await;
    let all = read(&mut admin, "?limit=200").await;
    let events: Vec<_> = all.iter().rev().map(|row| row["event"].as_str().unwrap()).collect();
    let of_ann: Vec<_> =
        all.iter().rev().filter(|row| row["subject"] == json!(format!("user:{}", account.id))).collect();
    let names: Vec<_> = of_ann.iter().map(|row| row["event"].as_str().unwrap()).collect();
    for event in ["session.created", "login.success"] {
        assert_eq!(names.iter().filter(|name| **name == event).count(), 2, "{names:?}");
    }
    assert_eq!(names.iter().filter(|name| **name == "session.logout").count(), 1, "{names:?}");
    assert!(of_ann.iter().all(|row| row["request"].as_str().is_some_and(|id| id.starts_with("req_"))), "{of_ann:?}");
    assert!(of_ann.iter().all(|row| row["session"].as_str().is_none_or(|reference| reference.len() == 16)));
    let sequences: Vec<_> = all.iter().map(|row| row["sequence"].as_u64().unwrap()).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] > pair[1]), "{sequences:?}");

    assert!(read(&mut admin, "?event=login.success").await.iter().all(|row| row["event"] == "login.success"));
    assert!(read(&mut admin, "?event=session.").await.len() >= 4, "{events:?}");
    let subject = format!("?subject=user:{}&limit=200", account.id);
    assert_eq!(read(&mut admin, &subject).await.len(), of_ann.len());
    let late = read(&mut admin, &format!("?since={since}&limit=200")).await;
    assert!(!late.is_empty() && late.len() < all.len());
    assert!(late.iter().all(|row| row["at"].as_str().unwrap() >= since));
    for hostile in ["?since=yesterday", "?limit=0", "?limit=201", "?after=x", "?whatever=1", "?event=%00'--"] {
        let answer = admin.get(&format!("/api/admin/audit{hostile}")).await;
        assert!(answer.status.as_u16() < 500, "{hostile}");
    }
}

/// DESIGN 5: numbers are those of the store, and a sweep removes what is over and nothing else.
#[tokio::test]
async fn numbers_and_sweeping() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        world.person(ANN, &[]).await;
        let mut admin = world.administrator().await;
        for _ in 0..3 {
            world.with_tokens(ANN).await;
        }
        let stats = admin.get("/api/admin/stats").await.json()["data"].clone();
        assert_eq!(
            (&stats["live"]["standard"], &stats["live"]["web"], &stats["accounts"]),
            (&json!(3), &json!(1), &json!(2))
        );
        // Seven days of life and the retention after it.
        world.pass(Duration::from_secs(60 * 86_400));
        let (mut ann, _) = world.with_tokens(ANN).await;
        let mut admin = world.signed_in(crate::people::ADMIN).await;
        let swept = admin.post("/api/admin/sweep", &json!({})).await;
        swept.assert_status(200);
        assert_eq!(swept.json()["data"]["sessions"], json!(4), "{}", swept.text());
        let stats = admin.get("/api/admin/stats").await.json()["data"].clone();
        assert_eq!((&stats["live"]["standard"], &stats["ended"]), (&json!(1), &json!(0)));
        ann.get("/api/auth/user").await.assert_status(200);
        let again = admin.post("/api/admin/sweep", &json!({})).await.json();
        assert_eq!(again["data"]["sessions"], json!(0));
        assert_eq!(world.audited("sweep.done").await.len(), 2);
    }
}

/// A80: there is nothing to find beside the table, and metrics name nobody.
#[tokio::test]
async fn nothing_else_is_served() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (_, data) = world.with_tokens(ANN).await;
    for path in [
        "/debug",
        "/debug/pprof",
        "/actuator",
        "/env",
        "/.env",
        "/admin",
        "/api/admin",
        "/api/session/create",
        "/metrics/",
        "/api/admin/debug",
        "/.git/config",
        "/server-status",
        "/console",
        "/swagger",
        "/graphql",
        "/api/auth/sessions/x/y",
    ] {
        for client in [world.client(), world.bearer(&unknown_access())] {
            let mut client = client;
            client.get(path).await.assert_code(404, "not_found");
        }
    }
    let metrics = world.metrics().await;
    metrics.assert_status(200);
    for secret in ["session_id", "session_token", "refresh_token"] {
        assert!(!metrics.text().contains(data[secret].as_str().unwrap()));
    }
    assert!(!metrics.text().contains("user_"));
}
