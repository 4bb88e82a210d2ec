//! How cookie sessions end, and that what ended stays ended on every carrier.

use serde_json::json;
use wayleave_core::ports::AccountChange;
use wayleave_core::subject::Subject;
use wayleave_testkit::{DirectoryVerb, Fault, StoreVerb};

use super::{ANN, BOB, CSRF, SESSION, cookies, face, is_removal, unknown_token};
use crate::world::{OTHER_PASSWORD, PASSWORD, World};

/// R018, A13: signing out ends the session at once, clears the browser, and can be said twice.
#[tokio::test]
async fn logout_ends_the_session_at_once() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let (token, csrf) = (client.token(), client.jar[CSRF].clone());
    let answer = client.post("/api/auth/logout", &json!({})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("clear-site-data"), Some("\"cache\""));
    let set = cookies(&answer);
    for (name, attributes) in
        [(SESSION, "Path=/; Secure; HttpOnly; SameSite=Lax"), (CSRF, "Path=/; Secure; SameSite=Lax")]
    {
        assert_eq!(
            set[name],
            format!("{name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; {attributes}"),
            "the same attributes as when it was set"
        );
    }
    world.assert_unknown(&token, "after sign-out").await;
    client.jar.insert(SESSION.into(), token);
    client.jar.insert(CSRF.into(), csrf);
    let again = client.post("/api/auth/logout", &json!({})).await;
    assert_eq!((again.status, again.body), (answer.status, answer.body));
    assert_eq!(world.client().post("/api/auth/logout", &json!({})).await.status, 200, "without any session");
}

/// R018, R019: signing out with one token ends the access and the refresh token alike.
#[tokio::test]
async fn logout_ends_both_tokens() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (mut client, tokens) = world.with_tokens(ANN).await;
    assert_eq!(client.post("/api/auth/sessions/logout", &json!({})).await.status, 200);
    world.assert_unknown(tokens["session_token"].as_str().unwrap(), "after sign-out").await;
    let refresh = json!({ "refresh_token": tokens["refresh_token"] });
    assert_eq!(world.client().post("/api/auth/sessions/refresh", &refresh).await.code(), "refresh_failed");
}

/// R018, R168: with the store down the session cannot be ended, which is said; the browser forgets it all the same.
#[tokio::test]
async fn logout_with_the_store_down_still_clears_the_browser() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let (token, csrf) = (client.token(), client.jar[CSRF].clone());
    let faults = world.store.as_ref().unwrap().faults();
    for verb in [StoreVerb::Find, StoreVerb::Revoke] {
        faults.fail(verb, Fault::DOWN);
        client.jar.insert(SESSION.into(), token.clone());
        client.jar.insert(CSRF.into(), csrf.clone());
        let answer = client.post("/api/auth/logout", &json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "store_unavailable".into()), "{verb:?}");
        let set = cookies(&answer);
        assert!(is_removal(&set[SESSION]) && is_removal(&set[CSRF]), "{verb:?}: {set:?}");
        faults.heal(verb);
    }
    assert_eq!(world.holding(&token).status().await, 200);
}

/// R011, R045, A13: a fresh proof makes a new id, and the old cookie is dead.
#[tokio::test]
async fn step_up_changes_the_id() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let (token, handle) = (client.token(), client.handle().await);
    assert_eq!(client.post("/api/auth/step-up", &json!({ "password": "not it at all" })).await.status, 401);
    assert_eq!(client.token(), token, "a wrong password leaves the session alone");
    assert_eq!(client.status().await, 200);
    assert_eq!(client.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await.status, 200);
    assert_ne!(client.token(), token);
    assert_ne!(client.handle().await, handle);
    world.assert_unknown(&token, "before step-up").await;
    assert_eq!(client.get("/api/auth/sessions").await.json()["data"]["items"].as_array().unwrap().len(), 1);
}

/// R067: a request that was under way when the id changed must not take the new cookie from the browser; the same cookie
/// long after is removed like any other dead one.
#[tokio::test]
async fn a_request_that_lost_the_race_removes_no_cookie() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    for change in ["step-up", "login", "password"] {
        let mut client = world.signed_in(ANN).await;
        let old = client.token();
        let answer = match change {
            "step-up" => client.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await,
            "password" => {
                let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
                client.post("/api/auth/password", &body).await
            }
            _ => client.sign_in(ANN, PASSWORD).await,
        };
        assert_eq!(answer.status, 200, "{change}");
        for line in ["GET /api/auth/session", "GET /api/auth/sessions/validate"] {
            let late = world.holding(&old).ask(line, None).await;
            assert_eq!(late.status, 401, "{change}");
            assert!(cookies(&late).is_empty(), "{change} {line}: {:?}", cookies(&late));
        }
        world.pass(std::time::Duration::from_secs(60));
        for line in ["GET /api/auth/session", "GET /api/auth/sessions/validate"] {
            assert!(is_removal(&cookies(&world.holding(&old).ask(line, None).await)[SESSION]), "{change} {line}");
        }
    }
    // Nor does a refresh that fails.
    let (_, tokens) = world.with_tokens(BOB).await;
    let refresh = json!({ "refresh_token": tokens["refresh_token"] });
    let mut client = world.client();
    for (wait, status) in [(0, 200), (0, 200), (11, 401), (0, 401)] {
        world.pass(std::time::Duration::from_secs(wait));
        let answer = client.post("/api/auth/sessions/refresh", &refresh).await;
        assert_eq!(answer.status, status);
        assert!(cookies(&answer).is_empty());
    }
}

