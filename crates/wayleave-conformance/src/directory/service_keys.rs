//! `ServiceKeys`.

use std::sync::Arc;

use wayleave_core::ports::{InsertServiceKey, ServiceKey, ServiceKeys};

use super::Directory;
use crate::bench::Bench;
use crate::fixtures::{TICK, at, bytes, permissions, service_key};
use crate::together::together;

async fn put(keys: &Arc<dyn ServiceKeys>, key: &ServiceKey) {
    assert_eq!(keys.insert(key).await.unwrap(), InsertServiceKey::Done);
}

async fn assert_kept(keys: &Arc<dyn ServiceKeys>, key: &ServiceKey) {
    assert_eq!(keys.by_key(key.key).await.unwrap().as_ref(), Some(key));
    assert_eq!(keys.by_name(&key.name).await.unwrap().as_ref(), Some(key));
}

/// Live or not.
pub(super) async fn are_found_by_secret_and_name(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let keys = &fresh.service_keys;
    let absent = service_key("absent");
    assert_eq!(keys.by_key(absent.key).await.unwrap(), None);
    let held = [
        service_key("shop"),
        ServiceKey { expires_at: at(-5), created_at: at(-10).plus(TICK), ..service_key("expired") },
        ServiceKey { revoked_at: Some(at(7).plus(TICK)), ..service_key("revoked") },
        ServiceKey { permissions: permissions(&[]), ..service_key("powerless") },
    ];
    for key in &held {
        put(keys, key).await;
    }
    for key in &held {
        assert_kept(keys, key).await;
    }
    assert_eq!(keys.by_key(absent.key).await.unwrap(), None);
    for name in ["absent", "Shop", "shop ", "", "sho"] {
        assert_eq!(keys.by_name(name).await.unwrap(), None, "{name:?}");
    }
}

/// R060: a name is unique for ever, so that no later key speaks for an earlier one's subjects.
pub(super) async fn never_share_a_name_or_secret(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let keys = &fresh.service_keys;
    let mut first = service_key("shop");
    put(keys, &first).await;
    for _ in 0..2 {
        let same_name = ServiceKey { key: bytes("another secret", 0), ..first.clone() };
        let same_secret = ServiceKey { key: first.key, ..service_key("other") };
        for second in [same_name, same_secret, first.clone()] {
            assert_eq!(keys.insert(&second).await.unwrap(), InsertServiceKey::Exists);
            assert_kept(keys, &first).await;
        }
        assert_eq!(keys.by_name("other").await.unwrap(), None);
        // Once more, after it was revoked.
        keys.revoke("shop", at(50)).await.unwrap();
        first.revoked_at = Some(at(50));
    }
}

pub(super) async fn are_listed_by_name(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let keys = &fresh.service_keys;
    assert_eq!(keys.list(10).await.unwrap(), []);
    for name in ["shop", "bot", "crm", "api-2", "api-1"] {
        put(keys, &service_key(name)).await;
    }
    keys.revoke("bot", at(50)).await.unwrap();
    let names = |listed: Vec<ServiceKey>| listed.into_iter().map(|key| key.name.into_string()).collect::<Vec<_>>();
    assert_eq!(names(keys.list(1000).await.unwrap()), ["api-1", "api-2", "bot", "crm", "shop"]);
    assert_eq!(names(keys.list(2).await.unwrap()), ["api-1", "api-2"]);
    assert!(keys.list(1000).await.unwrap().contains(&service_key("crm")));
}

pub(super) async fn are_revoked_once(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let keys = &fresh.service_keys;
    let (held, bystander) = (service_key("shop"), service_key("bot"));
    let expired = ServiceKey { expires_at: at(60), ..service_key("expired") };
    for key in [&held, &bystander, &expired] {
        put(keys, key).await;
    }
    assert!(!keys.revoke("absent", at(60)).await.unwrap());
    assert!(keys.revoke("shop", at(60).plus(TICK)).await.unwrap());
    let revoked = ServiceKey { revoked_at: Some(at(60).plus(TICK)), ..held };
    assert_kept(keys, &revoked).await;
    // The first time stands.
    assert!(!keys.revoke("shop", at(70)).await.unwrap());
    assert_kept(keys, &revoked).await;
    assert!(!keys.revoke("expired", at(60)).await.unwrap());
    assert_kept(keys, &bystander).await;
}

pub(super) async fn of_one_name_are_inserted_once(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let keys = &fresh.service_keys;
    for round in bench.rounds() {
        let name = format!("service-{round}");
        let contenders: Vec<_> =
            (0..20).map(|n| ServiceKey { key: bytes("contender", round * 1000 + n), ..service_key(&name) }).collect();
        let outcomes = together(contenders.iter().cloned().map(|key| {
            let keys = Arc::clone(keys);
            async move { keys.insert(&key).await.unwrap() }
        }))
        .await;
        let done: Vec<_> =
            contenders.iter().zip(outcomes).filter(|(_, outcome)| *outcome == InsertServiceKey::Done).collect();
        assert_eq!(done.len(), 1);
        assert_kept(keys, done[0].0).await;
    }
}

pub(super) async fn are_revoked_by_one_of_many(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let keys = &fresh.service_keys;
    for round in bench.rounds() {
        let key = service_key(&format!("service-{round}"));
        put(keys, &key).await;
        let outcomes = together((0..20).map(|_| {
            let (keys, name) = (Arc::clone(keys), key.name.clone());
            async move { keys.revoke(&name, at(60)).await.unwrap() }
        }))
        .await;
        assert_eq!(outcomes.into_iter().filter(|revoked| *revoked).count(), 1);
        assert_kept(keys, &ServiceKey { revoked_at: Some(at(60)), ..key }).await;
    }
}
