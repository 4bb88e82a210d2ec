//! From a password to OPAQUE, from one OPAQUE password to another, and back.

use std::time::Duration;

use serde_json::json;
use wayleave_core::authentication::Method;
use wayleave_core::ports::Account;
use wayleave_server::accounts::change_account;
use wayleave_server::config::Registration;
use wayleave_testkit::DirectoryVerb;

use super::{CHANGE_FINISH, CHANGE_START, LOGIN_START, decode, encode, ke1};
use crate::people::ANN;
use crate::world::{Client, Keeping, OTHER_PASSWORD, PASSWORD, World};

async fn methods(world: &World, account: &Account) -> Vec<&'static str> {
    let mut held = Vec::new();
    for method in Method::ALL {
        if world.app.directory.credentials.find(&account.id, method).await.unwrap().is_some() {
            held.push(method.as_str());
        }
    }
    held
}

async fn validates(client: &mut Client<'_>) -> u16 {
    client.get("/api/auth/sessions/validate").await.status.as_u16()
}

/// R113, R097: an account moves from a password to OPAQUE inside a recent session; the password is gone with it, and so is
/// every session, wherever it is.
#[tokio::test]
async fn a_password_gives_way() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        let account = world.person(ANN, &[]).await;
        let (mut elsewhere, mut page) = (world.signed_in(ANN).await, world.signed_in(ANN).await);
        page.opaque_change(OTHER_PASSWORD).await.assert_status(200);
        assert!(!page.jar.contains_key("__Host-id"), "{:?}", page.jar);
        assert_eq!(validates(&mut elsewhere).await, 401);
        assert_eq!(methods(&world, &account).await, ["opaque"]);
        world.client().sign_in(ANN, PASSWORD).await.assert_code(401, "invalid_credentials");
        world.client().opaque_sign_in(ANN, PASSWORD).await.assert_code(401, "invalid_credentials");
        let mut again = world.client();
        let answer = again.opaque_sign_in(ANN, OTHER_PASSWORD).await;
        answer.assert_status(200);

        // And once more, for another OPAQUE password.
        again.bearer = Some(answer.data("session_token"));
        again.opaque_change("the third of them, for the test").await.assert_status(200);
        assert_eq!(validates(&mut again).await, 401);
        world.client().opaque_sign_in(ANN, OTHER_PASSWORD).await.assert_code(401, "invalid_credentials");
        world.client().opaque_sign_in(ANN, "the third of them, for the test").await.assert_status(200);
        let rows = world.audited("user.password_changed").await;
        assert_eq!(rows.iter().map(|row| row.reason.as_deref()).collect::<Vec<_>>(), [Some("opaque"); 2]);
    }
}

/// R113, R025: without a session or with one whose sign-in is long ago nothing begins, and nothing is finished.
#[tokio::test]
async fn it_takes_a_recent_sign_in() {
    let world = World::new().await;
    let account = world.person(ANN, &[]).await;
    let (mut ann, _) = world.with_tokens(ANN).await;
    let body =
        ann.opaque_upload(CHANGE_START, json!({}), OTHER_PASSWORD).await.map_err(|answer| answer.text()).unwrap();
    let start = json!({ "request": encode(super::client(PASSWORD).register().0) });
    world.client().post(CHANGE_START, &start).await.assert_code(401, "session_required");
    world.client().post(CHANGE_FINISH, &body).await.assert_code(401, "session_required");
    world.pass(world.app.options.step_up_max_age + Duration::from_secs(1));
    ann.post(CHANGE_START, &start).await.assert_code(401, "insufficient_user_authentication");
    ann.post(CHANGE_FINISH, &body).await.assert_code(401, "insufficient_user_authentication");
    assert_eq!(methods(&world, &account).await, ["pwd"]);
    // A name in the body is nobody's: it is always the account behind the session.
    let (mut ann, _) = world.with_tokens(ANN).await;
    let mut named = body.clone();
    named["identifier"] = "bob@example.com".into();
    ann.post(CHANGE_FINISH, &named).await.assert_code(422, "validation_failed");
}

/// R112: each first half of a change can be a guess at the record in force, and counts as a failed step-up.
#[tokio::test]
async fn first_halves_count_as_step_ups() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (mut ann, _) = world.with_tokens(ANN).await;
    let start = json!({ "request": encode(super::client(PASSWORD).register().0) });
    for _ in 0..5 {
        ann.post(CHANGE_START, &start).await.assert_status(200);
    }
    ann.post(CHANGE_START, &start).await.assert_code(429, "account_locked");
    ann.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await.assert_code(429, "account_locked");
    world.signed_in(ANN).await;
}

