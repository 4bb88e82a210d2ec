//! Administration over HTTP: a recent sign-in for everything, changes that bite at once, and never nobody left.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::people::{ADMIN, ANN, BOB};
use crate::support::Answer;
use crate::world::{Client, Keeping, PASSWORD, World};

async fn path_of(admin: &mut Client<'_>, email: &str) -> String {
    let found = admin.get(&format!("/api/admin/users?search={email}")).await.json();
    format!("/api/admin/users/{}", found["data"]["items"][0]["id"].as_str().unwrap())
}

async fn step_up(client: &mut Client<'_>) {
    client.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await.assert_status(200);
}

/// Every administrative operation, with a request that a fresh administrator may make.
fn operations() -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("GET /api/admin/settings", None),
        ("PUT /api/admin/settings", Some(json!({}))),
        ("GET /api/admin/sessions", None),
        ("GET /api/admin/sessions/sess_x", None),
        ("DELETE /api/admin/sessions/sess_x", None),
        ("DELETE /api/admin/sessions?subject=user:x", None),
        ("GET /api/admin/users", None),
        ("POST /api/admin/users", Some(json!({}))),
        ("GET /api/admin/users/user_x", None),
        ("PATCH /api/admin/users/user_x", Some(json!({}))),
        ("POST /api/admin/users/user_x/unlock", Some(json!({}))),
        ("POST /api/admin/users/user_x/reset-link", Some(json!({}))),
        ("POST /api/admin/users/user_x/vault/lock", Some(json!({}))),
        ("DELETE /api/admin/users/user_x/sessions", None),
        ("GET /api/admin/invitations", None),
        ("POST /api/admin/invitations", Some(json!({}))),
        ("DELETE /api/admin/invitations/x", None),
        ("GET /api/admin/service-keys", None),
        ("POST /api/admin/service-keys", Some(json!({}))),
        ("DELETE /api/admin/service-keys/x", None),
        ("GET /api/admin/audit", None),
        ("GET /api/admin/stats", None),
        ("POST /api/admin/sweep", Some(json!({}))),
        ("GET /api/admin/keys", None),
        ("POST /api/admin/keys/rotate", Some(json!({}))),
    ]
}

/// The list above is the whole of it.
#[test]
fn the_operations_are_all_of_the_table() {
    let table: Vec<_> = wayleave_server::router::table()
        .iter()
        .filter(|row| row.rules.demand == wayleave_server::access::Demand::Admin)
        .map(|row| row.route().unwrap().0.to_owned())
        .collect();
    assert_eq!(table.len(), operations().len());
    for path in table {
        let prefix = path.split('{').next().unwrap();
        assert!(operations().iter().any(|(line, _)| line.contains(prefix)), "{path}");
    }
}

/// R025, A80, DESIGN 6.13: without a recent sign-in an administrator is asked for one, in the words of RFC 9470, and
/// goes on after it; others are refused whatever they prove.
#[tokio::test]
async fn everything_takes_a_recent_sign_in() {
    let world = World::new().await;
    world.person(ANN, &["read:profile"]).await;
    let mut admin = world.administrator().await;
    let mut ann = world.signed_in(ANN).await;
    for (line, body) in operations() {
        let answer = admin.ask(line, body.as_ref()).await;
        let admitted = ![401, 403].contains(&answer.status.as_u16());
        assert!(admitted, "{line} {}", answer.text());
        ann.ask(line, body.as_ref()).await.assert_code(403, "permission_denied");
        let nobody = world.client().ask(line, body.as_ref()).await;
        nobody.assert_code(401, "session_required");
    }
    world.pass(Duration::from_secs(301));
    for (line, body) in operations() {
        let stale = admin.ask(line, body.as_ref()).await;
        stale.assert_code(401, "insufficient_user_authentication");
        let challenge = stale.header("www-authenticate").unwrap();
        for part in ["Bearer ", "error=\"insufficient_user_authentication\"", "acr_values=\"1\"", "max_age=\"300\""] {
            assert!(challenge.contains(part), "{part} in {challenge}");
        }
        ann.ask(line, body.as_ref()).await.assert_code(403, "permission_denied");
    }
    admin.post("/api/auth/step-up", &json!({ "password": "wrong wrong wrong" })).await.assert_status(401);
    admin.get("/api/admin/stats").await.assert_code(401, "insufficient_user_authentication");
    let before = admin.jar["__Host-id"].clone();
    step_up(&mut admin).await;
    assert_ne!(admin.jar["__Host-id"], before);
    admin.get("/api/admin/stats").await.assert_status(200);
    admin.get_with(&before, "/api/auth/user").await.assert_code(401, "session_invalid");
    assert_eq!(world.audited("session.step_up").await.len(), 1);
}