/// R021, A13: a new password ends every other session unless told otherwise, and this one goes on under a new id.
#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    for ends_others in [true, false] {
        let world = World::new().await;
        world.person(ANN, &[]).await;
        world.person(BOB, &[]).await;
        let mut other = world.signed_in(ANN).await;
        let (mut app, _) = world.with_tokens(ANN).await;
        let mut bystander = world.signed_in(BOB).await;
        let mut client = world.signed_in(ANN).await;
        let old = client.token();
        let mut body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
        if !ends_others {
            body["end_other_sessions"] = json!(false);
        }
        assert_eq!(client.post("/api/auth/password", &body).await.status, 200);
        assert_ne!(client.token(), old);
        world.assert_unknown(&old, "before the change").await;
        assert_eq!(client.status().await, 200);
        let expected = if ends_others { 401 } else { 200 };
        assert_eq!((other.status().await, app.status().await), (expected, expected));
        assert_eq!(bystander.status().await, 200);
        let listed = client.get("/api/auth/sessions").await.json()["data"]["items"].as_array().unwrap().len();
        assert_eq!(listed, if ends_others { 1 } else { 3 });
        assert_eq!(world.client().sign_in(ANN, PASSWORD).await.status, 401);
        assert_eq!(world.client().sign_in(ANN, OTHER_PASSWORD).await.status, 200);
    }
}

/// R021, A13: a sign-in with the old password that was on the way when the password changed opens nothing.
#[tokio::test]
async fn a_sign_in_in_flight_does_not_outlive_its_password() {
    for transport in ["cookie", "bearer"] {
        let world = World::new().await;
        world.person(ANN, &[]).await;
        let mut owner = world.signed_in(ANN).await;
        let mut thief = world.client();
        assert_eq!(thief.get("/api/csrf").await.status, 200);
        let body = json!({ "email": ANN, "password": PASSWORD, "transport": transport });
        let stolen = thief.request("POST /api/auth/login", Some(&body));
        // Right after the password was found to be good.
        let gate = world.directory.as_ref().unwrap().faults().hold(DirectoryVerb::CountersClear);
        let router = world.router.clone();
        let in_flight = tokio::spawn(async move { crate::support::send(&router, stolen).await });
        gate.arrived().await;
        let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
        assert_eq!(owner.post("/api/auth/password", &body).await.status, 200);
        gate.open();
        let late = in_flight.await.unwrap();
        assert_eq!(late.status, 401, "{transport}: {}", String::from_utf8_lossy(&late.body));
        assert!(!cookies(&late).contains_key(SESSION), "{transport}");
        let listed = owner.get("/api/auth/sessions").await.json()["data"]["items"].as_array().unwrap().len();
        assert_eq!(listed, 1, "{transport}");
    }
}

/// R021, A13: nor does one whose old password was looked up while it was being changed, and which comes in after all others
/// were ended.
#[tokio::test]
async fn a_sign_in_during_the_change_does_not_outlive_it() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut owner = world.signed_in(ANN).await;
    assert_eq!(owner.get("/api/csrf").await.status, 200);
    let mut thief = world.client();
    assert_eq!(thief.get("/api/csrf").await.status, 200);
    let faults = world.directory.as_ref().unwrap().faults();
    let in_flight = |request| {
        let router = world.router.clone();
        tokio::spawn(async move { crate::support::send(&router, request).await })
    };
    // Sessions of before are over, and the password is not yet another one.
    let exchange = faults.hold(DirectoryVerb::CredentialsExchange);
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
    let changing = in_flight(owner.request("POST /api/auth/password", Some(&body)));
    exchange.arrived().await;
    // Right after the old password was found to be good.
    let found = faults.hold(DirectoryVerb::CountersClear);
    let body = json!({ "email": ANN, "password": PASSWORD });
    let stealing = in_flight(thief.request("POST /api/auth/login", Some(&body)));
    found.arrived().await;
    exchange.open();
    let changed = changing.await.unwrap();
    assert_eq!(changed.status, 200, "{}", String::from_utf8_lossy(&changed.body));
    found.open();
    let late = stealing.await.unwrap();
    assert_eq!(late.status, 401, "{}", String::from_utf8_lossy(&late.body));
    assert!(!cookies(&late).contains_key(SESSION));
    assert_eq!(world.client().sign_in(ANN, OTHER_PASSWORD).await.status, 200);
}

