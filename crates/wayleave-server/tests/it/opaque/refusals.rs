//! What is no good: malformed messages, proofs of other logins, and proofs that come again or too late.

use std::time::Duration;

use serde_json::json;
use wayleave_server::accounts::change_account;
use wayleave_server::config::Registration;
use wayleave_testkit::{DirectoryVerb, Fault, StoreVerb};

use super::{LOGIN_FINISH, LOGIN_START, REGISTER_FINISH, REGISTER_START, encode, finish_body, ke1};
use crate::people::{ANN, BOB};
use crate::world::{Keeping, OTHER_PASSWORD, PASSWORD, World};

async fn world() -> World {
    let world = World::with(Keeping::Memory, |config| config.accounts.registration = Registration::Open).await;
    world.opaque_person(ANN, PASSWORD).await;
    world
}

/// R111, R117, A56: whatever is wrong with the second half, the answer is that of a wrong password, byte for byte, and a
/// good proof that came in vain is spent.
#[tokio::test]
async fn refusals_are_one_answer() {
    let world = world().await;
    world.opaque_person(BOB, PASSWORD).await;
    let disabled = world.opaque_person("off@example.com", PASSWORD).await;
    let wrong = json!({ "email": "nobody@example.com", "password": OTHER_PASSWORD, "transport": "bearer" });
    let expected = world.client().post("/api/auth/login", &wrong).await;
    expected.assert_code(401, "invalid_credentials");
    let check = async |login_id: &str, ke3: &str, reason: &str| {
        let answer = world.client().post(LOGIN_FINISH, &finish_body(login_id, ke3)).await;
        assert_eq!(answer.masked(), expected.masked(), "{reason}");
        let rows = world.audited("login.failure").await;
        assert_eq!(rows.last().unwrap().reason.as_deref(), Some(reason));
    };
    let start = async |email: &str| world.client().opaque_start(email, PASSWORD).await;

    let made_up = encode([7; 64]);
    check(&start(ANN).await.login_id, &made_up, "wrong_password").await;
    check(&start("nobody@example.com").await.login_id, &made_up, "unknown_account").await;
    check(&start("no address").await.login_id, &made_up, "unknown_account").await;
    check(&encode([7; 32]), &made_up, "no_such_login").await;
    check("not a name of ours", &made_up, "no_such_login").await;

    // Of another login of the same account, and of another account.
    let (one, other) = (start(ANN).await, start(ANN).await);
    let (of_one, ke3) = one.ke3(PASSWORD).unwrap();
    check(&other.login_id, &ke3, "wrong_password").await;
    check(&start(BOB).await.login_id, &ke3, "wrong_password").await;
    // It is still good for its own, once.
    world.client().post(LOGIN_FINISH, &finish_body(&of_one, &ke3)).await.assert_status(200);
    check(&of_one, &ke3, "no_such_login").await;

    // A wrong proof has used the login up.
    let started = start(ANN).await;
    check(&started.login_id, &made_up, "wrong_password").await;
    let (login_id, ke3) = started.ke3(PASSWORD).unwrap();
    check(&login_id, &ke3, "no_such_login").await;

    // Disabled between the halves; disabled before, its client sees no right password either.
    let started = start("off@example.com").await;
    change_account(&world.app, &disabled.id, |account| account.disabled = true).await.unwrap();
    let (login_id, ke3) = started.ke3(PASSWORD).unwrap();
    check(&login_id, &ke3, "disabled").await;
    assert!(start("off@example.com").await.ke3(PASSWORD).is_none());

    world.pass(Duration::from_secs(3600));
    let (login_id, ke3) = start(ANN).await.ke3(PASSWORD).unwrap();
    world.pass(Duration::from_secs(60));
    check(&login_id, &ke3, "no_such_login").await;
    let (login_id, ke3) = start(ANN).await.ke3(PASSWORD).unwrap();
    world.pass(Duration::from_millis(59_999));
    world.client().post(LOGIN_FINISH, &finish_body(&login_id, &ke3)).await.assert_status(200);
}

/// R097: a login that began before everything was ended opens nothing.
#[tokio::test]
async fn a_login_is_overtaken_by_the_end_of_all_sessions() {
    let world = world().await;
    let started = world.client().opaque_start(ANN, PASSWORD).await;
    let ann = world.app.directory.accounts.by_email(&ANN.parse().unwrap()).await.unwrap().unwrap();
    change_account(&world.app, &ann.id, |account| account.epoch += 1).await.unwrap();
    let (login_id, ke3) = started.ke3(PASSWORD).unwrap();
    let answer = world.client().post(LOGIN_FINISH, &finish_body(&login_id, &ke3)).await;
    answer.assert_code(401, "invalid_credentials");
}

