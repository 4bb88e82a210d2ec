//! What Tideway is told when our store fails: never "no session", and nothing of the inside.

use std::sync::Arc;
use std::time::Duration;

use tideway::{SessionData, SessionStore as _, TidewayError};
use wayleave::SystemClock;
use wayleave::kv::{OnUndecodable, RecordSessions, RecordSessionsOptions};
use wayleave_core::entries::Entries;
use wayleave_core::memory::MemoryStore;
use wayleave_core::ports::{Listing, SessionStore as _, Update};
use wayleave_core::record::Record;
use wayleave_core::routing::RoutingKey;
use wayleave_testkit::failing_store::FailingStore;
use wayleave_tideway::TidewayStore;

fn data() -> SessionData {
    SessionData::new(Duration::from_secs(60))
}

fn over(records: Arc<FailingStore>, on_undecodable: OnUndecodable) -> TidewayStore {
    let options = RecordSessionsOptions { on_undecodable, ..RecordSessionsOptions::default() };
    let sessions = RecordSessions::new(records, Arc::new(SystemClock), RoutingKey::new([7; 16]), options);
    TidewayStore::new(Arc::new(sessions))
}

/// A store that is down is 503, and the health check knows.
#[tokio::test]
async fn a_store_that_is_down_is_no_missing_session() {
    let records = Arc::new(FailingStore::new(Arc::new(MemoryStore::default())));
    let store = over(records.clone(), OnUndecodable::Drop);
    store.save("one", data()).await.unwrap();
    records.take_down();
    let errors = [
        store.load("one").await.err(),
        store.save("one", data()).await.err(),
        store.delete("one").await.err(),
        store.cleanup_expired().await.err(),
    ];
    for error in errors {
        let error = error.expect("a failing store");
        assert!(matches!(error, TidewayError::ServiceUnavailable(_)), "{error:?}");
        assert_eq!(error.to_string(), "Service unavailable: the store is unavailable");
    }
    assert!(!store.is_healthy());
}

/// Data beyond the limits is an error that names the limit, for the log: to clients it is an internal one.
#[tokio::test]
async fn data_that_is_too_large_is_refused() {
    let records = Arc::new(FailingStore::new(Arc::new(MemoryStore::default())));
    let store = over(records, OnUndecodable::Drop);
    let mut many = data();
    for n in 0..65 {
        many.set(n.to_string(), String::new());
    }
    let mut long = data();
    long.set("k".repeat(65), String::new());
    for (data, limit) in [(many, "64 keys"), (long, "1 to 64 bytes")] {
        let error = store.save("one", data).await.unwrap_err();
        assert!(matches!(&error, TidewayError::Internal(text) if text.contains(limit)), "{error:?}");
    }
    assert!(store.load("one").await.unwrap().is_none());
}

/// Data of another version is no session, so that a deployment locks nobody out; a store that was told to refuse it
/// does, with an internal error.
#[tokio::test]
async fn data_that_cannot_be_read_is_none() {
    for (policy, refused) in [(OnUndecodable::Drop, false), (OnUndecodable::Refuse, true)] {
        let records = Arc::new(FailingStore::new(Arc::new(MemoryStore::default())));
        let store = over(records.clone(), policy);
        store.save("one", data()).await.unwrap();
        let page = records.list(&Listing { subject: None, after: None, most: 10 }).await.unwrap();
        let record = &page.records[0];
        let mut context = Entries::new();
        context.set("kv", b"nothing of ours").unwrap();
        let damaged = Record { context, ..(**record).clone() };
        assert!(matches!(records.update(&damaged, record.revision).await.unwrap(), Update::Done(_)));
        match store.load("one").await {
            Ok(None) => assert!(!refused),
            Err(TidewayError::Internal(text)) => {
                assert!(refused);
                assert_eq!(text, "the store holds a value that cannot be read");
            }
            other => panic!("{other:?}"),
        }
    }
}