/// R020, A13: disabling somebody ends everything at once on every carrier, whether over the API or in the directory with
/// word to the manager; enabling brings nothing back.
#[tokio::test]
async fn disabling_ends_everything_at_once() {
    for over_the_api in [true, false] {
        let world = World::new().await;
        let mut admin = world.administrator().await;
        let ann = world.person(ANN, &[]).await;
        let cookie = world.signed_in(ANN).await.token();
        let (_, tokens) = world.with_tokens(ANN).await;
        let path = format!("/api/admin/users/{}", ann.id);
        if over_the_api {
            assert_eq!(admin.patch(&path, &json!({ "disabled": true })).await.status, 200);
        } else {
            let mut account = world.app.directory.accounts.by_id(&ann.id).await.unwrap().unwrap();
            account.disabled = true;
            account.epoch += 1;
            let changed = world.app.directory.accounts.update(&account).await.unwrap();
            assert!(matches!(changed, AccountChange::Done(_)));
            world.app.manager.subject_changed(&subject(&ann.id.to_string())).await.unwrap();
        }
        world.assert_unknown(&cookie, "of somebody disabled").await;
        world.assert_unknown(tokens["session_token"].as_str().unwrap(), "of somebody disabled").await;
        let refresh = json!({ "refresh_token": tokens["refresh_token"] });
        assert_eq!(world.client().post("/api/auth/sessions/refresh", &refresh).await.code(), "refresh_failed");
        let refused = world.client().sign_in(ANN, PASSWORD).await;
        let nobody = world.client().sign_in("nobody@example.com", PASSWORD).await;
        assert_eq!(face(&refused), face(&nobody));
        assert_eq!(admin.patch(&path, &json!({ "disabled": false })).await.status, 200);
        world.assert_unknown(&cookie, "of somebody enabled again").await;
        assert_eq!(world.client().sign_in(ANN, PASSWORD).await.status, 200);
    }
}

fn subject(account: &str) -> Subject {
    format!("user:{account}").parse().unwrap()
}

/// R022, A19: the list shows handles that open nothing; ending somebody else's is answered like one that never was.
#[tokio::test]
async fn owners_end_their_own_sessions_alone() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    let mut bob = world.signed_in(BOB).await;
    let bobs = bob.handle().await;
    let mut other = world.signed_in(ANN).await;
    let others = other.handle().await;
    let mut client = world.signed_in(ANN).await;
    let listed = String::from_utf8(client.get("/api/auth/sessions").await.body).unwrap();
    assert!(listed.contains(&others) && !listed.contains(&bobs), "{listed}");
    for token in [client.token(), other.token()] {
        for part in token.as_bytes().windows(12) {
            assert!(!listed.contains(std::str::from_utf8(part).unwrap()), "{listed}");
        }
        world.assert_unknown(&others, "a handle").await;
    }
    let missing = face(&client.delete("/api/auth/sessions/web_AAAAAAAAAAAAAAAAAAAAAAAA").await);
    assert_eq!(missing.0, 404);
    for id in [bobs.as_str(), "x", "..", "%2e%2e", &"a".repeat(500), "'%20or%201=1", "*"] {
        assert_eq!(face(&client.delete(&format!("/api/auth/sessions/{id}")).await), missing, "{id}");
    }
    assert_eq!(bob.status().await, 200);
    assert_eq!(client.delete(&format!("/api/auth/sessions/{others}")).await.status, 200);
    assert_eq!((other.status().await, client.status().await), (401, 200));
    assert_eq!(face(&client.delete(&format!("/api/auth/sessions/{others}")).await), missing, "the second time");
    let mut third = world.signed_in(ANN).await;
    assert_eq!(client.delete("/api/auth/sessions?scope=others").await.status, 200);
    assert_eq!((third.status().await, client.status().await), (401, 200));
    let token = client.token();
    let answer = client.delete("/api/auth/sessions?scope=all").await;
    assert!(is_removal(&cookies(&answer)[SESSION]));
    world.assert_unknown(&token, "after ending all").await;
    assert_eq!(bob.status().await, 200);
}

