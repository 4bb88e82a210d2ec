//! Locking the vault: in one session, in all of an account, and by an administrator.

use serde_json::{Value, json};
use wayleave_testkit::{Fault, StoreVerb};

use super::{LOCK, OPAL};
use crate::people::{ANN, BOB};
use crate::roles::Held;
use crate::world::{PASSWORD, World};

/// What `data.vault.ended` says.
fn ended(vault: &Value) -> Option<&str> {
    vault["ended"].as_str()
}

#[tokio::test]
async fn a_session_locks_its_own() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let (mut one, mut other) = (world.client(), world.client());
    one.vault_sign_in(OPAL, Held::Bearer, "write").await;
    other.vault_sign_in(OPAL, Held::Cookie, "write").await;
    assert_eq!(one.lock_vault("this").await, 1);
    assert_eq!((ended(&one.vault().await), ended(&other.vault().await)), (Some("locked"), None));
    assert_eq!(one.lock_vault("this").await, 0, "it is locked already");
    // An empty body means this one.
    let answer = other.post(LOCK, &json!({})).await;
    assert_eq!(answer.json()["data"]["locked"], 1);
    assert_eq!(ended(&other.vault().await), Some("locked"));
    let rows = world.audited("vault.locked").await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.session.is_some() && row.subject.is_some() && row.actor.is_none()));
    // The session goes on, and a fresh proof opens it again.
    one.opaque_step_up(OPAL, None).await.assert_status(200);
    assert_eq!(ended(&one.vault().await), Some("locked"), "nobody asked for it");
    one.opaque_step_up(OPAL, Some("read")).await.assert_status(200);
    assert_eq!(ended(&one.vault().await), None);
}

#[tokio::test]
async fn every_session_of_an_account_is_locked_and_no_other() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    world.opaque_person(BOB, PASSWORD).await;
    let mut opal = Vec::new();
    for _ in 0..4 {
        let mut client = world.client();
        client.vault_sign_in(OPAL, Held::Bearer, "write").await;
        opal.push(client);
    }
    let mut bob = world.client();
    bob.vault_sign_in(BOB, Held::Bearer, "write").await;
    assert_eq!(opal[0].lock_vault("this").await, 1);
    assert_eq!(opal[0].lock_vault("all").await, 3);
    for client in &mut opal {
        assert_eq!(ended(&client.vault().await), Some("locked"));
    }
    assert_eq!(ended(&bob.vault().await), None);
    assert_eq!(opal[0].lock_vault("all").await, 0);
}

/// Who never opened the vault has nothing to lock, and that does no harm.
#[tokio::test]
async fn locking_what_is_not_open_does_nothing() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (mut ann, _) = world.with_tokens(ANN).await;
    for scope in ["this", "all"] {
        assert_eq!(ann.lock_vault(scope).await, 0);
    }
    assert_eq!(ann.vault().await, Value::Null);
    for body in [json!({ "scope": "others" }), json!({ "scope": null }), json!({ "all": true })] {
        let answer = ann.post(LOCK, &body).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{body}: {}", answer.text());
    }
    assert!(world.audited("vault.locked").await.is_empty());
}

#[tokio::test]
async fn an_administrator_locks_the_vault_of_an_account() {
    let world = World::new().await;
    let account = world.opaque_person(OPAL, PASSWORD).await;
    let mut admin = world.administrator().await;
    let (mut one, mut other) = (world.client(), world.client());
    one.vault_sign_in(OPAL, Held::Bearer, "write").await;
    other.vault_sign_in(OPAL, Held::Cookie, "read").await;
    let path = format!("/api/admin/users/{}/vault/lock", account.id);
    let answer = admin.post(&path, &json!({})).await;
    answer.assert_status(200);
    assert_eq!(answer.json()["data"]["locked"], 2);
    for client in [&mut one, &mut other] {
        assert_eq!(ended(&client.vault().await), Some("locked"));
        client.get("/api/auth/user").await.assert_status(200);
    }
    let rows = world.audited("vault.locked").await;
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.actor.as_deref().is_some_and(|actor| actor.starts_with("user:"))));
    admin.post("/api/admin/users/user_AAAAAAAAAAAAAAAAAAAAAA/vault/lock", &json!({})).await.assert_status(404);
    // The administrator sees whose vault is open where.
    let listed = admin.get(&format!("/api/admin/sessions?subject=user:{}", account.id)).await.json();
    let vaults: Vec<_> = listed["data"]["items"].as_array().unwrap().iter().map(|item| ended(&item["vault"])).collect();
    assert_eq!(vaults, [Some("locked"), Some("locked")]);
}

/// R168: nothing is said to be locked that the store did not lock.
#[tokio::test]
async fn a_store_that_fails_locks_nothing_silently() {
    let world = World::new().await;
    world.opaque_person(OPAL, PASSWORD).await;
    let mut client = world.client();
    client.vault_sign_in(OPAL, Held::Bearer, "write").await;
    let faults = world.store.as_ref().unwrap().faults();
    for scope in ["this", "all"] {
        for verb in [StoreVerb::Update, StoreVerb::List] {
            faults.fail(verb, Fault::DOWN);
        }
        client.post(LOCK, &json!({ "scope": scope })).await.assert_code(503, "store_unavailable");
        for verb in [StoreVerb::Update, StoreVerb::List] {
            faults.heal(verb);
        }
        assert_eq!(ended(&client.vault().await), None);
    }
    assert!(world.audited("vault.locked").await.is_empty());
}
