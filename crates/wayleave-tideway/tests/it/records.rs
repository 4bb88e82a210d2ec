//! The suite for interfaces that know whole records alone, over memory and SQLite.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tideway::{SessionData, SessionStore};
use wayleave::kv::{self, InMemorySessionStore, RecordSessions, RecordSessionsOptions};
use wayleave::{SystemClock, SystemEntropy};
use wayleave_conformance::kv::{Failed, Whole, WholeRecord};
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_core::time::Timestamp;
use wayleave_sqlite::{Options, SqliteStore};
use wayleave_testkit::clock::FakeClock;
use wayleave_tideway::TidewayStore;

struct Tideway(TidewayStore);

fn theirs(whole: &Whole) -> SessionData {
    let mut data = SessionData::new(Duration::ZERO);
    data.data = whole.values.clone().into_iter().collect();
    data.expires_at = SystemTime::UNIX_EPOCH + whole.expires_at.since(Timestamp::MIN);
    data
}

#[async_trait]
impl WholeRecord for Tideway {
    async fn create(&self, id: &str, whole: &Whole) -> Result<String, Failed> {
        self.save(id, whole).await?;
        Ok(id.to_owned())
    }

    async fn save(&self, id: &str, whole: &Whole) -> Result<(), Failed> {
        Ok(self.0.save(id, theirs(whole)).await?)
    }

    async fn load(&self, id: &str) -> Result<Option<Whole>, Failed> {
        let Some(data) = self.0.load(id).await? else { return Ok(None) };
        let expires_at = Timestamp::MIN.plus(data.expires_at.duration_since(SystemTime::UNIX_EPOCH)?);
        Ok(Some(Whole { values: data.data.into_iter().collect(), expires_at }))
    }

    async fn delete(&self, id: &str) -> Result<(), Failed> {
        Ok(self.0.delete(id).await?)
    }
}

fn over(store: impl kv::SessionStore + 'static) -> Arc<dyn WholeRecord> {
    Arc::new(Tideway(TidewayStore::new(Arc::new(store))))
}

mod memory {
    use super::*;

    async fn fresh() -> Arc<dyn WholeRecord> {
        over(InMemorySessionStore::default())
    }

    wayleave_conformance::whole_record_suite!(fresh);
}

mod sqlite {
    use super::*;

    async fn fresh() -> (Arc<dyn WholeRecord>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::new(SealingKey::new(KeyId(1), [7; 32]), []).unwrap();
        let options = Options::new(Arc::new(ring), Arc::new(SystemEntropy), Arc::new(SystemClock));
        let records = Arc::new(SqliteStore::open(folder.path().join("sessions.db"), options).await.unwrap());
        let options = RecordSessionsOptions::default();
        (over(RecordSessions::new(records, Arc::new(SystemClock), RoutingKey::new([7; 16]), options)), folder)
    }

    wayleave_conformance::whole_record_suite!(fresh);
}

/// Tideway has no creation: parallel first saves all succeed, and one of them is left, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_first_saves_leave_one_whole() {
    for _ in 0..20 {
        let store = TidewayStore::new(Arc::new(InMemorySessionStore::default()));
        let saves = ["1", "2", "3", "4"].map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut data = SessionData::new(Duration::from_secs(60));
                data.set("a".into(), n.into());
                data.set(n.into(), String::new());
                store.save("one", data).await
            })
        });
        for save in saves {
            save.await.unwrap().unwrap();
        }
        let left = store.load("one").await.unwrap().unwrap();
        assert_eq!(left.data.len(), 2, "{left:?}");
        assert!(left.get(&left.data["a"]).is_some(), "{left:?}");
    }
}

/// What Tideway's own documentation shows, line by line.
#[tokio::test]
async fn the_documented_round_trip_works() {
    let store: Arc<dyn SessionStore> = Arc::new(TidewayStore::new(Arc::new(InMemorySessionStore::default())));
    let mut session = SessionData::new(Duration::from_secs(3600));
    session.set("user_id".to_string(), "123".to_string());
    session.set("role".to_string(), "admin".to_string());
    store.save("session-123", session.clone()).await.unwrap();
    let mut held = store.load("session-123").await.unwrap().unwrap();
    assert_eq!(held.data, session.data);
    held.remove("role");
    held.extend(Duration::from_secs(7200));
    store.save("session-123", held.clone()).await.unwrap();
    let again = store.load("session-123").await.unwrap().unwrap();
    assert_eq!(again.get("role"), None);
    let close = again.expires_at.duration_since(held.created_at).unwrap();
    assert!(close > Duration::from_secs(7199) && close < Duration::from_secs(7260), "{close:?}");
    store.delete("session-123").await.unwrap();
    assert!(store.load("session-123").await.unwrap().is_none());
    assert!(store.is_healthy() && store.supports_revocation());
}