/// R023: an administrator ends one session, or all of somebody's; nobody else can.
#[tokio::test]
async fn administrators_end_anybodys_sessions() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    let ann = world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    let mut bob = world.signed_in(BOB).await;
    let (mut one, mut two) = (world.signed_in(ANN).await, world.signed_in(ANN).await);
    let handle = one.handle().await;
    let all = format!("/api/admin/sessions?subject=user:{}", ann.id);
    for path in [format!("/api/admin/sessions/{handle}"), all.clone()] {
        assert_eq!(bob.delete(&path).await.code(), "permission_denied");
    }
    assert_eq!((one.status().await, two.status().await), (200, 200));
    assert_eq!(admin.delete(&format!("/api/admin/sessions/{handle}")).await.status, 200);
    assert_eq!((one.status().await, two.status().await), (401, 200));
    let answer = admin.delete(&all).await;
    assert_eq!(answer.json()["data"]["ended"], 1);
    assert_eq!((two.status().await, bob.status().await, admin.status().await), (401, 200, 200));
}

/// R025: what is sensitive wants a sign-in of the last five minutes, says so as RFC 9470 has it, and goes on after a
/// fresh proof; activity and extension are no proof.
#[tokio::test]
async fn sensitive_actions_want_a_recent_sign_in() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    world.person(ANN, &[]).await;
    let mut ann = world.signed_in(ANN).await;
    world.pass(std::time::Duration::from_secs(299));
    assert_eq!(admin.get("/api/admin/settings").await.status, 200);
    assert_eq!(ann.delete("/api/auth/sessions?scope=others").await.status, 200);
    world.pass(std::time::Duration::from_secs(1));
    assert_eq!(ann.post("/api/auth/sessions/extend", &json!({})).await.status, 200);
    let handle = ann.handle().await;
    for line in [
        "DELETE /api/auth/sessions?scope=others".to_owned(),
        "DELETE /api/auth/sessions?scope=all".to_owned(),
        format!("DELETE /api/auth/sessions/{handle}"),
    ] {
        let answer = ann.ask(&line, None).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "insufficient_user_authentication".into()), "{line}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        for part in ["error=\"insufficient_user_authentication\"", "acr_values=\"1\"", "max_age=\"300\""] {
            assert!(challenge.contains(part), "{challenge}");
        }
        assert!(cookies(&answer).is_empty(), "the session is as good as before");
    }
    assert_eq!(admin.get("/api/admin/settings").await.code(), "insufficient_user_authentication");
    assert_eq!(ann.get("/api/admin/settings").await.code(), "permission_denied", "no hint that proof would help");
    for (client, line) in
        [(&mut admin, "GET /api/admin/settings"), (&mut ann, "DELETE /api/auth/sessions?scope=others")]
    {
        assert_eq!(client.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await.status, 200);
        assert_eq!(client.ask(line, None).await.status, 200);
    }
}

/// A18: a session that may only choose a new password is not upgraded by anything but that.
#[tokio::test]
async fn a_session_that_must_change_its_password_stays_one() {
    let world = World::new().await;
    let mut admin = world.administrator().await;
    let ann = world.person(ANN, &["admin", "read:profile"]).await;
    let path = format!("/api/admin/users/{}", ann.id);
    assert_eq!(admin.patch(&path, &json!({ "must_change_password": true })).await.status, 200);
    let mut client = world.signed_in(ANN).await;
    let restricted = |answer: crate::support::Answer| (answer.status.as_u16(), answer.code());
    let expected = (403, "password_change_required".to_owned());
    for line in ["GET /api/admin/settings", "GET /api/auth/verify", "GET /api/auth/verify?permission=read:profile"] {
        assert_eq!(restricted(client.ask(line, None).await), expected, "{line}");
    }
    assert_eq!(restricted(client.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await), expected);
    assert_eq!(restricted(client.post("/api/auth/sessions/extend", &json!({})).await), expected);
    let mut again = world.signed_in(ANN).await;
    assert_eq!(restricted(again.get("/api/admin/settings").await), expected);
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
    assert_eq!(client.post("/api/auth/password", &body).await.status, 200);
    assert_eq!(client.get("/api/admin/settings").await.status, 200);
    assert_eq!(again.status().await, 401);
}

/// A13: what was never a session of ours gets the same face as all that ended, and costs no more.
#[tokio::test]
async fn dead_and_unknown_look_alike_on_validate() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let token = client.token();
    client.post("/api/auth/logout", &json!({})).await;
    for line in ["GET /api/auth/sessions/validate", "GET /api/auth/verify", "GET /api/auth/user"] {
        assert_eq!(face(&world.holding(&token).ask(line, None).await), world.unknown(line).await, "{line}");
    }
    let answer = world.holding(&unknown_token(9)).get("/api/auth/sessions/validate").await;
    assert_eq!(answer.json()["data"], json!({ "valid": false, "reason": "invalid" }));
}
