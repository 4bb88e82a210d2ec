//! Key-value sessions as records of any session store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use wayleave_core::entries::Entries;
use wayleave_core::id::{FamilyId, IdPrefix, SessionId, Slot};
use wayleave_core::permission::Permissions;
use wayleave_core::policy::KindName;
use wayleave_core::ports::{self, Clock, Insert, Lookup, Scope, StoreError, Update};
use wayleave_core::record::{Client, Record, Revision};
use wayleave_core::routing::RoutingKey;
use wayleave_core::time::Timestamp;
use wayleave_core::token::{TokenHash, TokenKey};

use super::{Principal, SaveError, SessionData, SessionStore};

/// What becomes of data that cannot be read: of another version, or damaged.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum OnUndecodable {
    /// The store says that it cannot answer.
    Refuse,
    /// It counts as absent and is deleted.
    Drop,
    /// It counts as absent and stays where it is, for whoever wants to look at it, until it expires.
    KeepAside,
}

/// How [`RecordSessions`] keeps sessions.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RecordSessionsOptions {
    /// What becomes of data that cannot be read.
    pub on_undecodable: OnUndecodable,
    /// For how long a deleted session is remembered, so that a request that was under way when it was deleted cannot
    /// save it again as a new one.
    pub remember_deleted: Duration,
}

impl Default for RecordSessionsOptions {
    /// Data that cannot be read is dropped: a deployment of a new version locks nobody out. What is deleted is
    /// remembered for a day.
    fn default() -> Self {
        Self { on_undecodable: OnUndecodable::Drop, remember_deleted: Duration::from_secs(86_400) }
    }
}

/// Key-value sessions in a [`ports::SessionStore`]: memory, SQLite or any other.
///
/// Ids are kept as hashes only. A deleted session leaves an empty record behind that says so, which is swept like
/// every ended one.
pub struct RecordSessions {
    store: Arc<dyn ports::SessionStore>,
    clock: Arc<dyn Clock>,
    routing: RoutingKey,
    options: RecordSessionsOptions,
    prefix: IdPrefix,
    kind: KindName,
    healthy: AtomicBool,
}

/// How often a deletion is tried when others keep writing.
const ATTEMPTS: usize = 64;
/// Records in one step of a clean-up.
const BATCH: u32 = 1000;
/// The entry of a record's context that holds what is not a value.
const HEAD: &str = "kv";

impl RecordSessions {
    /// Sessions in `store`. `routing` is the deployment's key, the same on every node.
    #[must_use]
    pub fn new(
        store: Arc<dyn ports::SessionStore>,
        clock: Arc<dyn Clock>,
        routing: RoutingKey,
        options: RecordSessionsOptions,
    ) -> Self {
        Self {
            store,
            clock,
            routing,
            options,
            prefix: IdPrefix::new("kv").unwrap_or(IdPrefix::FALLBACK),
            kind: KindName::key_value(),
            healthy: AtomicBool::new(true),
        }
    }

    /// The same, where nothing that cannot be read may count as absent.
    #[must_use]
    pub(super) fn refusing(self) -> Self {
        Self { options: RecordSessionsOptions { on_undecodable: OnUndecodable::Refuse, ..self.options }, ..self }
    }

    fn place(&self, session_id: &str) -> Place {
        let hash = |label: &[u8]| Sha256::new().chain_update(label).chain_update(session_id).finalize();
        let [high, low, random @ ..] = <[u8; 32]>::from(hash(b"wayleave kv place\0"));
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(random) {
            *to = from;
        }
        let slot = Slot(u16::from_be_bytes([high, low]));
        let token = TokenHash(hash(b"wayleave kv id\0").into());
        Place { id: SessionId::new(self.prefix, id, slot, &self.routing), slot, token }
    }

    /// Notes whether the store answered.
    fn answered<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.healthy.store(!matches!(result, Err(StoreError::Unavailable(_))), Ordering::Relaxed);
        result
    }

    /// The record of a place, whatever state it is in.
    async fn find(&self, place: &Place) -> Result<Option<Arc<Record>>, StoreError> {
        let lookup = Lookup::Token(TokenKey { hash: place.token, slot: place.slot });
        self.answered(self.store.find(lookup).await)
    }

    async fn put_aside(&self, place: &Place, error: StoreError) -> Result<Option<SessionData>, StoreError> {
        match self.options.on_undecodable {
            OnUndecodable::Refuse => Err(error),
            OnUndecodable::Drop => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a session could not be read and is dropped");
                self.answered(self.store.revoke(&Scope::One(place.slot, place.id)).await)?;
                Ok(None)
            }
            OnUndecodable::KeepAside => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a session could not be read and is ignored");
                Ok(None)
            }
        }
    }

    fn record(&self, place: &Place, data: &SessionData) -> Result<Record, StoreError> {
        let mut values = Entries::new();
        for (key, value) in data.iter() {
            values.set(key, value.as_bytes()).map_err(|_| StoreError::Full)?;
        }
        let head = SessionData { values: std::collections::BTreeMap::new(), revision: None, ..data.clone() };
        let mut context = Entries::new();
        context.set(HEAD, &head.to_bytes()).map_err(|_| StoreError::Full)?;
        let created_at = data.created_at();
        Ok(Record {
            id: place.id,
            slot: place.slot,
            family: FamilyId(place.token.0.first_chunk().copied().unwrap_or_default()),
            token: place.token,
            kind: self.kind.clone(),
            subject: None,
            actor: None,
            permissions: Permissions::none(),
            authentication: None,
            epoch: 0,
            remembered: data.principal().is_some_and(|Principal { remembered, .. }| *remembered),
            licence: None,
            created_at,
            last_seen_at: created_at,
            idle_expires_at: None,
            token_expires_at: data.expires_at(),
            absolute_expires_at: created_at.plus(SessionData::MAX_LIFETIME).max(data.expires_at()),
            expired_at: None,
            client: Client::default(),
            context,
            data: values,
            refresh: None,
            confirmation: None,
            revision: Revision(data.revision().unwrap_or(0)),
        })
    }
}

