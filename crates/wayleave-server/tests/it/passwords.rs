//! Choosing passwords over HTTP: changing one's own, being made to, one-time links, and what is too weak.

use std::time::Duration;

use serde_json::{Value, json};
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::Account;
use wayleave_testkit::{DirectoryVerb, Fault};

use crate::people::{ANN, limit_web, with_jwt_kind};
use crate::world::{Client, Keeping, OTHER_PASSWORD, PASSWORD, World};

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
        let validated = ann.get("/api/auth/sessions/validate").await;
        validated.assert_code(403, "password_change_required");
        assert_eq!(validated.json()["data"], json!({ "valid": false, "reason": "password_change_required" }));
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
    bearer.tokens(ANN, "standard").await;
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

/// R029, R073: what a session is that must first choose a new password, others are told: nothing. Nothing that could be
/// checked elsewhere or renewed is issued for it.
#[tokio::test]
async fn a_forced_change_is_no_session_to_others() {
    let world = World::with(Keeping::Memory, with_jwt_kind).await;
    world.person(ANN, &["read:profile"]).await;
    let mut admin = world.administrator().await;
    let service = admin.make_service("shop", &[]).await;
    let path = path_of(&mut admin, ANN).await;
    admin.patch(&path, &json!({ "must_change_password": true })).await.assert_status(200);
    let mut cookie = world.client();
    cookie.sign_in(ANN, PASSWORD).await.assert_status(200);
    let mut bearer = world.client();
    let data = bearer.tokens(ANN, "api").await;
    let token = data["session_token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("wl_"), "{token}");
    assert_eq!(data["refresh_token"], Value::Null);
    for token in [&token, &cookie.jar["__Host-id"]] {
        let seen = world.bearer(&service).form("/api/auth/introspect", &[("token", token)]).await;
        assert_eq!(seen.text(), r#"{"active":false}"#);
    }
    for client in [&mut cookie, &mut bearer] {
        for path in ["/api/auth/sessions/validate", "/api/auth/verify", "/api/auth/sessions/current"] {
            client.get(path).await.assert_code(403, "password_change_required");
        }
        client.post("/api/auth/sessions/extend", &json!({})).await.assert_code(403, "password_change_required");
    }
    let changed = bearer.post(CHANGE, &change(PASSWORD, OTHER_PASSWORD)).await;
    changed.assert_status(200);
    let tokens = changed.json()["data"]["tokens"].clone();
    assert!(tokens["session_token"].as_str().unwrap().starts_with("ey") && tokens["refresh_token"].is_string());
}

/// R096, R097: a change is to another password, also by a link for those who must change theirs.
#[tokio::test]
async fn the_same_password_again_is_no_change() {
    let world = world().await;
    let mut admin = world.administrator().await;
    let path = path_of(&mut admin, ANN).await;
    let unchanged = |answer: &crate::support::Answer| {
        answer.assert_code(422, "weak_password");
        assert_eq!(answer.json()["error"]["details"]["reason"], "unchanged");
    };
    world.signed_in(ANN).await.post(CHANGE, &change("wrong wrong", "wrong wrong")).await.assert_status(401);
    unchanged(&world.signed_in(ANN).await.post(CHANGE, &change(PASSWORD, PASSWORD)).await);
    admin.patch(&path, &json!({ "must_change_password": true })).await.assert_status(200);
    let mut ann = world.signed_in(ANN).await;
    unchanged(&ann.post(CHANGE, &change(PASSWORD, PASSWORD)).await);
    let token = link(&mut admin, ANN).await;
    for _ in 0..2 {
        let again = json!({ "token": token, "new_password": PASSWORD });
        unchanged(&world.client().post(RESET, &again).await);
    }
    ann.post(CHANGE, &change(PASSWORD, OTHER_PASSWORD)).await.assert_status(200);
}

/// R097: any new password voids the links from before, also one that leaves the other sessions alone.
#[tokio::test]
async fn a_change_voids_the_links_from_before() {
    for ends_others in [true, false] {
        let world = world().await;
        let mut admin = world.administrator().await;
        let token = link(&mut admin, ANN).await;
        let mut body = change(PASSWORD, OTHER_PASSWORD);
        body["end_other_sessions"] = json!(ends_others);
        world.signed_in(ANN).await.post(CHANGE, &body).await.assert_status(200);
        let late = json!({ "token": token, "new_password": "a third very good passphrase" });
        world.client().post(RESET, &late).await.assert_code(400, "link_invalid");
        world.client().sign_in(ANN, OTHER_PASSWORD).await.assert_status(200);
    }
}

async fn ann_of(world: &World) -> Account {
    world.app.directory.accounts.by_email(&ANN.parse().unwrap()).await.unwrap().unwrap()
}

/// R097: whoever knows the old password and was on the way with it does not overwrite a reset, whichever of the steps
/// of the change the reset meets, nor a change that was first.
#[tokio::test]
async fn an_old_password_in_flight_does_not_overwrite_a_reset() {
    const THIRD: &str = "a third very good passphrase";
    for ends_others in [true, false] {
        for by_link in [true, false] {
            for step in [DirectoryVerb::CountersClear, DirectoryVerb::DevicesForgetAll, DirectoryVerb::AccountsUpdate] {
                if step == DirectoryVerb::AccountsUpdate && !ends_others {
                    continue;
                }
                let world = world().await;
                let mut admin = world.administrator().await;
                let token = link(&mut admin, ANN).await;
                let thief = world.signed_in(ANN).await;
                let mut owner = world.signed_in(ANN).await;
                let mut body = change(PASSWORD, THIRD);
                body["end_other_sessions"] = json!(ends_others);
                let stolen = thief.request(&format!("POST {CHANGE}"), Some(&body));
                let gate = world.directory.as_ref().unwrap().faults().hold(step);
                let router = world.router.clone();
                let in_flight = tokio::spawn(async move { crate::support::send(&router, stolen).await });
                gate.arrived().await;
                let answer = if by_link {
                    world.client().post(RESET, &json!({ "token": token, "new_password": OTHER_PASSWORD })).await
                } else {
                    owner.post(CHANGE, &change(PASSWORD, OTHER_PASSWORD)).await
                };
                gate.open();
                let late = in_flight.await.unwrap();
                // A change that has ended everything from before was first; nothing else gets past it then.
                let was_first = step == DirectoryVerb::DevicesForgetAll && ends_others;
                let what = format!("{step:?} {ends_others} {by_link}: {} {}", answer.text(), late.text());
                assert_eq!((answer.status == 200, late.status == 200), (!was_first, was_first), "{what}");
                let (good, bad) = if was_first { (THIRD, OTHER_PASSWORD) } else { (OTHER_PASSWORD, THIRD) };
                world.client().sign_in(ANN, good).await.assert_status(200);
                world.client().sign_in(ANN, bad).await.assert_status(401);
            }
        }
    }
}

/// R020, R097: a change that was on the way when an administrator ended everything, or disabled the account, comes to
/// nothing.
#[tokio::test]
async fn a_change_in_flight_does_not_outlive_the_account() {
    for order in [json!({ "disabled": true }), json!({ "must_change_password": true })] {
        let world = world().await;
        let mut admin = world.administrator().await;
        let path = path_of(&mut admin, ANN).await;
        let thief = world.signed_in(ANN).await;
        let stolen = thief.request(&format!("POST {CHANGE}"), Some(&change(PASSWORD, OTHER_PASSWORD)));
        let gate = world.directory.as_ref().unwrap().faults().hold(DirectoryVerb::CountersClear);
        let router = world.router.clone();
        let in_flight = tokio::spawn(async move { crate::support::send(&router, stolen).await });
        gate.arrived().await;
        admin.patch(&path, &order).await.assert_status(200);
        gate.open();
        assert_eq!(in_flight.await.unwrap().status, 401, "{order}");
        let ann = ann_of(&world).await;
        assert!(ann.disabled || ann.must_change_password, "{order}");
        admin.patch(&path, &json!({ "disabled": false })).await.assert_status(200);
        world.client().sign_in(ANN, PASSWORD).await.assert_status(200);
    }
}

/// R065, R097: of two links that are used at once one sets the password.
#[tokio::test]
async fn two_links_at_once_set_one_password() {
    for step in [DirectoryVerb::AccountsUpdate, DirectoryVerb::CredentialsExchange] {
        let world = world().await;
        let mut admin = world.administrator().await;
        let (first, second) = (link(&mut admin, ANN).await, link(&mut admin, ANN).await);
        let gate = world.directory.as_ref().unwrap().faults().hold(step);
        let slow = json!({ "token": first, "new_password": "a third very good passphrase" });
        let request = world.client().request(&format!("POST {RESET}"), Some(&slow));
        let router = world.router.clone();
        let in_flight = tokio::spawn(async move { crate::support::send(&router, request).await });
        gate.arrived().await;
        let quick = world.client().post(RESET, &json!({ "token": second, "new_password": OTHER_PASSWORD })).await;
        gate.open();
        let slow = in_flight.await.unwrap();
        assert_eq!([quick.status == 200, slow.status == 200].iter().filter(|done| **done).count(), 1, "{step:?}");
        let password = if quick.status == 200 { OTHER_PASSWORD } else { "a third very good passphrase" };
        world.client().sign_in(ANN, password).await.assert_status(200);
    }
}

/// R020: a link is void once whoever made it may not administer any more.
#[tokio::test]
async fn links_of_former_administrators_are_void() {
    for order in [json!({ "disabled": true }), json!({ "permissions": ["read:profile"] })] {
        let world = world().await;
        world.person("root@example.com", &["admin"]).await;
        let mut root = world.signed_in("root@example.com").await;
        let mut admin = world.administrator().await;
        let token = link(&mut admin, ANN).await;
        let made = json!({ "email": "new@example.com", "name": "New" });
        let made = admin.post("/api/admin/users", &made).await;
        made.assert_status(201);
        let url = made.json()["data"]["reset_link"]["url"].as_str().unwrap().to_owned();
        let path = path_of(&mut root, crate::people::ADMIN).await;
        root.patch(&path, &order).await.assert_status(200);
        for token in [&*token, url.split_once('#').unwrap().1] {
            let late = json!({ "token": token, "new_password": OTHER_PASSWORD });
            world.client().post(RESET, &late).await.assert_code(400, "link_invalid");
        }
        world.signed_in(ANN).await;
    }
}

/// R021, R024: when a change of password breaks off before the session goes on, no dead session stays in the place of the
/// next one.
#[tokio::test]
async fn a_change_that_breaks_off_leaves_no_dead_session() {
    let world = World::with(Keeping::Memory, |config| limit_web(config, 1, AtLimit::Refuse)).await;
    world.person(ANN, &["read:profile"]).await;
    let mut ann = world.signed_in(ANN).await;
    world.client().sign_in(ANN, PASSWORD).await.assert_code(403, "session_limit_reached");
    // The first proof is of the old password, the second of the new one.
    let faults = world.directory.as_ref().unwrap().faults();
    faults.fail(DirectoryVerb::CountersReserve, Fault::nth(2));
    ann.post(CHANGE, &change(PASSWORD, OTHER_PASSWORD)).await.assert_code(503, "store_unavailable");
    faults.heal(DirectoryVerb::CountersReserve);
    ann.get("/api/auth/session").await.assert_status(401);
    world.client().sign_in(ANN, OTHER_PASSWORD).await.assert_status(200);
}
