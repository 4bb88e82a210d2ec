//! The vault's key: wrapped by the client, kept beside the OPAQUE record, and exchanged together with it.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wayleave_core::authentication::Method;
use wayleave_core::ports::Account;
use wayleave_server::accounts::change_account;
use wayleave_testkit::{DirectoryVerb, Effect, Fault, When};

use super::{KEY, OPAL, finish_with_vault, wrapped};
use crate::opaque::{CHANGE_FINISH, CHANGE_START, LOGIN_FINISH, decode, encode};
use crate::people::ANN;
use crate::roles::Held;
use crate::support::Answer;
use crate::world::{Client, Keeping, OTHER_PASSWORD, PASSWORD, World};

const VAULT_KEY: [u8; 32] = *b"the random key of Opal's vault..";

/// A vault key as a client would wrap it: of no use without the export key.
fn wrap(export_key: &[u8]) -> Vec<u8> {
    VAULT_KEY.iter().zip(Sha256::digest(export_key)).map(|(key, mask)| key ^ mask).collect()
}

fn unwraps(wrapped: &[u8], export_key: &[u8]) -> bool {
    wrapped == wrap(export_key)
}

/// A client with the vault open, and its export key; `None` when the password is wrong.
async fn signed_in<'a>(world: &'a World, email: &str, password: &str) -> Option<(Client<'a>, Vec<u8>)> {
    let mut client = world.client();
    let (ke1, state) = crate::opaque::client(password).log_in();
    let start = json!({ "identifier": email, "request": encode(ke1) });
    let started = client.post(crate::opaque::LOGIN_START, &start).await;
    started.assert_status(200);
    let data = started.json()["data"].clone();
    let finished = crate::opaque::client(password).finish(state, &decode(&data["response"]), None)?;
    let login = data["login_id"].as_str().unwrap();
    let body = finish_with_vault(login, &encode(&finished.ke3), &json!("write"));
    let answer = client.post(LOGIN_FINISH, &body).await;
    if answer.status != 200 {
        return None;
    }
    client.bearer = answer.json()["data"]["session_token"].as_str().map(str::to_owned);
    Some((client, finished.export_key))
}

impl Client<'_> {
    /// The wrapped key and its tag.
    async fn vault_key(&mut self) -> (Vec<u8>, String) {
        let answer = self.get(KEY).await;
        answer.assert_status(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        (decode(&answer.json()["data"]["key"]), tag(&answer))
    }

    /// The second half of a change with this key, and the export key that the record goes with.
    async fn change_with(&mut self, password: &str, replaces: Option<&str>, key: Option<&[u8]>) -> (Value, Vec<u8>) {
        let (request, registering) = crate::opaque::client(password).register();
        let started = self.post(CHANGE_START, &json!({ "request": encode(request) })).await;
        started.assert_status(200);
        let data = started.json()["data"].clone();
        let (upload, export_key) = crate::opaque::client(password).upload(registering, &decode(&data["response"]));
        let mut body = json!({ "upload": encode(upload), "key_stretching": data["key_stretching"] });
        let new = wrap(&export_key);
        if let Some(key) = key {
            body["wrapped_key"] = json!({ "key": encode(key), "replaces": replaces });
        } else if replaces.is_some() {
            body["wrapped_key"] = json!({ "key": encode(new), "replaces": replaces });
        }
        (body, export_key)
    }
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").unwrap().trim_matches('"').to_owned()
}

/// A person with a vault whose key is kept; the key's tag.
async fn person_with_key(world: &World) -> (Account, String) {
    let account = world.opaque_person(OPAL, PASSWORD).await;
    let (mut client, export_key) = signed_in(world, OPAL, PASSWORD).await.unwrap();
    let answer = client.put_key(&wrap(&export_key), None).await;
    answer.assert_status(200);
    (account, tag(&answer))
}

