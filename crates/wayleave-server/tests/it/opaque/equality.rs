//! What tells a name with an account from one without: nothing in the answer, and nothing in the calls to the stores.

use serde_json::json;
use wayleave_server::accounts::change_account;
use wayleave_server::config::Registration;
use wayleave_testkit::{DirectoryVerb, Fault};

use super::{LOGIN_FINISH, LOGIN_START, REGISTER_START, decode, encode, finish_body, ke1};
use crate::people::{ANN, BOB};
use crate::support::Answer;
use crate::world::{Keeping, OTHER_PASSWORD, PASSWORD, World};

const OFF: &str = "off@example.com";
const NOBODY: &str = "nobody@example.com";

/// One with OPAQUE, one with a password alone, one disabled, and nobody; and what is no address.
const NAMES: [&str; 5] = [ANN, BOB, OFF, NOBODY, "no address"];

async fn world() -> World {
    let world = World::with(Keeping::Memory, |config| config.accounts.registration = Registration::Open).await;
    world.opaque_person(ANN, PASSWORD).await;
    world.person(BOB, &[]).await;
    let off = world.opaque_person(OFF, PASSWORD).await;
    change_account(&world.app, &off.id, |account| account.disabled = true).await.unwrap();
    world
}

/// The answer without what is random in it, each replaced by its length.
fn shape(answer: &Answer) -> String {
    let data = &answer.json()["data"];
    let mut text = answer.masked();
    for name in ["login_id", "response"] {
        let random = data[name].as_str().unwrap();
        text = text.replace(random, &format!("<{}>", random.len()));
    }
    text
}

/// R110, A51: the first half is one answer: status, fields, lengths, parameters.
#[tokio::test]
async fn first_halves_are_alike() {
    let world = world().await;
    let mut shapes = Vec::new();
    for name in NAMES {
        let answer = world.client().post(LOGIN_START, &json!({ "identifier": name, "request": ke1(PASSWORD).0 })).await;
        answer.assert_status(200);
        assert_eq!(decode(&answer.json()["data"]["response"]).len(), 320);
        shapes.push(shape(&answer));
    }
    assert!(shapes.iter().all(|shape| shape == &shapes[0]), "{shapes:#?}");
    let mut halves = Vec::new();
    for name in [ANN, BOB, NOBODY] {
        let request = super::client(PASSWORD).register().0;
        let start = json!({ "identifier": name, "request": encode(request) });
        let answer = world.client().post(REGISTER_START, &start).await;
        answer.assert_status(200);
        halves.push(answer.masked().replace(answer.json()["data"]["response"].as_str().unwrap(), "<>"));
    }
    assert!(halves.iter().all(|half| half == &halves[0]), "{halves:#?}");
}

/// R110: the same calls in the same numbers, for both halves, and when the lock is closed. One more would be seen.
#[tokio::test]
async fn calls_to_the_stores_are_alike() {
    let mut seen = Vec::new();
    for name in NAMES {
        let world = world().await;
        let (store, directory) = (world.store.as_ref().unwrap().faults(), world.directory.as_ref().unwrap().faults());
        let mut client = world.client();
        let mut calls = Vec::new();
        for _ in 0..5 {
            store.reset();
            directory.reset();
            let started = client.opaque_start(name, PASSWORD).await;
            calls.push((store.calls(), directory.calls()));
            store.reset();
            directory.reset();
            let finish = finish_body(&started.login_id, &encode([7; 64]));
            client.post(LOGIN_FINISH, &finish).await.assert_code(401, "invalid_credentials");
            calls.push((store.calls(), directory.calls()));
        }
        store.reset();
        directory.reset();
        let start = json!({ "identifier": name, "request": ke1(PASSWORD).0 });
        client.post(LOGIN_START, &start).await.assert_code(429, "account_locked");
        calls.push((store.calls(), directory.calls()));
        assert_eq!(calls[0].1.get(&DirectoryVerb::CredentialsFind), Some(&1));
        seen.push(calls);
    }
    assert!(seen.iter().all(|calls| calls == &seen[0]), "{seen:#?}");
}

/// A57, R110: the evaluated element of one name and one blinded password is the same before and after the name gets an
/// account, after its password changes, and after it is disabled; what is masked is fresh each time.
#[tokio::test]
async fn an_unknown_name_is_plausible_for_ever() {
    let world = World::with(Keeping::Memory, |config| {
        config.accounts.registration = Registration::Open;
        config.lockout.attempts = 100;
    })
    .await;
    let request = ke1(PASSWORD).0;
    let ask = async |name: &str| {
        let answer = world.client().post(LOGIN_START, &json!({ "identifier": name, "request": request })).await;
        answer.assert_status(200);
        decode(&answer.json()["data"]["response"])
    };
    let mut answers = vec![ask(ANN).await, ask(ANN).await];
    world.client().opaque_register(ANN, PASSWORD, None).await.assert_status(201);
    answers.push(ask(ANN).await);
    answers.push(ask("ANN@Example.com").await);
    let mut ann = world.client();
    let signed_in = ann.opaque_sign_in(ANN, PASSWORD).await;
    ann.bearer = Some(signed_in.data("session_token"));
    ann.opaque_change(OTHER_PASSWORD).await.assert_status(200);
    answers.push(ask(ANN).await);
    let account = world.app.directory.accounts.by_email(&ANN.parse().unwrap()).await.unwrap().unwrap();
    change_account(&world.app, &account.id, |account| account.disabled = true).await.unwrap();
    answers.push(ask(ANN).await);
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer[..32], answers[0][..32], "{index}");
        for other in &answers[..index] {
            assert_ne!(answer[32..64], other[32..64], "masking nonces");
            assert_ne!(answer[64..192], other[64..192], "masked responses");
        }
    }
    assert_ne!(ask(BOB).await[..32], answers[0][..32]);
}

/// R098: a damaged record is as good as none, and the log of the server has it.
#[tokio::test]
async fn damaged_records_are_none() {
    let world = world().await;
    let ann = world.app.directory.accounts.by_email(&ANN.parse().unwrap()).await.unwrap().unwrap();
    let method = wayleave_core::authentication::Method::Opaque;
    let mut held = world.app.directory.credentials.find(&ann.id, method).await.unwrap().unwrap();
    held.secret = held.secret[1..].into();
    world.app.directory.credentials.set(&ann.id, method, &held).await.unwrap();
    assert!(world.client().opaque_start(ANN, PASSWORD).await.ke3(PASSWORD).is_none());
    // One that the store cannot open is not: nothing is decided then.
    world.directory.as_ref().unwrap().faults().fail(DirectoryVerb::CredentialsFind, Fault::DOWN);
    let start = json!({ "identifier": ANN, "request": ke1(PASSWORD).0 });
    world.client().post(LOGIN_START, &start).await.assert_code(503, "store_unavailable");
}
