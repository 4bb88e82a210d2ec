//! Remembers which sessions have ended, for those that their clients hold themselves.

use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use wayleave_core::ports::{Clock, StoreError};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use super::{Handle, RecordSessions, SaveError, SessionData, SessionStore as _, UpdateError, update};

/// Says which of the sessions that clients hold themselves are good no more: those that were ended one by one, and
/// those of a generation of their subject that was ended as a whole. Counters and names decide, never clocks (R043).
#[async_trait]
pub trait Revocations: Send + Sync {
    /// The generation in which `subject` signs in now; 0 for one who has never ended any.
    ///
    /// # Errors
    /// [`StoreError`] when nobody can say. Callers refuse the session then.
    async fn generation(&self, subject: &Subject) -> Result<u64, StoreError>;

    /// Ends every session of `subject`'s generations up to now, and says which generation comes next.
    ///
    /// # Errors
    /// [`StoreError`] when they may not have ended.
    async fn end_generation(&self, subject: &Subject) -> Result<u64, StoreError>;

    /// Whether this session was ended.
    ///
    /// # Errors
    /// As [`Self::generation`].
    async fn is_revoked(&self, session: Handle) -> Result<bool, StoreError>;

    /// Ends one session, and remembers it at least until `until`, when it ends by itself.
    ///
    /// # Errors
    /// As [`Self::end_generation`].
    async fn revoke(&self, session: Handle, until: Timestamp) -> Result<(), StoreError>;
}

/// Revocations as records of any session store.
pub struct RecordRevocations {
    records: RecordSessions,
    clock: Arc<dyn Clock>,
}

const GENERATION: &str = "generation";

impl RecordRevocations {
    /// Revocations among `records`. What cannot be read there is never taken for "not revoked", whatever the options of
    /// `records` say.
    #[must_use]
    pub fn new(records: RecordSessions, clock: Arc<dyn Clock>) -> Self {
        Self { records: records.refusing(), clock }
    }

    async fn held(&self, id: &str) -> Result<u64, StoreError> {
        let Some(held) = self.records.load(id).await? else { return Ok(0) };
        held.get_as(GENERATION).map_err(StoreError::corrupt)?.ok_or_else(|| StoreError::Corrupt(None))
    }
}

fn of_subject(subject: &Subject) -> String {
    format!("generation:{}", hex(&Sha256::digest(subject.as_str())))
}

fn of_session(session: Handle) -> String {
    format!("revoked:{}", hex(&session.0))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[async_trait]
impl Revocations for RecordRevocations {
    async fn generation(&self, subject: &Subject) -> Result<u64, StoreError> {
        self.held(&of_subject(subject)).await
    }

    async fn end_generation(&self, subject: &Subject) -> Result<u64, StoreError> {
        let id = of_subject(subject);
        let now = self.clock.now();
        for _ in 0..ATTEMPTS {
            let next = |data: &mut SessionData| {
                let held: u64 = data.get_as(GENERATION).map_err(StoreError::corrupt)?.unwrap_or_default();
                data.set(GENERATION, held.saturating_add(1).to_string());
                Ok(())
            };
            match update(&self.records, &id, next).await {
                Ok(Some(data)) => {
                    return data
                        .get_as(GENERATION)
                        .map_err(StoreError::corrupt)?
                        .ok_or_else(|| StoreError::Corrupt(None));
                }
                Ok(None) => {}
                Err(UpdateError::Refused(error)) => return Err(error),
                Err(UpdateError::Save(error)) => return Err(unsaved(error)),
            }
            let mut first = SessionData::new_at(SessionData::MAX_LIFETIME, now);
            // A counter that started over would bring sessions back.
            first.expires_at = Timestamp::MAX;
            first.set(GENERATION, "1");
            match self.records.save(&id, first).await {
                Ok(()) => return Ok(1),
                Err(SaveError::Conflict) => {}
                Err(error) => return Err(unsaved(error)),
            }
        }
        Err(StoreError::Unavailable(None))
    }

    async fn is_revoked(&self, session: Handle) -> Result<bool, StoreError> {
        Ok(self.records.load(&of_session(session)).await?.is_some())
    }

    async fn revoke(&self, session: Handle, until: Timestamp) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut entry = SessionData::new_at(until.since(now), now);
        // What two clocks may differ by, and a browser's request take.
        entry.extend_at(until.since(now).saturating_add(MARGIN), now);
        match self.records.save(&of_session(session), entry).await {
            // There already; or there until its time was over, and with it the session's.
            Ok(()) | Err(SaveError::Conflict | SaveError::Gone) => Ok(()),
            Err(error) => Err(unsaved(error)),
        }
    }
}

const ATTEMPTS: usize = 8;
const MARGIN: std::time::Duration = std::time::Duration::from_secs(300);

fn unsaved(error: SaveError) -> StoreError {
    match error {
        SaveError::Store(error) => error,
        SaveError::Conflict | SaveError::Gone => StoreError::Unavailable(None),
        SaveError::TooLarge(_) | SaveError::CookieTooLarge { .. } => StoreError::Full,
    }
}