#[tokio::test]
async fn it_is_kept_and_no_write_is_lost() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        world.opaque_person(OPAL, PASSWORD).await;
        let (mut one, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
        let (mut other, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
        one.get(KEY).await.assert_code(404, "not_found");
        let first = one.put_key(b"first", None).await;
        first.assert_status(200);
        assert_eq!(other.vault_key().await, (b"first".to_vec(), tag(&first)));
        // Whoever does not know that there is one, or knows another one, replaces nothing.
        other.put_key(b"second", None).await.assert_code(412, "precondition_failed");
        let foreign = "0".repeat(32);
        other.put_key(b"second", Some(&foreign)).await.assert_code(412, "precondition_failed");
        other.put_key(b"second", Some("W/x")).await.assert_code(412, "precondition_failed");
        let second = other.put_key(b"second", Some(&tag(&first))).await;
        second.assert_status(200);
        one.put_key(b"third", Some(&tag(&first))).await.assert_code(412, "precondition_failed");
        assert_eq!(one.vault_key().await, (b"second".to_vec(), tag(&second)));
        assert_eq!(world.audited("vault.key_wrapped").await.len(), 2);
    }
}

#[tokio::test]
async fn a_write_says_what_it_replaces() {
    let world = World::new().await;
    let (_, held) = person_with_key(&world).await;
    let (mut client, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
    let body = json!({ "key": encode(b"second") });
    client.put(KEY, &body).await.assert_code(428, "precondition_required");
    for (name, value, code) in [
        ("if-match", "*", (428, "precondition_required")),
        ("if-none-match", "\"x\"", (400, "bad_request")),
        ("if-match", "\"a\", \"b\"", (400, "bad_request")),
    ] {
        client.fields = vec![(name.to_owned(), value.to_owned())];
        client.put(KEY, &body).await.assert_code(code.0, code.1);
    }
    client.fields.clear();
    assert_eq!(client.vault_key().await.1, held);
}

#[tokio::test]
async fn it_has_a_size() {
    let world = World::new().await;
    let (_, held) = person_with_key(&world).await;
    let (mut client, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
    for text in ["", "A", "AA==", "!!!!", &encode([0; 1025]), &"A".repeat(20_000)] {
        client.fields = vec![("if-match".into(), format!("\"{held}\""))];
        let answer = client.put(KEY, &json!({ "key": text })).await;
        answer.assert_code(422, "validation_failed");
    }
    client.fields.clear();
    client.put_key(&[9; 1024], Some(&held)).await.assert_status(200);
    assert_eq!(client.vault_key().await.0, [9; 1024]);
}

/// Twenty clients put the first key at once: one is kept, and the others are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_first_keys_one_is_kept() {
    let world = World::with(Keeping::Sqlite, |_| {}).await;
    world.opaque_person(OPAL, PASSWORD).await;
    let (client, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..20_u8 {
        let mut with_fields = Client { fields: vec![("if-none-match".into(), "*".into())], ..world.client() };
        with_fields.bearer = client.bearer.clone();
        let request = with_fields.request(&format!("PUT {KEY}"), Some(&json!({ "key": encode([number]) })));
        let router = world.router.clone();
        asked.spawn(async move { (number, crate::support::send(&router, request).await.status.as_u16()) });
    }
    let answers = asked.join_all().await;
    let kept: Vec<_> = answers.iter().filter(|(_, status)| *status == 200).map(|(number, _)| *number).collect();
    assert_eq!(kept.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(_, status)| matches!(status, 200 | 412)), "{answers:?}");
    let mut client = client;
    assert_eq!(client.vault_key().await.0, kept);
}

/// A password change swaps the record and the wrapped key in one step: whoever signs in with the new password has the key
/// that everything is encrypted under, and the old password opens nothing.
#[tokio::test]
async fn a_password_change_takes_the_key_along() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        let (_, held) = person_with_key(&world).await;
        let (mut client, old_export) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
        let (key, tag) = client.vault_key().await;
        assert!(unwraps(&key, &old_export));
        assert_eq!(tag, held);
        let (body, new_export) = client.change_with(OTHER_PASSWORD, Some(&held), None).await;
        client.post(CHANGE_FINISH, &body).await.assert_status(200);
        assert!(signed_in(&world, OPAL, PASSWORD).await.is_none());
        let (mut client, export_key) = signed_in(&world, OPAL, OTHER_PASSWORD).await.unwrap();
        assert_eq!(export_key, new_export);
        let (key, _) = client.vault_key().await;
        assert!(unwraps(&key, &export_key) && !unwraps(&key, &old_export));
        assert_eq!(world.audited("vault.key_wrapped").await.len(), 2);
    }
}