/// R109, A56: what is no message is a 400 that leaves nothing behind: no login, and no failure.
#[tokio::test]
async fn malformed_messages_leave_no_state() {
    let world = world().await;
    let (good, _) = ke1(PASSWORD);
    let bytes = super::decode(&json!(good));
    let mut identity = bytes.clone();
    identity[..32].fill(0);
    let mut no_point = bytes.clone();
    no_point[64..].fill(0xFF);
    let requests = [
        String::new(),
        "!".repeat(128),
        encode(&bytes[..95]),
        encode([&bytes[..], &[0]].concat()),
        format!("{good}=="),
        format!("{good}{}", "A".repeat(4096)),
        encode(identity),
        encode(no_point),
        encode([0; 96]),
    ];
    let faults = (world.store.as_ref().unwrap().faults(), world.directory.as_ref().unwrap().faults());
    faults.0.reset();
    faults.1.reset();
    for request in &requests {
        let start = json!({ "identifier": ANN, "request": request });
        world.client().post(LOGIN_START, &start).await.assert_code(400, "bad_request");
    }
    for request in ["", "A", &encode([0; 32]), &encode([0xFF; 32]), &encode([1; 31]), &good] {
        let start = json!({ "identifier": ANN, "request": request });
        world.client().post(REGISTER_START, &start).await.assert_code(400, "bad_request");
    }
    let stretching = json!({ "iterations": 3, "memory_kib": 65_536, "parallelism": 4 });
    for upload in [encode([0; 192]), encode([0xFF; 192]), encode([1; 191]), encode([1; 193])] {
        let finish = json!({ "identifier": BOB, "name": "Bob", "upload": upload, "key_stretching": stretching });
        world.client().post(REGISTER_FINISH, &finish).await.assert_code(400, "bad_request");
    }
    assert!(faults.0.calls().is_empty(), "{:?}", faults.0.calls());
    assert!(faults.1.calls().is_empty(), "{:?}", faults.1.calls());
    // A malformed proof does not use the login up.
    let started = world.client().opaque_start(ANN, PASSWORD).await;
    for ke3 in ["", "A", &encode([1; 63]), &encode([1; 65])] {
        let answer = world.client().post(LOGIN_FINISH, &finish_body(&started.login_id, ke3)).await;
        answer.assert_code(400, "bad_request");
    }
    let (login_id, ke3) = started.ke3(PASSWORD).unwrap();
    world.client().post(LOGIN_FINISH, &finish_body(&login_id, &ke3)).await.assert_status(200);
}

/// R168: a store that does not answer is a 503 at every step, never a session and never a plain no.
#[tokio::test]
async fn failing_stores_let_nobody_in() {
    let world = world().await;
    let directory = world.directory.as_ref().unwrap().faults();
    let store = world.store.as_ref().unwrap().faults();
    let start = || json!({ "identifier": ANN, "request": ke1(PASSWORD).0 });
    for verb in [DirectoryVerb::AccountsByEmail, DirectoryVerb::CountersReserve, DirectoryVerb::CredentialsFind] {
        directory.fail(verb, Fault::DOWN);
        world.client().post(LOGIN_START, &start()).await.assert_code(503, "store_unavailable");
        directory.heal(verb);
    }
    store.fail(StoreVerb::Deposit, Fault::DOWN);
    world.client().post(LOGIN_START, &start()).await.assert_code(503, "store_unavailable");
    store.heal(StoreVerb::Deposit);
    world.pass(Duration::from_secs(3600));
    for verb in [DirectoryVerb::AccountsById, DirectoryVerb::CountersClear] {
        let (login_id, ke3) = world.client().opaque_start(ANN, PASSWORD).await.ke3(PASSWORD).unwrap();
        directory.fail(verb, Fault::DOWN);
        let answer = world.client().post(LOGIN_FINISH, &finish_body(&login_id, &ke3)).await;
        answer.assert_code(503, "store_unavailable");
        directory.heal(verb);
    }
    let (login_id, ke3) = world.client().opaque_start(ANN, PASSWORD).await.ke3(PASSWORD).unwrap();
    store.fail(StoreVerb::Take, Fault::DOWN);
    let finish = finish_body(&login_id, &ke3);
    world.client().post(LOGIN_FINISH, &finish).await.assert_code(503, "store_unavailable");
    store.heal(StoreVerb::Take);
    world.client().post(LOGIN_FINISH, &finish).await.assert_status(200);
}