struct Place {
    id: SessionId,
    slot: Slot,
    token: TokenHash,
}

/// The data of a live record.
fn read(record: &Record) -> Result<SessionData, StoreError> {
    let head = record.context.get(HEAD).ok_or_else(|| StoreError::Corrupt(None))?;
    let mut data = SessionData::from_bytes(head).map_err(StoreError::corrupt)?;
    data.created_at = record.created_at;
    for (key, value) in record.data.iter() {
        data.set(key, std::str::from_utf8(value).map_err(StoreError::corrupt)?);
    }
    // Zero stands for data that is in no store.
    Ok(data.at_revision(Some(record.revision.0.saturating_add(1))))
}

fn is_over(record: &Record, now: Timestamp) -> bool {
    record.has_ended(now) || record.was_opened_ahead(now)
}

#[async_trait]
impl SessionStore for RecordSessions {
    async fn load(&self, session_id: &str) -> Result<Option<SessionData>, StoreError> {
        let place = self.place(session_id);
        let now = self.clock.now();
        let data = match self.find(&place).await {
            Ok(None) => return Ok(None),
            Ok(Some(record)) if is_over(&record, now) => {
                // Noted, so that no clock that is set back brings it to life (R017).
                if record.expired_at.is_none() && record.has_ended(now) {
                    self.delete(session_id).await?;
                }
                return Ok(None);
            }
            Ok(Some(record)) => read(&record),
            Err(error) => Err(error),
        };
        match data {
            Ok(data) => Ok(Some(data)),
            Err(error @ StoreError::Corrupt(_)) => self.put_aside(&place, error).await,
            Err(error) => Err(error),
        }
    }

    async fn save(&self, session_id: &str, data: SessionData) -> Result<(), SaveError> {
        data.check()?;
        let now = self.clock.now();
        if data.is_expired_at(now) {
            return Ok(self.delete(session_id).await?);
        }
        let place = self.place(session_id);
        let record = self.record(&place, &data)?;
        match data.revision() {
            None => match self.answered(self.store.insert(&record, None, None, now).await)? {
                Insert::Done { .. } => Ok(()),
                Insert::Refused => Err(StoreError::Full.into()),
                // Nothing was to be replaced.
                Insert::Conflict => Err(SaveError::Conflict),
                Insert::Exists => match self.find(&place).await? {
                    Some(held) if !is_over(&held, now) => Err(SaveError::Conflict),
                    Some(_) | None => Err(SaveError::Gone),
                },
            },
            Some(read) => {
                let expected = Revision(read.saturating_sub(1));
                match self.answered(self.store.update(&record, expected).await)? {
                    Update::Done(saved) if is_over(&saved, now) => Err(SaveError::Gone),
                    Update::Done(_) => Ok(()),
                    Update::Missing => Err(SaveError::Gone),
                    Update::Conflict => match self.find(&place).await? {
                        Some(held) if !is_over(&held, now) => Err(SaveError::Conflict),
                        Some(_) | None => Err(SaveError::Gone),
                    },
                }
            }
        }
    }

    async fn delete(&self, session_id: &str) -> Result<(), StoreError> {
        let place = self.place(session_id);
        let now = self.clock.now();
        for _ in 0..ATTEMPTS {
            let held = match self.find(&place).await {
                Ok(Some(held)) => held,
                Ok(None) => return Ok(()),
                Err(StoreError::Corrupt(_)) => {
                    return self.answered(self.store.revoke(&Scope::One(place.slot, place.id)).await).map(drop);
                }
                Err(error) => return Err(error),
            };
            if held.expired_at.is_some() {
                return Ok(());
            }
            let empty =
                Record { expired_at: Some(now), data: Entries::new(), context: Entries::new(), ..(*held).clone() };
            match self.answered(self.store.update(&empty, held.revision).await)? {
                Update::Done(_) | Update::Missing => return Ok(()),
                Update::Conflict => {}
            }
        }
        // Whoever keeps writing must not keep it alive.
        self.answered(self.store.revoke(&Scope::One(place.slot, place.id)).await).map(drop)
    }

    async fn cleanup_expired(&self) -> Result<usize, StoreError> {
        let before = self.clock.now().minus(self.options.remember_deleted);
        let mut removed = 0_usize;
        loop {
            let swept = self.answered(self.store.sweep(before, BATCH).await)?;
            removed = removed.saturating_add(usize::try_from(swept.records).unwrap_or(usize::MAX));
            if !swept.more {
                return Ok(removed);
            }
            tokio::task::yield_now().await;
        }
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    fn supports_revocation(&self) -> bool {
        true
    }
}
