//! For applications on Tideway 0.9: every session store of Wayleave as one of Tideway's.
//!
//! ```
//! use std::sync::Arc;
//!
//! use wayleave::kv::InMemorySessionStore;
//! use wayleave_tideway::TidewayStore;
//!
//! let store = TidewayStore::new(Arc::new(InMemorySessionStore::default()));
//! let context = tideway::AppContext::builder().with_sessions(Arc::new(store)).build();
//! assert!(context.sessions()?.is_healthy());
//! # Ok::<(), tideway::TidewayError>(())
//! ```
//!
//! Tideway saves whole records and knows no revisions: the last save wins. What it cannot do here is bring a session
//! back: a save that comes after its deletion is dropped.
//!
//! The application chooses the ids. They are secrets: draw 256 random bits for each, and a new one at every sign-in.

mod time;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tideway::TidewayError;
use wayleave::SystemClock;
use wayleave::kv::{self, SaveError, overwrite};
use wayleave_core::ports::{Clock, StoreError};

use crate::time::{system_time, timestamp};

/// The page's code is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migrating-to-embedded.md")]
struct Migrating;

/// A store of ours behind Tideway's trait.
///
/// Data has the limits of [`kv::SessionData::check`], and ends at most 400 days after its creation. A creation that
/// lies in the future, or further back than that, counts as now.
#[derive(Clone)]
pub struct TidewayStore {
    store: Arc<dyn kv::SessionStore>,
    clock: Arc<dyn Clock>,
}

/// How often a save starts over when others create or delete the session between its steps.
const ATTEMPTS: usize = 8;

impl TidewayStore {
    /// Tideway's view of `store`.
    #[must_use]
    pub fn new(store: Arc<dyn kv::SessionStore>) -> Self {
        Self::with_clock(store, Arc::new(SystemClock))
    }

    /// The same by another clock, which ought to be the store's own.
    #[must_use]
    pub fn with_clock(store: Arc<dyn kv::SessionStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    fn ours(&self, data: tideway::SessionData) -> kv::SessionData {
        let tideway::SessionData { data: values, created_at, expires_at } = data;
        let now = self.clock.now();
        let longest = kv::SessionData::MAX_LIFETIME;
        let made = Some(timestamp(created_at)).filter(|made| *made <= now && now.since(*made) < longest);
        let created_at = made.unwrap_or(now);
        let expires_at = timestamp(expires_at).min(created_at.plus(longest));
        let mut ours = kv::SessionData::restored(created_at, expires_at);
        for (key, value) in values {
            ours.set(key, value);
        }
        ours
    }
}

fn theirs(data: &kv::SessionData) -> tideway::SessionData {
    tideway::SessionData {
        data: data.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        created_at: system_time(data.created_at()),
        expires_at: system_time(data.expires_at()),
    }
}

#[async_trait]
impl tideway::SessionStore for TidewayStore {
    async fn load(&self, session_id: &str) -> tideway::Result<Option<tideway::SessionData>> {
        let held = self.store.load(session_id).await.map_err(unanswered)?;
        Ok(held.as_ref().map(theirs))
    }

    async fn save(&self, session_id: &str, data: tideway::SessionData) -> tideway::Result<()> {
        let data = self.ours(data);
        for _ in 0..ATTEMPTS {
            if overwrite(&*self.store, session_id, &data).await.map_err(unsaved)? {
                return Ok(());
            }
            match self.store.save(session_id, data.clone()).await {
                Ok(()) => return Ok(()),
                Err(SaveError::Gone) => {
                    tracing::debug!("a session was saved after it had ended; it stays ended");
                    return Ok(());
                }
                Err(SaveError::Conflict) => {}
                Err(error @ (SaveError::TooLarge(_) | SaveError::CookieTooLarge { .. } | SaveError::Store(_))) => {
                    return Err(unsaved(error));
                }
            }
        }
        Err(unsaved(SaveError::Conflict))
    }

    async fn delete(&self, session_id: &str) -> tideway::Result<()> {
        self.store.delete(session_id).await.map_err(unanswered)
    }

    async fn cleanup_expired(&self) -> tideway::Result<usize> {
        self.store.cleanup_expired().await.map_err(unanswered)
    }

    fn is_healthy(&self) -> bool {
        self.store.is_healthy()
    }

    fn supports_revocation(&self) -> bool {
        self.store.supports_revocation()
    }
}

impl fmt::Debug for TidewayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TidewayStore").field("is_healthy", &self.store.is_healthy()).finish_non_exhaustive()
    }
}

/// What Tideway is told. The cause stays in the log: it may name hosts and files.
fn unanswered(error: StoreError) -> TidewayError {
    tracing::error!(error = &error as &dyn std::error::Error, "the session store did not answer");
    match &error {
        StoreError::Unavailable(_) | StoreError::Full => TidewayError::service_unavailable(error.to_string()),
        StoreError::Corrupt(_) => TidewayError::internal(error.to_string()),
    }
}

fn unsaved(error: SaveError) -> TidewayError {
    match error {
        SaveError::Store(error) => unanswered(error),
        // So many writers at once is load, not an error of this request.
        SaveError::Conflict | SaveError::Gone => TidewayError::service_unavailable(error.to_string()),
        SaveError::TooLarge(_) | SaveError::CookieTooLarge { .. } => TidewayError::internal(error.to_string()),
    }
}