fn at(now: Timestamp) -> (Arc<FakeClock>, TidewayStore) {
    let clock = Arc::new(FakeClock::new(now));
    let inner = InMemorySessionStore::with_clock(Duration::from_secs(60), clock.clone());
    (clock.clone(), TidewayStore::with_clock(Arc::new(inner), clock))
}

/// R013: the last instant of a session is the one before its end. In Tideway the end itself still counts.
#[tokio::test]
async fn the_end_itself_is_too_late() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (clock, store) = at(Timestamp::from_seconds(1_800_000_000));
    let data = SessionData { data: [].into(), created_at: now, expires_at: now + Duration::from_secs(1) };
    store.save("one", data).await.unwrap();
    clock.advance(Duration::from_millis(999));
    assert!(store.load("one").await.unwrap().is_some());
    clock.advance(Duration::from_millis(1));
    assert!(store.load("one").await.unwrap().is_none());
}

/// Cleaning up counts what it removed, a day after it ended, as late saves are remembered that long.
#[tokio::test]
async fn cleaning_up_counts() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (clock, store) = at(Timestamp::from_seconds(1_800_000_000));
    for (id, seconds) in [("one", 60), ("two", 60), ("three", 200_000)] {
        let expires_at = now + Duration::from_secs(seconds);
        store.save(id, SessionData { data: [].into(), created_at: now, expires_at }).await.unwrap();
    }
    clock.advance(Duration::from_secs(61));
    assert_eq!(store.cleanup_expired().await.unwrap(), 0);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(store.cleanup_expired().await.unwrap(), 2);
    assert!(store.load("three").await.unwrap().is_some());
}

/// A15: a creation is kept when it can be one, and is now when it cannot; no lifetime is without an end.
#[tokio::test]
async fn absurd_times_are_none() {
    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;
    let (_, store) = at(Timestamp::from_seconds(1_800_000_000));
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let table = [
        (NOW - DAY, NOW + DAY, NOW - DAY, NOW + DAY),
        (NOW - DAY, 1 << 60, NOW - DAY, NOW + 399 * DAY),
        (0, NOW + DAY, NOW, NOW + DAY),
        (NOW + DAY, NOW + 2 * DAY, NOW, NOW + 2 * DAY),
        (1 << 60, 1 << 60, NOW, NOW + 400 * DAY),
    ];
    for (index, (created_at, expires_at, made, ends)) in table.into_iter().enumerate() {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let data = SessionData { data: [].into(), created_at: time(created_at), expires_at: time(expires_at) };
        let id = index.to_string();
        store.save(&id, data).await.unwrap();
        let held = store.load(&id).await.unwrap().unwrap();
        assert_eq!((seconds(held.created_at), seconds(held.expires_at)), (made, ends), "{index}");
    }
}

/// A15: nor does it get one by being saved again and again: 400 days after its creation it is over.
#[tokio::test]
async fn no_save_moves_the_longest_life() {
    const DAY: Duration = Duration::from_secs(86_400);
    let (clock, store) = at(Timestamp::from_seconds(1_800_000_000));
    let first = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for days in [0, 300, 399] {
        let now = first + DAY * days;
        clock.set(Timestamp::from_seconds(1_800_000_000).plus(DAY * days));
        // As an application does that makes its data anew each time.
        store.save("one", SessionData { data: [].into(), created_at: now, expires_at: now + DAY * 399 }).await.unwrap();
        let held = store.load("one").await.unwrap().unwrap();
        assert_eq!(held.created_at, first, "{days}");
        assert_eq!(held.expires_at, first + DAY * if days == 0 { 399 } else { 400 }, "{days}");
    }
    clock.advance(DAY);
    assert!(store.load("one").await.unwrap().is_none());
}
