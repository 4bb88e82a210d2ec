//! Choosing passwords over HTTP: changing one's own, being made to, one-time links, and what is too weak.

use std::time::Duration;

use serde_json::{Value, json};

use crate::people::ANN;
use crate::world::{Client, OTHER_PASSWORD, PASSWORD, World};

const CHANGE: &str = "/api/auth/password";
const RESET: &str = "/api/auth/password/reset";

async fn world() -> World {
    let world = World::new().await;
    world.person(ANN, &["read:profile"]).await;
    world
}

fn change(current: &str, new: &str) -> Value {
    json!({ "current_password": current, "new_password": new })
}

/// The path of an account under administration.
async fn path_of(admin: &mut Client<'_>, email: &str) -> String {
    let found = admin.get(&format!("/api/admin/users?search={email}")).await.json();
    format!("/api/admin/users/{}", found["data"]["items"][0]["id"].as_str().unwrap())
}

async fn link(admin: &mut Client<'_>, email: &str) -> String {
    let path = path_of(admin, email).await;
    let answer = admin.post(&format!("{path}/reset-link"), &json!({})).await;
    answer.assert_status(201);
    let url = answer.data("url");
    let (page, token) = url.split_once('#').expect("the secret stands behind the #");
    assert!(page.ends_with("/reset") && !page.contains("ln_"));
    token.to_owned()
}

/// R096: too short, too long, too common and about oneself are refused wherever a password is chosen, and refusing
/// changes nothing.
#[tokio::test]
async fn weak_passwords_are_refused_everywhere() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let token = link(&mut admin, ANN).await;
    let mut ann = world.signed_in(ANN).await;
    for (weak, code) in [
        ("", "weak_password"),
        ("seven77", "weak_password"),
        ("password", "weak_password"),
        ("Password1", "weak_password"),
        ("qwertyuiop", "weak_password"),
        ("ann@example.com", "weak_password"),
        ("wayleave", "weak_password"),
        (&*"p".repeat(1025), "validation_failed"),
    ] {
        ann.post(CHANGE, &change(PASSWORD, weak)).await.assert_code(422, code);
        world.client().post(RESET, &json!({ "token": token, "new_password": weak })).await.assert_code(422, code);
        let made = json!({ "email": "new@example.com", "name": "New", "password": weak });
        admin.post("/api/admin/users", &made).await.assert_code(422, code);
    }
    ann.get("/api/auth/user").await.assert_status(200);
    world.signed_in(ANN).await;
    let strong = json!({ "token": token, "new_password": OTHER_PASSWORD });
    world.client().post(RESET, &strong).await.assert_status(200);
}

/// R097, R021, R011: a change takes the password in force, ends the other sessions unless told otherwise, and goes on
/// under a new id; the old password is over.
#[tokio::test]
async fn changing_takes_the_old_password_and_ends_the_rest() {
    for keeps_others in [false, true] {
        let world = world().await;
        let mut ann = world.signed_in(ANN).await;
        let mut other = world.signed_in(ANN).await;
        let before = ann.jar["__Host-id"].clone();
        ann.post(CHANGE, &change("wrong wrong wrong", OTHER_PASSWORD)).await.assert_code(401, "invalid_credentials");
        assert_eq!(ann.jar["__Host-id"], before);
        let mut body = change(PASSWORD, OTHER_PASSWORD);
        if keeps_others {
            body["end_other_sessions"] = json!(false);
        }
        ann.post(CHANGE, &body).await.assert_status(200);
        assert_ne!(ann.jar["__Host-id"], before);
        ann.get("/api/auth/user").await.assert_status(200);
        ann.get_with(&before, "/api/auth/user").await.assert_code(401, "session_invalid");
        other.get("/api/auth/user").await.assert_status(if keeps_others { 200 } else { 401 });
        world.client().sign_in(ANN, PASSWORD).await.assert_code(401, "invalid_credentials");
        world.client().sign_in(ANN, OTHER_PASSWORD).await.assert_status(200);
        assert_eq!(world.audited("user.password_changed").await.len(), 1);
    }
}

/// R097, R100: guessing the password in force through a stolen session is counted like guessing at the door, apart
/// from it.
#[tokio::test]
async fn guesses_through_a_session_are_counted() {
    for (path, body) in [
        (CHANGE, change("wrong wrong wrong", OTHER_PASSWORD)),
        ("/api/auth/step-up", json!({ "password": "wrong wrong wrong" })),
    ] {
        let world = world().await;
        let mut stolen = world.signed_in(ANN).await;
        for _ in 0..5 {
            stolen.post(path, &body).await.assert_code(401, "invalid_credentials");
        }
        stolen.post(path, &body).await.assert_code(429, "account_locked");
        stolen.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await.assert_code(429, "account_locked");
        // The owner still gets in at the door.
        world.signed_in(ANN).await;
    }
}