/// DESIGN 5: accounts are made, shown, changed, found and paged; every change has its row.
#[tokio::test]
async fn accounts_are_kept() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    let made = json!({
        "email": BOB, "name": "Bob", "role": "Nurse", "phone": "+1 555", "labels": ["night"], "permissions": ["read:profile"],
        "password": PASSWORD,
    });
    let answer = admin.post("/api/admin/users", &made).await;
    answer.assert_status(201);
    assert_eq!(answer.json()["data"]["reset_link"], Value::Null);
    admin.post("/api/admin/users", &made).await.assert_code(409, "email_taken");
    let twin = json!({ "email": BOB.to_uppercase(), "name": "Twin", "password": PASSWORD });
    admin.post("/api/admin/users", &twin).await.assert_code(409, "email_taken");
    let path = path_of(&mut admin, BOB).await;
    for (change, field, value) in [
        (json!({ "name": "Robert" }), "name", json!("Robert")),
        (json!({ "phone": null }), "phone", Value::Null),
        (json!({ "labels": [] }), "labels", json!([])),
        (json!({ "email": "rob@example.com" }), "email", json!("rob@example.com")),
        (json!({ "permissions": ["b", "a", "a"] }), "permissions", json!(["a", "b"])),
    ] {
        admin.patch(&path, &change).await.assert_status(200);
        assert_eq!(admin.get(&path).await.json()["data"][field], value, "{change}");
    }
    admin.patch(&path, &json!({ "email": ADMIN })).await.assert_code(409, "email_taken");
    for hostile in [
        json!({ "permissions": ["a b"] }),
        json!({ "permissions": vec!["a"; 65] }),
        json!({ "name": "a\nb" }),
        json!({ "name": "" }),
        json!({ "avatar": "javascript:alert(1)" }),
        json!({ "epoch": 0 }),
        json!({ "id": "user_x" }),
        json!({ "disabled": "no" }),
        json!({ "email": "a@b\r\nx: y" }),
    ] {
        let answer = admin.patch(&path, &hostile).await;
        assert!([400, 422].contains(&answer.status.as_u16()), "{hostile} {}", answer.text());
    }
    world.client().sign_in("rob@example.com", PASSWORD).await.assert_status(200);
    for missing in ["user_x", "user_AAAAAAAAAAAAAAAAAAAAAA", "%2e%2e", "'"] {
        admin.get(&format!("/api/admin/users/{missing}")).await.assert_code(404, "not_found");
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.get(&format!("/api/admin/users?limit=1{after}")).await.json();
        seen.extend(page["data"]["items"].as_array().unwrap().iter().map(|item| item["email"].clone()));
        match page["data"]["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 2);
    let rows = world.audited("user.changed").await;
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.actor.as_deref().unwrap().starts_with("user:user_")));
}

