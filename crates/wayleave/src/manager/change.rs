//! Changing live sessions: extending, proving again, writing data.

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::authentication::Evidence;
use wayleave_core::decide;
use wayleave_core::entries::Entries;
use wayleave_core::policy::{FingerprintMode, TokenFormat};
use wayleave_core::ports::{Lookup, Replaces, StoreError, Update};
use wayleave_core::record::{Client, Record, Revision};

use super::grounds::Grounds;
use super::live::{Key, Session};
use super::open::{self, Draft, Place};
use super::state::{Found, Made, Notice, State};
use super::validate::later;
use super::{Open, OpenError, Opened, Origin, SessionManager, token_lifetime};
use crate::events::What;

/// How a re-authenticated session goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Whether the client holds a refresh token and gets a new one.
    pub refreshable: bool,
    /// The client that proved itself: from now on the session is bound to this one (R027).
    pub client: Client,
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

/// A session was changed by others whenever it was to be replaced.
#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("the session is changed by too many at once")]
struct Contended;

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
        let telling = Telling { what: What::Renewed, origin };
        let changed = self.change_and_tell(session.record(), Some(telling), |record| {
            let activity = later(session.live.activity(), self.state.pending.latest(record));
            if decide::passed(policy, rules.session_timeout, record, activity, now).is_some() {
                return Err(Over);
            }
            let idle = policy.idle(record.remembered, rules.session_timeout);
            let format = if record.refresh.is_some() { policy.token_format } else { TokenFormat::Opaque };
            let allowed = token_lifetime(policy, format, record.remembered);
            let lifetime = duration.map_or(allowed, |asked| asked.min(allowed));
            let end = now.plus(lifetime).min(record.absolute_expires_at);
            // Asking for less than there is takes nothing away.
            record.token_expires_at = record.token_expires_at.max(end);
            record.last_seen_at = now;
            record.idle_expires_at = idle.map(|limit| now.plus(limit));
            Ok(())
        });
        match changed.await {
            Ok(record) => Ok(record),
            Err(UpdateError::Store(error)) => Err(ExtendError::Store(error)),
            Err(UpdateError::Gone | UpdateError::Contended | UpdateError::Refused(Over)) => Err(ExtendError::Gone),
        }
    }

    /// Puts a freshly proved session in the place of `session`: a new id and new tokens, the same lineage, data and
    /// absolute limit (R011, R025), bound to the client that proved itself.
    ///
    /// It is made from the record as it is now, not as it was validated, and takes that record's place only while
    /// nobody changes it: a change that comes in between is kept, or the proof is tried on what it left.
    ///
    /// Methods, level and time are those of the new proof alone (RFC 8176, RFC 9470): together they say what happened
    /// at `auth_time`, and what was proved before that is in the audit log. A kind that requires a level requires it of
    /// every proof; two weaker ones at different times are not one that is stronger.
    ///
    /// # Errors
    /// [`OpenError::Refused`] when the evidence is about somebody else, or the session is gone, over, or of a client
    /// that its kind does not let change; and as [`SessionManager::open`].
    pub async fn reauthenticate(
        &self,
        session: &Session,
        evidence: Evidence,
        freshness: Freshness,
        origin: &Origin,
    ) -> Result<Opened, OpenError> {
        self.reauthenticate_to_open(session, evidence, freshness, &Entries::new(), origin).await
    }

    /// As [`Self::reauthenticate`], and the session holds open from now on what `opens` says: its entries are set in the
    /// context, over those of the same names.
    ///
    /// # Errors
    /// As there; [`StoreError::Full`] when the context would hold too much.
    pub async fn reauthenticate_to_open(
        &self,
        session: &Session,
        evidence: Evidence,
        freshness: Freshness,
        opens: &Entries,
        origin: &Origin,
    ) -> Result<Opened, OpenError> {
        if !self.authority.recognises(&evidence) {
            return Err(OpenError::ForeignEvidence);
        }
        let validated = session.record();
        if validated.subject.as_ref() != Some(evidence.subject()) {
            return Err(OpenError::Refused);
        }
        // First as it was validated: if it is so no more, the store says so and it is read.
        let mut as_validated = Some(Found::from(Arc::clone(&session.live.record)));
        for _ in 0..=ATTEMPTS {
            let epoch = self.epochs.of(validated.slot);
            let (found, is_read) = match as_validated.take() {
                Some(found) => (found, false),
                None => {
                    let found = self.state.find(validated.slot, Lookup::Id(validated.slot, validated.id)).await?;
                    (found.ok_or(OpenError::Refused)?, true)
                }
            };
            let record = &found.record;
            let rules = self.rules();
            let standing = self.subjects.standing(evidence.subject()).await?;
            let now = self.clock.now();
            let policy = rules.kinds.policy(&record.kind).ok_or(OpenError::UnknownKind)?;
            let activity = later(session.live.activity(), self.state.latest(&found));
            let shown = freshness.client.fingerprint;
            let changed = policy.fingerprint == FingerprintMode::Revoke
                && decide::drifted(policy.fingerprint, &record.client, shown);
            if changed || decide::passed(policy, rules.session_timeout, record, activity, now).is_some() {
                if is_read {
                    return Err(OpenError::Refused);
                }
                continue;
            }
            open::admit(policy, &standing, &evidence, now)?;
            let mut context = record.context.clone();
            for (name, value) in opens.iter() {
                context.set(name, value).map_err(|_| StoreError::Full)?;
            }
            let open = Open {
                kind: record.kind.clone(),
                permissions: None,
                duration: None,
                remember: record.remembered,
                refreshable: freshness.refreshable,
                client: freshness.client.clone(),
                replaces: None,
                data: record.data.clone(),
                context,
            };
            let permissions =
                record.permissions.under(&policy.ceiling).under(&standing.ceiling).under(evidence.ceiling());
            let draft = Draft {
                policy,
                grounds: &Grounds { epoch, standing, rules: Arc::clone(&rules) },
                now,
                slot: record.slot,
                subject: Some(evidence.subject().clone()),
                authentication: Some(evidence.authentication()),
                epoch: evidence.epoch(),
                permissions,
                lineage: Some(record),
                open: &open,
            };
            if let Some(opened) = self.insert(&draft, Place::Of(Replaces::exactly(record)), origin).await? {
                return Ok(opened);
            }
        }
        Err(StoreError::unavailable(Contended).into())
    }

    /// Changes a record by compare-and-set, trying again on the newest state when somebody else was first. `change`
    /// may run several times.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub async fn change<E>(
        &self,
        record: &Record,
        change: impl FnMut(&mut Record) -> Result<(), E> + Send,
    ) -> Result<Arc<Record>, UpdateError<E>> {
        self.change_and_tell(record, None, change).await
    }

    /// As [`Self::change`], and publishes what that was.
    pub(super) async fn change_and_tell<E>(
        &self,
        record: &Record,
        telling: Option<Telling<'_>>,
        mut change: impl FnMut(&mut Record) -> Result<(), E> + Send,
    ) -> Result<Arc<Record>, UpdateError<E>> {
        let mut current = Arc::new(record.clone());
        for _ in 0..ATTEMPTS {
            let mut changed = (*current).clone();
            change(&mut changed).map_err(UpdateError::Refused)?;
            match self.write(changed, current.revision, telling.clone()).await? {
                Update::Done(record) => return Ok(record),
                Update::Missing => return Err(UpdateError::Gone),
                Update::Conflict => {
                    let lookup = Lookup::Id(record.slot, record.id);
                    current = self.state.store.find(lookup).await?.ok_or(UpdateError::Gone)?;
                }
            }
        }
        Err(UpdateError::Contended)
    }

    async fn write(
        &self,
        changed: Record,
        expected: Revision,
        telling: Option<Telling<'_>>,
    ) -> Result<Update, StoreError> {
        let slot = changed.slot;
        let expires = telling.as_ref().is_some_and(|telling| matches!(telling.what, What::Expired(_)));
        let told = telling.map(|Telling { what, origin }| (what, origin.clone()));
        let change = |state: Arc<State>| async move {
            let update = state.store.update(&changed, expected).await?;
            let stale = if matches!(update, Update::Done(_)) { vec![slot] } else { Vec::new() };
            match &update {
                Update::Done(record) => {
                    state.drop_warm(record.slot, [Key::Token(record.token), Key::Id(record.id)]);
                    if let Some((what, origin)) = told {
                        state.publish(what, Some(record), &origin);
                    }
                }
                Update::Conflict | Update::Missing => {}
            }
            Ok(Made { outcome: update, stale })
        };
        // Whoever asks another node finds it past the same limit.
        let notice = if expires { Notice::Later } else { Notice::First };
        self.state.settle([slot; 2], notice, change).await
    }
}

/// What to publish when a change is made.
#[derive(Clone)]
pub(super) struct Telling<'a> {
    pub(super) what: What,
    pub(super) origin: &'a Origin,
}

/// The session passed a limit meanwhile.
struct Over;