/// DESIGN 5: with `must_change_password` a session does nothing else, whatever it once could; after the change it can.
#[tokio::test]
async fn a_forced_change_comes_before_everything_else() {
    let world = World::new().await;
    world.person(ANN, &["admin", "read:profile"]).await;
    let mut admin = world.administrator().await;
    let mut before = world.signed_in(ANN).await;
    let path = path_of(&mut admin, ANN).await;
    admin.patch(&path, &json!({ "must_change_password": true })).await.assert_status(200);
    before.get("/api/auth/user").await.assert_code(401, "session_invalid");
    for transport in ["cookie", "bearer"] {
        let mut ann = world.client();
        if transport == "cookie" {
            let answer = ann.sign_in(ANN, PASSWORD).await;
            answer.assert_status(200);
            assert_eq!(answer.json()["data"]["mustChangePassword"], json!(true));
        } else {
            ann.tokens(ANN, "standard").await;
        }
        assert_eq!(ann.get("/api/auth/sessions/validate").await.json()["data"]["permissions"], json!([]));
        for path in
            ["/api/auth/verify", "/api/auth/verify?permission=read:profile", "/api/admin/stats", "/api/admin/users"]
        {
            ann.get(path).await.assert_code(403, "password_change_required");
        }
        let proof = json!({ "password": PASSWORD });
        ann.post("/api/auth/step-up", &proof).await.assert_code(403, "password_change_required");
        if transport == "bearer" {
            continue;
        }
        ann.get("/api/admin/stats").await.assert_code(403, "password_change_required");
        ann.post(CHANGE, &change(PASSWORD, OTHER_PASSWORD)).await.assert_status(200);
        ann.get("/api/admin/stats").await.assert_status(200);
        ann.get("/api/auth/verify?permission=read:profile").await.assert_status(200);
        admin.patch(&path, &json!({ "must_change_password": true })).await.assert_status(200);
        let back = json!({ "token": link(&mut admin, ANN).await, "new_password": PASSWORD });
        world.client().post(RESET, &back).await.assert_status(200);
        admin.patch(&path, &json!({ "must_change_password": true })).await.assert_status(200);
    }
    let mut bearer = world.client();
    let data = bearer.tokens(ANN, "standard").await;
    let renewed = bearer.refresh(data["refresh_token"].as_str().unwrap()).await;
    let mut bearer = world.bearer(&renewed.data("session_token"));
    bearer.get("/api/auth/verify").await.assert_code(403, "password_change_required");
    let changed = bearer.post(CHANGE, &change(PASSWORD, OTHER_PASSWORD)).await;
    changed.assert_status(200);
    let token = changed.json()["data"]["tokens"]["session_token"].as_str().unwrap().to_owned();
    let seen = bearer.get_with(&token, "/api/auth/sessions/validate").await.json();
    assert_eq!(seen["data"]["permissions"], json!(["read:profile"]));
}

/// DESIGN 5: a link works once, for an hour, ends every session, opens the lock, and a weak password does not cost it.
#[tokio::test]
async fn a_link_sets_a_password_once() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let token = link(&mut admin, ANN).await;
    let mut page = world.signed_in(ANN).await;
    let (mut app, tokens) = world.with_tokens(ANN).await;
    for _ in 0..5 {
        world.client().sign_in(ANN, "wrong wrong wrong").await.assert_status(401);
    }
    world.client().sign_in(ANN, PASSWORD).await.assert_code(429, "account_locked");
    let weak = json!({ "token": token, "new_password": "password" });
    for _ in 0..3 {
        world.client().post(RESET, &weak).await.assert_code(422, "weak_password");
    }
    world.pass(Duration::from_secs(3599));
    let good = json!({ "token": token, "new_password": OTHER_PASSWORD });
    world.client().post(RESET, &good).await.assert_status(200);
    page.get("/api/auth/user").await.assert_code(401, "session_invalid");
    app.get("/api/auth/user").await.assert_code(401, "session_invalid");
    app.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_code(401, "refresh_failed");
    world.client().sign_in(ANN, OTHER_PASSWORD).await.assert_status(200);
    world.client().sign_in(ANN, PASSWORD).await.assert_code(401, "invalid_credentials");
    let spent = world.client().post(RESET, &good).await;
    spent.assert_code(400, "link_invalid");
    assert_eq!(world.audited("user.password_reset").await.len(), 1);

    // Unknown, malformed, overtaken and late links are one answer, weak password or not.
    let mut admin = world.signed_in(crate::people::ADMIN).await;
    let (first, second) = (link(&mut admin, ANN).await, link(&mut admin, ANN).await);
    let again = json!({ "token": first, "new_password": "a third very good passphrase" });
    world.client().post(RESET, &again).await.assert_status(200);
    let late = link(&mut admin, ANN).await;
    let weakened = json!({ "token": late, "new_password": "password" });
    world.client().post(RESET, &weakened).await.assert_code(422, "weak_password");
    world.pass(Duration::from_secs(3600));
    let unknown = crate::people::unknown_access().replace("wl_", "ln_");
    for token in [&*second, &late, &unknown, "ln_", "", &"x".repeat(64)] {
        for password in [OTHER_PASSWORD, "password"] {
            let answer = world.client().post(RESET, &json!({ "token": token, "new_password": password })).await;
            assert_eq!(answer.masked(), spent.masked(), "{token} {password}");
        }
    }
}

/// R065: of two who use a link at once one sets the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_link_used_twice_at_once_works_once() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let token = link(&mut admin, ANN).await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let body = json!({ "token": token, "new_password": format!("{OTHER_PASSWORD} {n}") });
            let request = world.client().request(&format!("POST {RESET}"), Some(&body));
            let router = world.router.clone();
            tokio::spawn(async move { crate::support::send(&router, request).await.status.as_u16() })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        match task.await.unwrap() {
            200 => done += 1,
            400 => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(done, 1);
}

/// R020: no link revives a disabled account, and none is made for one.
#[tokio::test]
async fn a_disabled_account_has_no_links() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let token = link(&mut admin, ANN).await;
    let path = path_of(&mut admin, ANN).await;
    admin.patch(&path, &json!({ "disabled": true })).await.assert_status(200);
    admin.post(&format!("{path}/reset-link"), &json!({})).await.assert_code(409, "conflict");
    let good = json!({ "token": token, "new_password": OTHER_PASSWORD });
    world.client().post(RESET, &good).await.assert_code(400, "link_invalid");
    world.client().sign_in(ANN, OTHER_PASSWORD).await.assert_code(401, "invalid_credentials");
}