/// R020, R023, DESIGN 4: a demotion bites at the next request, disabling and ending at once, and enabling revives
/// nothing.
#[tokio::test]
async fn changes_bite_at_once() {
    let world = World::new().await;
    world.person(ANN, &["admin", "read:profile"]).await;
    let mut admin = world.administrator().await;
    let path = path_of(&mut admin, ANN).await;
    let mut ann = world.signed_in(ANN).await;
    let (mut app, tokens) = world.with_tokens(ANN).await;
    ann.get("/api/admin/stats").await.assert_status(200);
    admin.patch(&path, &json!({ "permissions": ["read:profile"] })).await.assert_status(200);
    ann.get("/api/admin/stats").await.assert_code(403, "permission_denied");
    ann.get("/api/auth/verify?permission=read:profile").await.assert_status(200);
    admin.patch(&path, &json!({ "disabled": true })).await.assert_status(200);
    ann.get("/api/auth/user").await.assert_code(401, "session_invalid");
    app.get("/api/auth/user").await.assert_code(401, "session_invalid");
    admin.patch(&path, &json!({ "disabled": false })).await.assert_status(200);
    app.get("/api/auth/user").await.assert_code(401, "session_invalid");
    app.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_code(401, "refresh_failed");

    let (mut first, data) = world.with_tokens(ANN).await;
    let (mut second, _) = world.with_tokens(ANN).await;
    let session = format!("/api/admin/sessions/{}", data["session_id"].as_str().unwrap());
    admin.get(&session).await.assert_status(200);
    admin.delete(&session).await.assert_status(200);
    admin.delete(&session).await.assert_code(404, "not_found");
    first.get("/api/auth/user").await.assert_code(401, "session_invalid");
    second.get("/api/auth/user").await.assert_status(200);
    let subject = format!("user:{}", path.rsplit('/').next().unwrap());
    let ended = admin.delete(&format!("/api/admin/sessions?subject={subject}")).await;
    assert_eq!(ended.json()["data"]["ended"], json!(1));
    second.get("/api/auth/user").await.assert_code(401, "session_invalid");
    let rows = world.audited("session.revoked").await;
    let reasons: Vec<_> = rows.iter().filter_map(|row| row.reason.as_deref()).collect();
    assert_eq!(reasons, ["subject_disabled", "subject_disabled", "administrator", "administrator"]);
    assert!(rows[2..].iter().all(|row| row.actor.as_deref().unwrap().starts_with("user:user_")));
}

/// DESIGN 5: no change leaves nobody who can administer, one after the other or both at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_administrator_is_always_left() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        let mut admin = world.administrator().await;
        let own = path_of(&mut admin, ADMIN).await;
        for change in [json!({ "permissions": [] }), json!({ "disabled": true })] {
            let answer = admin.patch(&own, &change).await;
            answer.assert_code(409, "conflict");
            assert_eq!(answer.json()["error"]["details"]["reason"], json!("last_administrator"));
        }
        world.person(BOB, &["admin"]).await;
        let bobs = path_of(&mut admin, BOB).await;
        admin.patch(&bobs, &json!({ "disabled": true })).await.assert_status(200);
        admin.patch(&own, &json!({ "permissions": [] })).await.assert_code(409, "conflict");
        admin.patch(&bobs, &json!({ "disabled": false })).await.assert_status(200);
        for _ in 0..10 {
            let bob = world.signed_in(BOB).await;
            let mut requests = Vec::new();
            for (client, path) in [(&admin, &bobs), (&bob, &own)] {
                let line = format!("PATCH {path}");
                requests.push(client.request(&line, Some(&json!({ "permissions": [] }))));
            }
            let tasks: Vec<_> = requests
                .into_iter()
                .map(|request| {
                    let router = world.router.clone();
                    tokio::spawn(async move { crate::support::send(&router, request).await })
                })
                .collect();
            let mut answers: Vec<Answer> = Vec::new();
            for task in tasks {
                answers.push(task.await.unwrap());
            }
            let done = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
            assert!(done <= 1, "both took each other's permission");
            assert!(world.app.directory.accounts.anybody_holds("admin").await.unwrap());
            restore(&world, &[ADMIN, BOB]).await;
            admin = world.signed_in(ADMIN).await;
        }
    }
}

async fn restore(world: &World, emails: &[&str]) {
    use wayleave_core::permission::Permissions;

    for email in emails {
        let accounts = &world.app.directory.accounts;
        let mut account = accounts.by_email(&email.parse().unwrap()).await.unwrap().unwrap();
        account.permissions = Permissions::new(["admin"]).unwrap();
        let _ = accounts.update(&account).await.unwrap();
        world.app.manager.subject_changed(&account.subject().unwrap()).await.unwrap();
    }
}

/// R100: an administrator opens the lock of an address.
#[tokio::test]
async fn unlocking_opens_the_lock() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut admin = world.administrator().await;
    for _ in 0..5 {
        world.client().sign_in(ANN, "wrong wrong wrong").await.assert_status(401);
    }
    world.client().sign_in(ANN, PASSWORD).await.assert_code(429, "account_locked");
    let path = path_of(&mut admin, ANN).await;
    admin.post(&format!("{path}/unlock"), &json!({})).await.assert_status(200);
    world.signed_in(ANN).await;
    assert_eq!(world.audited("user.unlocked").await.len(), 1);
}
