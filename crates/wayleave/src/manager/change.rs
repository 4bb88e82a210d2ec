//! Changing live sessions: extending, proving again, writing data.

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::authentication::{Authentication, Evidence};
use wayleave_core::ports::{Lookup, StoreError, Update};
use wayleave_core::record::Record;

use super::live::{Key, Session};
use super::open::{self, Draft};
use super::{Open, OpenError, Opened, Origin, SessionManager, token_lifetime};
use crate::events::What;

/// How a re-authenticated session goes on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Whether the client holds a refresh token and gets a new one.
    pub refreshable: bool,
}

/// Why a session was not extended.
#[derive(Debug, thiserror::Error)]
pub enum ExtendError {
    /// It is gone.
    #[error("the session is gone")]
    Gone,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a session was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// It is gone.
    #[error("the session is gone")]
    Gone,
    /// Too many others changed it at the same time.
    #[error("the session is changed by too many at once")]
    Contended,
    /// The change itself said no.
    #[error("the change was refused")]
    Refused(E),
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a change is tried again when somebody else was first.
const ATTEMPTS: usize = 16;

impl SessionManager {
    /// Gives the session's token its full lifetime again, at most up to the absolute limit, which stays (R014).
    ///
    /// # Errors
    /// See [`ExtendError`].
    pub async fn extend(
        &self,
        session: &Session,
        duration: Option<Duration>,
        origin: &Origin,
    ) -> Result<Arc<Record>, ExtendError> {
        let now = self.clock.now();
        let rules = self.rules();
        let policy = rules.kinds.policy(session.kind()).ok_or(ExtendError::Gone)?;
        let changed = self
            .change(session.record(), |record| {
                let allowed = token_lifetime(policy, policy.token_format, record.remembered);
                let lifetime = duration.map_or(allowed, |asked| asked.min(allowed));
                let end = now.plus(lifetime).min(record.absolute_expires_at);
                // Asking for less than there is takes nothing away.
                record.token_expires_at = record.token_expires_at.max(end);
                record.last_seen_at = now;
                record.idle_expires_at =
                    policy.idle(record.remembered, rules.session_timeout).map(|limit| now.plus(limit));
                Ok::<(), std::convert::Infallible>(())
            })
            .await;
        match changed {
            Ok(record) => {
                self.publish(What::Renewed, Some(&record), origin);
                Ok(record)
            }
            Err(UpdateError::Store(error)) => Err(ExtendError::Store(error)),
            Err(UpdateError::Gone | UpdateError::Contended | UpdateError::Refused(_)) => Err(ExtendError::Gone),
        }
    }

    /// Puts a freshly proved session in the place of `session`: a new id and new tokens, the same lineage, data and
    /// absolute limit (R011, R025).
    ///
    /// # Errors
    /// [`OpenError::Refused`] when the evidence is about somebody else, and as [`SessionManager::open`].
    pub async fn reauthenticate(
        &self,
        session: &Session,
        evidence: Evidence,
        freshness: Freshness,
        origin: &Origin,
    ) -> Result<Opened, OpenError> {
        if !self.authority.recognises(&evidence) {
            return Err(OpenError::ForeignEvidence);
        }
        let record = session.record();
        if record.subject.as_ref() != Some(evidence.subject()) {
            return Err(OpenError::Refused);
        }
        let rules = self.rules();
        let policy = rules.kinds.policy(&record.kind).ok_or(OpenError::UnknownKind)?;
        let standing = self.subjects.standing(evidence.subject()).await?;
        open::admit(policy, &standing, &evidence)?;
        let fresh = evidence.authentication();
        let methods = record.authentication.map_or(fresh.methods, |known| {
            fresh.methods.iter().fold(known.methods, wayleave_core::authentication::Methods::with)
        });
        let open = Open {
            kind: record.kind.clone(),
            permissions: None,
            duration: None,
            remember: record.remembered,
            refreshable: freshness.refreshable,
            client: record.client.clone(),
            replaces: Some(record.id),
            data: record.data.clone(),
            context: record.context.clone(),
        };
        let draft = Draft {
            policy,
            idle: policy.idle(record.remembered, rules.session_timeout),
            now: self.clock.now(),
            slot: record.slot,
            subject: evidence.subject().clone(),
            authentication: Authentication { methods, ..fresh },
            epoch: evidence.epoch(),
            permissions: record.permissions.clone(),
            lineage: Some(record),
            open: &open,
        };
        self.insert(&draft, None, open.replaces, origin).await
    }

    /// Changes a record by compare-and-set, trying again on the newest state when somebody else was first. `change`
    /// may run several times.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub async fn change<E>(
        &self,
        record: &Record,
        mut change: impl FnMut(&mut Record) -> Result<(), E> + Send,
    ) -> Result<Arc<Record>, UpdateError<E>> {
        let mut current = Arc::new(record.clone());
        for _ in 0..ATTEMPTS {
            let mut changed = (*current).clone();
            change(&mut changed).map_err(UpdateError::Refused)?;
            match self.store.update(&changed, current.revision).await? {
                Update::Done(record) => {
                    self.warm.forget(record.slot, [Key::Token(record.token), Key::Id(record.id)]);
                    return Ok(record);
                }
                Update::Missing => return Err(UpdateError::Gone),
                Update::Conflict => {
                    current = self.store.find(Lookup::Id(record.slot, record.id)).await?.ok_or(UpdateError::Gone)?;
                }
            }
        }
        Err(UpdateError::Contended)
    }
}
