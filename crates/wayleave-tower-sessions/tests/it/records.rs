//! The suites for interfaces that know whole records alone, over memory and SQLite.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tower_sessions::session::{Id, Record};
use tower_sessions::{ExpiredDeletion as _, SessionStore as _};
use wayleave::kv::{self, InMemorySessionStore, RecordSessions, RecordSessionsOptions, SessionStore as _};
use wayleave::{SystemClock, SystemEntropy};
use wayleave_conformance::kv::{Failed, Whole, WholeRecord};
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_core::time::Timestamp;
use wayleave_sqlite::{Options, SqliteStore};
use wayleave_testkit::clock::FakeClock;
use wayleave_tower_sessions::TowerSessionsStore;

struct Tower(TowerSessionsStore);

/// tower-sessions' own ids stay as they are; the suite's short ones become some.
fn id(text: &str) -> Id {
    text.parse().unwrap_or_else(|_| {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Id(hasher.finish().into())
    })
}

fn date(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.as_millis()) * 1_000_000).unwrap()
}

fn record(text: &str, whole: &Whole) -> Record {
    let data = whole.values.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    Record { id: id(text), data, expiry_date: date(whole.expires_at) }
}

#[async_trait]
impl WholeRecord for Tower {
    async fn create(&self, id: &str, whole: &Whole) -> Result<String, Failed> {
        let mut record = record(id, whole);
        self.0.create(&mut record).await?;
        Ok(record.id.to_string())
    }

    async fn save(&self, id: &str, whole: &Whole) -> Result<(), Failed> {
        Ok(self.0.save(&record(id, whole)).await?)
    }

    async fn load(&self, text: &str) -> Result<Option<Whole>, Failed> {
        let Some(record) = self.0.load(&id(text)).await? else { return Ok(None) };
        assert_eq!(record.id, id(text));
        let values = record.data.into_iter().map(|(key, value)| (key, value.as_str().unwrap().to_owned())).collect();
        let millis = record.expiry_date.unix_timestamp_nanos() / 1_000_000;
        Ok(Some(Whole { values, expires_at: Timestamp::from_millis(millis.try_into()?) }))
    }

    async fn delete(&self, text: &str) -> Result<(), Failed> {
        Ok(self.0.delete(&id(text)).await?)
    }
}

fn over(store: impl kv::SessionStore + 'static) -> Arc<dyn WholeRecord> {
    Arc::new(Tower(TowerSessionsStore::new(Arc::new(store))))
}

async fn in_memory() -> Arc<dyn WholeRecord> {
    over(InMemorySessionStore::default())
}

async fn in_sqlite() -> (Arc<dyn WholeRecord>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ring = KeyRing::new(SealingKey::new(KeyId(1), [7; 32]), []).unwrap();
    let options = Options::new(Arc::new(ring), Arc::new(SystemEntropy), Arc::new(SystemClock));
    let records = Arc::new(SqliteStore::open(folder.path().join("sessions.db"), options).await.unwrap());
    let options = RecordSessionsOptions::default();
    (over(RecordSessions::new(records, Arc::new(SystemClock), RoutingKey::new([7; 16]), options)), folder)
}

mod memory {
    use super::in_memory;

    wayleave_conformance::whole_record_suite!(in_memory);
    wayleave_conformance::creating_suite!(in_memory);
}

mod sqlite {
    use super::in_sqlite;

    wayleave_conformance::whole_record_suite!(in_sqlite);
    wayleave_conformance::creating_suite!(in_sqlite);
}

/// Whatever JSON has, and however odd the date.
#[tokio::test]
async fn values_of_every_kind_come_back() {
    let store = TowerSessionsStore::new(Arc::new(InMemorySessionStore::default()));
    let data: HashMap<_, _> = [
        ("null", Value::Null),
        ("number", json!(42)),
        ("fraction", json!(0.1)),
        ("text", json!("123")),
        ("object", json!({"b": [1, {"a": null}], "a": "\u{2603}"})),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let expiry_date = OffsetDateTime::now_utc().replace_nanosecond(123_456_789).unwrap() + Duration::from_secs(60);
    let mut record = Record { id: Id::default(), data, expiry_date };
    store.create(&mut record).await.unwrap();
    let held = store.load(&record.id).await.unwrap().unwrap();
    assert_eq!(held.data, record.data);
    assert_eq!(held.expiry_date, expiry_date.replace_nanosecond(123_000_000).unwrap());
}

/// A15: dates at either end of the calendar are saturated, and an id may be negative.
#[tokio::test]
async fn absurd_dates_saturate() {
    let store = TowerSessionsStore::new(Arc::new(InMemorySessionStore::default()));
    for (expiry_date, lives) in
        [(time::Date::MIN.midnight().assume_utc(), false), (time::Date::MAX.midnight().assume_utc(), true)]
    {
        let mut record = Record { id: Id(i128::MIN), data: HashMap::new(), expiry_date };
        store.create(&mut record).await.unwrap();
        assert_eq!(store.load(&record.id).await.unwrap().is_some(), lives, "{expiry_date}");
    }
}

/// R013: the last instant of a session is the one before its end; cleaning up removes it a day later.
#[tokio::test]
async fn the_end_itself_is_too_late() {
    let clock = Arc::new(FakeClock::new(Timestamp::from_seconds(1_800_000_000)));
    let inner = Arc::new(InMemorySessionStore::with_clock(Duration::from_secs(60), clock.clone()));
    let store = TowerSessionsStore::with_clock(inner.clone(), clock.clone());
    let expiry_date = OffsetDateTime::from_unix_timestamp(1_800_000_001).unwrap();
    let mut record = Record { id: Id::default(), data: HashMap::new(), expiry_date };
    store.create(&mut record).await.unwrap();
    clock.advance(Duration::from_millis(999));
    assert!(store.load(&record.id).await.unwrap().is_some());
    clock.advance(Duration::from_millis(1));
    assert!(store.load(&record.id).await.unwrap().is_none());
    clock.advance(Duration::from_secs(86_401));
    store.delete_expired().await.unwrap();
    assert_eq!(inner.cleanup_expired().await.unwrap(), 0, "nothing is left to remove");
}
