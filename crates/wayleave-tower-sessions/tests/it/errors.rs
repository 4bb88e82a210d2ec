//! What tower-sessions is told when our store fails: never "no session", and nothing of the inside.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;
use time::OffsetDateTime;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Error;
use tower_sessions::{ExpiredDeletion as _, SessionStore as _};
use wayleave::SystemClock;
use wayleave::kv::{InMemorySessionStore, RecordSessions, RecordSessionsOptions, SessionData, SessionStore as _};
use wayleave_core::memory::MemoryStore;
use wayleave_core::routing::RoutingKey;
use wayleave_testkit::failing_store::FailingStore;
use wayleave_tower_sessions::TowerSessionsStore;

fn record(data: HashMap<String, serde_json::Value>) -> Record {
    let expiry_date = OffsetDateTime::now_utc() + std::time::Duration::from_secs(60);
    Record { id: Id::default(), data, expiry_date }
}

#[tokio::test]
async fn a_store_that_is_down_is_no_missing_session() {
    let records = Arc::new(FailingStore::new(Arc::new(MemoryStore::default())));
    let options = RecordSessionsOptions::default();
    let sessions = RecordSessions::new(records.clone(), Arc::new(SystemClock), RoutingKey::new([7; 16]), options);
    let store = TowerSessionsStore::new(Arc::new(sessions));
    let mut first = record(HashMap::new());
    store.create(&mut first).await.unwrap();
    records.take_down();
    let errors = [
        store.create(&mut record(HashMap::new())).await.err(),
        store.load(&first.id).await.err(),
        store.save(&first).await.err(),
        store.delete(&first.id).await.err(),
        store.delete_expired().await.err(),
    ];
    for error in errors {
        let error = error.expect("a failing store");
        assert!(matches!(&error, Error::Backend(text) if text == "the store is unavailable"), "{error:?}");
    }
}

#[tokio::test]
async fn data_that_is_too_large_is_refused() {
    let store = TowerSessionsStore::new(Arc::new(InMemorySessionStore::default()));
    let many = (0..65).map(|n| (n.to_string(), json!(n))).collect();
    let long = [("k".repeat(65), json!(1))].into();
    let large = [("a".to_owned(), json!("v".repeat(16 * 1024)))].into();
    for (data, limit) in [(many, "64 keys"), (long, "1 to 64 bytes"), (large, "16 KiB")] {
        let error = store.create(&mut record(data)).await.unwrap_err();
        assert!(matches!(&error, Error::Encode(text) if text.contains(limit)), "{error:?}");
    }
}

/// A value that another program wrote is no session of theirs; its text is not repeated.
#[tokio::test]
async fn a_value_that_is_no_json_is_refused() {
    let inner = Arc::new(InMemorySessionStore::default());
    let mut data = SessionData::new(std::time::Duration::from_secs(60));
    data.set("name", "Ann Example");
    let id = Id(7);
    inner.save(&id.to_string(), data).await.unwrap();
    let error = TowerSessionsStore::new(inner).load(&id).await.unwrap_err();
    assert!(matches!(&error, Error::Decode(text) if text == "the session's \"name\" is no JSON"), "{error:?}");
}
