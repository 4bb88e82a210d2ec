//! Sealed cookies behind Tideway's trait: the sealed text stands for the id, as with Tideway's own.

use std::sync::Arc;
use std::time::Duration;

use tideway::{SessionStore as _, TidewayError};
use wayleave::SystemClock;
use wayleave::kv::{RecordRevocations, RecordSessions, RecordSessionsOptions, SessionData};
use wayleave_core::memory::MemoryStore;
use wayleave_core::routing::RoutingKey;
use wayleave_tideway::TidewayStore;
use wayleave_web::{CookieSessionStore, SessionConfig, SessionKeys};

pub(crate) const KEY: &str = "8f1d6c2b7a903e54c1f07d2e9b8a46350d7e1fa2b3c84596e07f1a2b3c4d5e6f\
                              f0e1d2c3b4a5968778695a4b3c2d1e0f1827364554637281900aabbccddeeff1";

fn cookies() -> CookieSessionStore {
    let config = SessionConfig { encryption_key: Some(KEY.into()), ..SessionConfig::default() };
    CookieSessionStore::new(&config).unwrap()
}

fn sealed(cookies: &CookieSessionStore) -> String {
    let mut data = SessionData::new(Duration::from_secs(60));
    data.set("user_id", "123");
    cookies.encrypt(&data).unwrap()
}

#[tokio::test]
async fn the_sealed_text_is_the_id() {
    let cookies = Arc::new(cookies());
    let store = TidewayStore::new(cookies.clone());
    let text = sealed(&cookies);
    let held = store.load(&text).await.unwrap().unwrap();
    assert_eq!(held.get("user_id").map(String::as_str), Some("123"));
    assert!(store.load(&text[1..]).await.unwrap().is_none());
    assert!(store.load("").await.unwrap().is_none());
    assert_eq!(store.cleanup_expired().await.unwrap(), 0);
    assert!(store.is_healthy());
}

/// There is nothing to save: it only says whether the data fits a cookie, whatever the id.
#[tokio::test]
async fn saving_checks_that_it_fits() {
    let cookies = Arc::new(cookies());
    let store = TidewayStore::new(cookies.clone());
    let text = sealed(&cookies);
    let mut data = store.load(&text).await.unwrap().unwrap();
    for id in [text.as_str(), "anything"] {
        store.save(id, data.clone()).await.unwrap();
    }
    data.set("large".into(), "v".repeat(4096));
    for id in [text.as_str(), "anything"] {
        let error = store.save(id, data.clone()).await.unwrap_err();
        assert!(matches!(&error, TidewayError::Internal(text) if text.contains("too long for a cookie")), "{error:?}");
    }
}

/// R043: without somebody who remembers, a copy of a deleted cookie opens until its end, and the store says so.
#[tokio::test]
async fn deleting_revokes_if_somebody_remembers() {
    let cookies_alone = Arc::new(cookies());
    let store = TidewayStore::new(cookies_alone.clone());
    let text = sealed(&cookies_alone);
    store.delete(&text).await.unwrap();
    assert!(!store.supports_revocation());
    assert!(store.load(&text).await.unwrap().is_some());

    let clock = Arc::new(SystemClock);
    let records = Arc::new(MemoryStore::default());
    let sessions =
        RecordSessions::new(records, clock.clone(), RoutingKey::new([7; 16]), RecordSessionsOptions::default());
    let remembered = Arc::new(cookies().with_revocations(Arc::new(RecordRevocations::new(sessions, clock))));
    let store = TidewayStore::new(remembered.clone());
    let text = sealed(&remembered);
    assert!(store.load(&text).await.unwrap().is_some());
    store.delete(&text).await.unwrap();
    assert!(store.supports_revocation());
    assert!(store.load(&text).await.unwrap().is_none());
}

/// A deployment that moves from Tideway's cookies to ours signs nobody out: what the real Tideway sealed opens, under
/// the same key and name, behind the switch.
#[tokio::test]
async fn what_tideway_sealed_opens_behind_the_switch() {
    let theirs = tideway::session::CookieSessionStore::new(&tideway::session::SessionConfig {
        encryption_key: Some(KEY.into()),
        ..tideway::session::SessionConfig::default()
    })
    .unwrap();
    let mut data = tideway::SessionData::new(Duration::from_secs(60));
    data.set("user_id".into(), "123".into());
    let text = theirs.encrypt(&data).unwrap();
    assert!(TidewayStore::new(Arc::new(cookies())).load(&text).await.unwrap().is_none());
    let ours = cookies().also_opening_tideway(&SessionKeys::from_hex(KEY).unwrap());
    let held = TidewayStore::new(Arc::new(ours)).load(&text).await.unwrap().unwrap();
    assert_eq!(held.data, data.data);
    assert_eq!(theirs.decrypt(&sealed(&cookies())).unwrap().map(|data| data.data), None, "ours is not theirs");
}
