//! For applications on tower-sessions 0.15: every session store of Wayleave as one of tower-sessions'.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tower_sessions::{Expiry, SessionManagerLayer};
//! use wayleave::kv::InMemorySessionStore;
//! use wayleave_tower_sessions::TowerSessionsStore;
//!
//! let store = TowerSessionsStore::new(Arc::new(InMemorySessionStore::default()));
//! let layer = SessionManagerLayer::new(store).with_expiry(Expiry::OnInactivity(time::Duration::hours(1)));
//! # let _: SessionManagerLayer<TowerSessionsStore> = layer;
//! ```
//!
//! tower-sessions saves whole records and knows no revisions: the last save wins. What it cannot do here is bring a
//! session back: a save that comes after its deletion is dropped, and so is one of a session that was never created.
//! So the store is no cache for a `CachingSessionStore`, which fills its cache by saving; it needs none in front of it
//! either.
//!
//! A store that keeps nothing, as sealed cookies do, does not fit: tower-sessions' ids are too short for it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result};
use tower_sessions_core::{ExpiredDeletion, SessionStore};
use wayleave::SystemClock;
use wayleave::kv::{self, SaveError, overwrite};
use wayleave_core::ports::{Clock, StoreError};
use wayleave_core::time::Timestamp;

/// A store of ours behind tower-sessions' trait. Each value is kept as its JSON text.
///
/// Data has the limits of [`kv::SessionData::check`], and ends at most 400 days after its creation.
#[derive(Clone)]
pub struct TowerSessionsStore {
    store: Arc<dyn kv::SessionStore>,
    clock: Arc<dyn Clock>,
}

/// How many ids are drawn before the randomness must be broken.
const ATTEMPTS: usize = 8;

impl TowerSessionsStore {
    /// tower-sessions' view of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn kv::SessionStore>) -> Self {
        Self::with_clock(store, Arc::new(SystemClock))
    }

    /// The same by another clock, which ought to be the store's own.
    #[must_use]
    pub fn with_clock(store: Arc<dyn kv::SessionStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    fn ours(&self, record: &Record) -> Result<kv::SessionData> {
        let now = self.clock.now();
        let mut ours = kv::SessionData::new_at(timestamp(record.expiry_date).since(now), now);
        for (key, value) in &record.data {
            ours.set_as(key, value).map_err(|error| Error::Encode(error.to_string()))?;
        }
        Ok(ours)
    }
}

fn theirs(id: Id, data: &kv::SessionData) -> Result<Record> {
    let values = data.iter().map(|(key, text)| {
        let value = serde_json::from_str(text);
        let value = value.map_err(|_| Error::Decode(format!("the session's {key:?} is no JSON")))?;
        Ok((key.to_owned(), value))
    });
    Ok(Record { id, data: values.collect::<Result<_>>()?, expiry_date: date(data.expires_at()) })
}

fn timestamp(date: OffsetDateTime) -> Timestamp {
    let millis = date.unix_timestamp_nanos().div_euclid(1_000_000);
    // tower-sessions' years end at 9999 or, by a feature of `time`, at 999999: both fit.
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn date(time: Timestamp) -> OffsetDateTime {
    let nanos = i128::from(time.as_millis()).saturating_mul(1_000_000);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[async_trait]
impl SessionStore for TowerSessionsStore {
    /// Creates. An id that is or was another session's is exchanged for a new one.
    async fn create(&self, record: &mut Record) -> Result<()> {
        let data = self.ours(record)?;
        if data.is_expired_at(self.clock.now()) {
            // To save it would delete what the id happens to name.
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            match self.store.save(&record.id.to_string(), data.clone()).await {
                Ok(()) => return Ok(()),
                Err(SaveError::Conflict | SaveError::Gone) => record.id = Id::default(),
                Err(error @ (SaveError::TooLarge(_) | SaveError::CookieTooLarge { .. } | SaveError::Store(_))) => {
                    return Err(unsaved(error));
                }
            }
        }
        Err(unsaved(SaveError::Conflict))
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let data = self.ours(record)?;
        if !overwrite(&*self.store, &record.id.to_string(), &data).await.map_err(unsaved)? {
            tracing::debug!("a session was saved after it had ended; it stays ended");
        }
        Ok(())
    }

    async fn load(&self, session_id: &Id) -> Result<Option<Record>> {
        let held = self.store.load(&session_id.to_string()).await.map_err(unanswered)?;
        held.map(|held| theirs(*session_id, &held)).transpose()
    }

    async fn delete(&self, session_id: &Id) -> Result<()> {
        self.store.delete(&session_id.to_string()).await.map_err(unanswered)
    }
}

#[async_trait]
impl ExpiredDeletion for TowerSessionsStore {
    async fn delete_expired(&self) -> Result<()> {
        self.store.cleanup_expired().await.map(drop).map_err(unanswered)
    }
}

impl fmt::Debug for TowerSessionsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerSessionsStore").field("is_healthy", &self.store.is_healthy()).finish_non_exhaustive()
    }
}

/// What tower-sessions is told. The cause stays in the log: it may name hosts and files.
fn unanswered(error: StoreError) -> Error {
    tracing::error!(error = &error as &dyn std::error::Error, "the session store did not answer");
    match &error {
        StoreError::Unavailable(_) | StoreError::Full => Error::Backend(error.to_string()),
        StoreError::Corrupt(_) => Error::Decode(error.to_string()),
    }
}

fn unsaved(error: SaveError) -> Error {
    match error {
        SaveError::Store(error) => unanswered(error),
        SaveError::Conflict | SaveError::Gone => Error::Backend(error.to_string()),
        SaveError::TooLarge(_) | SaveError::CookieTooLarge { .. } => Error::Encode(error.to_string()),
    }
}
