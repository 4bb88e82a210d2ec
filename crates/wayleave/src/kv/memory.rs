//! Key-value sessions in process memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wayleave_core::memory::{MemoryOptions, MemoryStore};
use wayleave_core::ports::{Clock, Entropy as _, StoreError};
use wayleave_core::routing::RoutingKey;

use super::{RecordSessions, RecordSessionsOptions, SaveError, SessionData, SessionStore};
use crate::{SystemClock, SystemEntropy};

/// Sessions in process memory: at most [`MemoryOptions::default`]'s two million, gone with the process, unknown to
/// every other node. For development, tests and a single instance.
pub struct InMemorySessionStore {
    sessions: RecordSessions,
    default_ttl: Duration,
}

impl InMemorySessionStore {
    /// An empty store. [`Self::fresh`] makes data that lives for `default_ttl`.
    #[must_use]
    pub fn new(default_ttl: Duration) -> Self {
        Self::with_clock(default_ttl, Arc::new(SystemClock))
    }

    /// An empty store whose time is `clock`'s.
    #[must_use]
    pub fn with_clock(default_ttl: Duration, clock: Arc<dyn Clock>) -> Self {
        let mut key = [0; 16];
        // It spreads sessions over locks and nothing else, so a known key is no danger.
        let _ = SystemEntropy.fill(&mut key);
        let store = Arc::new(MemoryStore::new(MemoryOptions::default()));
        let options = RecordSessionsOptions::default();
        Self { sessions: RecordSessions::new(store, clock, RoutingKey::new(key), options), default_ttl }
    }

    /// Empty data that lives for the default time.
    #[must_use]
    pub fn fresh(&self) -> SessionData {
        SessionData::new(self.default_ttl)
    }
}

impl Default for InMemorySessionStore {
    /// Data lives for 24 hours.
    fn default() -> Self {
        Self::new(Duration::from_secs(86_400))
    }
}

#[async_trait]
impl SessionStore for InMemorySessionStore {
    async fn load(&self, session_id: &str) -> Result<Option<SessionData>, StoreError> {
        self.sessions.load(session_id).await
    }

    async fn save(&self, session_id: &str, data: SessionData) -> Result<(), SaveError> {
        self.sessions.save(session_id, data).await
    }

    async fn delete(&self, session_id: &str) -> Result<(), StoreError> {
        self.sessions.delete(session_id).await
    }

    async fn cleanup_expired(&self) -> Result<usize, StoreError> {
        self.sessions.cleanup_expired().await
    }

    fn is_healthy(&self) -> bool {
        self.sessions.is_healthy()
    }

    fn supports_revocation(&self) -> bool {
        self.sessions.supports_revocation()
    }
}