/// What would lose the key is refused, and changes nothing: neither record nor key nor sessions.
#[tokio::test]
async fn a_change_that_would_lose_the_key_is_refused() {
    let world = World::new().await;
    let (_, held) = person_with_key(&world).await;
    let (mut client, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
    let (body, _) = client.change_with(OTHER_PASSWORD, None, None).await;
    client.post(CHANGE_FINISH, &body).await.assert_code(422, "validation_failed");
    for replaces in [None, Some("0".repeat(32))] {
        let (body, _) = client.change_with(OTHER_PASSWORD, replaces.as_deref(), Some(b"another")).await;
        client.post(CHANGE_FINISH, &body).await.assert_code(412, "precondition_failed");
        client.world.app.passwords.unlock(&account(&world).await).await.unwrap();
    }
    // A session that does not hold the vault cannot write over its key by this way either.
    for (right, reason) in [(None, "not_opened"), (Some("read"), "read_only")] {
        let mut weak = world.client();
        match right {
            Some(right) => drop(weak.vault_sign_in(OPAL, Held::Bearer, right).await),
            None => {
                let answer = weak.opaque_sign_in(OPAL, PASSWORD).await;
                weak.bearer = answer.json()["data"]["session_token"].as_str().map(str::to_owned);
            }
        }
        let (body, _) = weak.change_with(OTHER_PASSWORD, Some(&held), None).await;
        let answer = weak.post(CHANGE_FINISH, &body).await;
        answer.assert_code(403, "vault_required");
        assert_eq!(answer.json()["error"]["details"]["reason"], reason);
        world.app.passwords.unlock(&account(&world).await).await.unwrap();
    }
    assert_eq!(client.vault_key().await.1, held);
    assert!(signed_in(&world, OPAL, OTHER_PASSWORD).await.is_none());
    assert!(signed_in(&world, OPAL, PASSWORD).await.is_some());
}

async fn account(world: &World) -> Account {
    world.app.directory.accounts.by_email(&OPAL.parse().unwrap()).await.unwrap().unwrap()
}

/// Whatever fails on the way, and whether or not the answer is lost: the record in force and the key beside it belong
/// together, so that no blob is ever orphaned.
#[tokio::test]
async fn no_failure_parts_the_record_and_the_key() {
    let mut failed = 0;
    for (verb, when) in steps() {
        for effect in [Effect::Unreached, Effect::AnswerLost] {
            let world = World::new().await;
            let (_, held) = person_with_key(&world).await;
            let (mut client, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
            let (body, _) = client.change_with(OTHER_PASSWORD, Some(&held), None).await;
            let faults = world.directory.as_ref().unwrap().faults();
            faults.fail(verb, Fault { when, effect });
            let answer = client.post(CHANGE_FINISH, &body).await;
            faults.heal(verb);
            failed += u32::from(answer.status != 200);
            let mut good = 0;
            for password in [PASSWORD, OTHER_PASSWORD] {
                if let Some((mut client, export_key)) = signed_in(&world, OPAL, password).await {
                    good += 1;
                    let (key, _) = client.vault_key().await;
                    assert!(unwraps(&key, &export_key), "{verb:?} {when:?} {effect:?}");
                }
            }
            assert_eq!(good, 1, "{verb:?} {when:?} {effect:?}");
        }
    }
    assert!(failed >= 10, "{failed}");
}

/// The same from a password to OPAQUE: there is one of both, never both and never none.
#[tokio::test]
async fn no_failure_leaves_a_password_beside_a_record() {
    let mut failed = 0;
    for (verb, when) in steps() {
        for effect in [Effect::Unreached, Effect::AnswerLost] {
            let world = World::new().await;
            let account = world.person(ANN, &[]).await;
            let (mut ann, _) = world.with_tokens(ANN).await;
            let (body, _) = ann.change_with(OTHER_PASSWORD, None, Some(b"the first key")).await;
            let faults = world.directory.as_ref().unwrap().faults();
            faults.fail(verb, Fault { when, effect });
            let answer = ann.post(CHANGE_FINISH, &body).await;
            faults.heal(verb);
            failed += u32::from(answer.status != 200);
            let credentials = &world.app.directory.credentials;
            let password = credentials.find(&account.id, Method::Password).await.unwrap().is_some();
            let record = credentials.find(&account.id, Method::Opaque).await.unwrap().is_some();
            let key = credentials.wrapped_key(&account.id, Method::Opaque).await.unwrap().is_some();
            assert_ne!(password, record, "{verb:?} {when:?} {effect:?}");
            assert_eq!(record, key, "{verb:?} {when:?} {effect:?}");
            let by_password = world.client().sign_in(ANN, PASSWORD).await.status == 200;
            let by_record = signed_in(&world, ANN, OTHER_PASSWORD).await.is_some();
            assert_eq!((by_password, by_record), (password, record), "{verb:?} {when:?} {effect:?}");
        }
    }
    assert!(failed >= 10, "{failed}");
}

/// The calls of a change to the directory that can fail.
fn steps() -> impl Iterator<Item = (DirectoryVerb, When)> {
    [
        DirectoryVerb::AccountsById,
        DirectoryVerb::AccountsUpdate,
        DirectoryVerb::CredentialsFind,
        DirectoryVerb::CredentialsWrappedKey,
        DirectoryVerb::CredentialsExchange,
        DirectoryVerb::CredentialsRemove,
        DirectoryVerb::DevicesForgetAll,
        DirectoryVerb::CountersClear,
    ]
    .into_iter()
    .flat_map(|verb| [1, 2].map(|call| (verb, When::Call(call))))
}

/// R098: whoever has to choose another password can do that without losing the key, and does nothing else with the vault.
#[tokio::test]
async fn who_must_change_the_password_takes_the_key_along() {
    let world = World::new().await;
    let (account, held) = person_with_key(&world).await;
    change_account(&world.app, &account.id, |account| account.must_change_password = true).await.unwrap();
    let (mut client, _) = signed_in(&world, OPAL, PASSWORD).await.unwrap();
    assert_eq!(client.vault_key().await.1, held);
    client.put_key(&wrapped(b"x"), Some(&held)).await.assert_code(403, "password_change_required");
    let (body, _) = client.change_with(OTHER_PASSWORD, Some(&held), None).await;
    client.post(CHANGE_FINISH, &body).await.assert_status(200);
    let (mut client, export_key) = signed_in(&world, OPAL, OTHER_PASSWORD).await.unwrap();
    assert!(unwraps(&client.vault_key().await.0, &export_key));
}

/// A password by an administrator's link puts an end to the record, and to the key that only the record's password opened.
#[tokio::test]
async fn it_goes_with_the_record() {
    let world = World::new().await;
    let (account, _) = person_with_key(&world).await;
    let mut admin = world.administrator().await;
    let link = admin.post(&format!("/api/admin/users/{}/reset-link", account.id), &json!({})).await.json();
    let token = link["data"]["url"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    let body = json!({ "token": token, "new_password": OTHER_PASSWORD });
    world.client().post("/api/auth/password/reset", &body).await.assert_status(200);
    let credentials = &world.app.directory.credentials;
    assert_eq!(credentials.find(&account.id, Method::Opaque).await.unwrap(), None);
    assert_eq!(credentials.wrapped_key(&account.id, Method::Opaque).await.unwrap(), None);
    let mut client = world.client();
    assert_eq!(client.sign_in(OPAL, OTHER_PASSWORD).await.status, 200);
    client.get(KEY).await.assert_code(403, "vault_required");
}