/// R097: of two changes that were prepared side by side one is made.
#[tokio::test]
async fn a_change_is_not_undone_by_an_older_one() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let ((mut one, _), (mut other, _)) = (world.with_tokens(ANN).await, world.with_tokens(ANN).await);
    let first =
        one.opaque_upload(CHANGE_START, json!({}), OTHER_PASSWORD).await.map_err(|answer| answer.text()).unwrap();
    let second = other
        .opaque_upload(CHANGE_START, json!({}), "that of somebody else")
        .await
        .map_err(|answer| answer.text())
        .unwrap();
    one.post(CHANGE_FINISH, &first).await.assert_status(200);
    other.post(CHANGE_FINISH, &second).await.assert_code(401, "session_invalid");
    world.client().opaque_sign_in(ANN, OTHER_PASSWORD).await.assert_status(200);
}

/// R097: a change that was let in by a session does not undo what ended that session meanwhile.
#[tokio::test]
async fn a_change_is_overtaken_by_the_end_of_all_sessions() {
    let world = World::new().await;
    let account = world.person(ANN, &[]).await;
    let (mut ann, _) = world.with_tokens(ANN).await;
    let body =
        ann.opaque_upload(CHANGE_START, json!({}), OTHER_PASSWORD).await.map_err(|answer| answer.text()).unwrap();
    let gate = world.directory.as_ref().unwrap().faults().hold(DirectoryVerb::AccountsById);
    let finish = ann.post(CHANGE_FINISH, &body);
    let end = async {
        gate.arrived().await;
        change_account(&world.app, &account.id, |account| account.epoch += 1).await.unwrap();
        gate.open();
    };
    let (finished, ()) = tokio::join!(finish, end);
    finished.assert_code(409, "conflict");
    assert_eq!(methods(&world, &account).await, ["pwd"]);
}

/// Whoever must choose another password can choose OPAQUE, and is free then.
#[tokio::test]
async fn whoever_must_change_can_change_to_it() {
    let world = World::new().await;
    let account = world.person(ANN, &[]).await;
    change_account(&world.app, &account.id, |account| account.must_change_password = true).await.unwrap();
    let mut ann = world.signed_in(ANN).await;
    ann.get("/api/auth/sessions").await.assert_code(403, "password_change_required");
    ann.opaque_change(OTHER_PASSWORD).await.assert_status(200);
    let mut again = world.client();
    again.bearer = Some(again.opaque_sign_in(ANN, OTHER_PASSWORD).await.data("session_token"));
    again.get("/api/auth/sessions").await.assert_status(200);
}

/// A password that is set by an administrator's link puts an end to the record, as to everything else.
#[tokio::test]
async fn a_reset_goes_back_to_a_password() {
    let world = World::new().await;
    let account = world.opaque_person(ANN, PASSWORD).await;
    let link = wayleave_server::links::issue_reset(&world.app, &account, None).await.unwrap();
    let token = link.url.split_once('#').unwrap().1;
    let reset = json!({ "token": token, "new_password": OTHER_PASSWORD });
    world.client().post("/api/auth/password/reset", &reset).await.assert_status(200);
    assert_eq!(methods(&world, &account).await, ["pwd"]);
    world.client().opaque_sign_in(ANN, PASSWORD).await.assert_code(401, "invalid_credentials");
    world.client().sign_in(ANN, OTHER_PASSWORD).await.assert_status(200);
}

/// R114: a new address is a new name for the same record; whoever takes the old one has an OPRF key of their own, so that
/// neither's logins tell anything of the other's password.
#[tokio::test]
async fn a_record_survives_a_new_address() {
    let world = World::with(Keeping::Memory, |config| config.accounts.registration = Registration::Open).await;
    let account = world.opaque_person(ANN, PASSWORD).await;
    let moved = "ann.b@example.com";
    let (request, _) = ke1(PASSWORD);
    let element = async |name: &str| {
        let answer = world.client().post(LOGIN_START, &json!({ "identifier": name, "request": request })).await;
        decode(&answer.json()["data"]["response"])[..32].to_vec()
    };
    let anns = element(ANN).await;
    let mut admin = world.administrator().await;
    let path = format!("/api/admin/users/{}", account.id);
    admin.patch(&path, &json!({ "email": moved })).await.assert_status(200);
    world.client().opaque_sign_in(moved, PASSWORD).await.assert_status(200);
    assert!(world.client().opaque_start(ANN, PASSWORD).await.ke3(PASSWORD).is_none());
    assert_eq!(element(moved).await, anns);
    assert_eq!(element(ANN).await, anns, "the name that is nobody's now looks as before");

    world.client().opaque_register(ANN, OTHER_PASSWORD, None).await.assert_status(201);
    world.client().opaque_sign_in(ANN, OTHER_PASSWORD).await.assert_status(200);
    assert_ne!(element(ANN).await, anns);
    world.client().opaque_sign_in(moved, PASSWORD).await.assert_status(200);
}
