//! Refreshing: one use per token, the identical answer for a client that lost it, the end for a family whose token
//! was stolen.

use std::sync::Arc;

use wayleave_core::decide::{self, Decision, Presented, Standing};
use wayleave_core::permission::Permissions;
use wayleave_core::policy::TokenFormat;
use wayleave_core::ports::{Lookup, NextPair, Rotate, Rotation, StoreError, Touch};
use wayleave_core::record::{Activity, Limit, Record};
use wayleave_core::refresh::{self, Pair};
use wayleave_core::token::{RefreshToken, SessionToken};

use super::grounds::Grounds;
use super::live::Key;
use super::open::Issued;
use super::state::{Made, Notice, State};
use super::validate::Passed;
use super::{OpenError, Origin, SessionManager, Shown, token_lifetime};
use crate::events::{Cause, What};

/// A session with a new pair.
pub struct Refreshed {
    /// The record as it is now.
    pub record: Arc<Record>,
    /// The pair.
    pub issued: Issued,
    /// Whether this is an answer that was given before.
    pub repeated: bool,
}

/// Why nothing was refreshed.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The session passed a limit (`session_expired`).
    #[error("the session expired")]
    Expired(Limit),
    /// The token was spent before; its family is gone. Outsiders see [`RefreshError::Invalid`]'s answer.
    #[error("the refresh token was used before")]
    Reused,
    /// Anything else (`refresh_failed`).
    #[error("the refresh token is not valid")]
    Invalid,
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pair cannot be made.
    #[error(transparent)]
    Issue(OpenError),
}

impl SessionManager {
    /// Exchanges a refresh token for a new pair.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn refresh(&self, token: &str, shown: &Shown) -> Result<Refreshed, RefreshError> {
        let presented = RefreshToken::parse(token).map_err(|_| RefreshError::Invalid)?;
        let key = presented.key(&self.routing);
        let Some(found) = self.state.find(key.slot, Lookup::Refresh(key)).await? else {
            self.state.publish(What::UnknownToken, None, &shown.origin);
            return Err(RefreshError::Invalid);
        };
        let record = &found.record;
        let (epoch, rules) = (self.epochs.of(record.slot), self.rules());
        // The account is asked again at every refresh, from the directory itself (R070).
        let standing = match &record.subject {
            Some(subject) => self.subjects.standing(subject).await?,
            None => Standing::UNRESTRICTED,
        };
        let policy = rules.kinds.policy(&record.kind).ok_or(RefreshError::Invalid)?;
        let now = self.clock.now();
        let idle = policy.idle(record.remembered, rules.session_timeout);
        let activity = self.state.latest(&found);
        // That the access token ended is what a refresh is for.
        let renewable = Record { token_expires_at: record.absolute_expires_at, ..(**record).clone() };
        let presented_by = Presented { fingerprint: shown.fingerprint, activity };
        let (permissions, over) =
            match decide::decide(policy, rules.session_timeout, &renewable, &standing, presented_by, now) {
                Decision::Valid { permissions, drifted } => {
                    if drifted {
                        self.state.publish_drift(What::FingerprintMismatch, record, shown);
                    }
                    (permissions, None)
                }
                Decision::Expired(limit) => (Permissions::none(), Some(limit)),
                Decision::Refused(refusal) => {
                    self.refuse(record, refusal, shown).await?;
                    return Err(RefreshError::Invalid);
                }
            };
        let current = record.refresh.as_ref().is_some_and(|side| side.current == key.hash);
        if let Some(limit) = over
            && current
        {
            self.mark_expired(record, Passed { limit, rules: &rules, activity, now }, shown).await?;
            return Err(RefreshError::Expired(limit));
        }
        if activity != record.activity() {
            // The store judges by what is written down.
            self.state.store.touch(&[Touch { id: record.id, slot: record.slot, activity }]).await?;
        }
        let lifetime = token_lifetime(policy, policy.token_format, record.remembered);
        let token_expires_at = now.plus(lifetime).min(record.absolute_expires_at);
        let next_token = SessionToken::new(self.random().map_err(entropy)?, record.slot, &self.routing);
        let next_refresh = RefreshToken::new(self.random().map_err(entropy)?, record.slot, &self.routing);
        let renewed = Record { token_expires_at, ..(**record).clone() };
        let access =
            self.access(&renewed, policy.token_format, &next_token, &permissions, now).map_err(RefreshError::Issue)?;
        let pair = Pair { access, refresh: next_refresh.reveal() };
        // Without a window nobody can ask for the pair again, so it is not kept at all.
        let sealed = if rules.window().is_zero() {
            Box::default()
        } else {
            refresh::seal_pair(&presented, &pair, self.random().map_err(entropy)?)
        };
        let rotation = Rotation {
            presented: key,
            next: NextPair { token: next_token.hash(), refresh: next_refresh.hash(), sealed },
            token_expires_at,
            activity: if shown.active {
                Activity { seen_at: now, idle_expires_at: idle.map(|limit| now.plus(limit)) }
            } else {
                activity
            },
            client: shown.fingerprint,
            window: rules.window(),
            now,
        };
        let exchange = Exchange {
            rotation,
            held: Arc::clone(record),
            format: policy.token_format,
            grounds: Grounds { epoch, standing, rules: Arc::clone(&rules) },
        };
        let origin = shown.origin.clone();
        let change = |state: Arc<State>| async move { rotate(&state, &exchange, &origin).await };
        match self.state.settle([record.slot; 2], Notice::First, change).await? {
            Rotate::Done { record, .. } => Ok(refreshed(record, pair, false)),
            Rotate::Repeat { record, sealed_pair } => match over {
                Some(limit) => {
                    self.mark_expired(&record, Passed { limit, rules: &rules, activity, now }, shown).await?;
                    Err(RefreshError::Expired(limit))
                }
                None => {
                    let pair = refresh::open_pair(&presented, &sealed_pair).map_err(|_| RefreshError::Invalid)?;
                    self.state.publish(What::RefreshRepeated, Some(&record), &shown.origin);
                    Ok(refreshed(record, pair, true))
                }
            },
            Rotate::Reuse(_) => Err(RefreshError::Reused),
            Rotate::Expired(record, limit) => {
                let activity = record.activity();
                self.mark_expired(&record, Passed { limit, rules: &rules, activity, now }, shown).await?;
                Err(RefreshError::Expired(limit))
            }
            Rotate::Unknown => Err(RefreshError::Invalid),
        }
    }
}

/// An exchange, and what the session that comes of it is judged by.
struct Exchange {
    rotation: Rotation,
    /// The record as it was found.
    held: Arc<Record>,
    format: TokenFormat,
    grounds: Grounds,
}

/// Exchanges the pair, drops from memory what that ended, and keeps what came of it.
async fn rotate(state: &State, exchange: &Exchange, origin: &Origin) -> Result<Made<Rotate>, StoreError> {
    let Exchange { rotation, held, format, grounds } = exchange;
    let mut before = state.warm.before(held.slot);
    let outcome = state.store.rotate(rotation).await?;
    match &outcome {
        Rotate::Done { record, previous } => {
            state.drop_warm_by(&mut before, record.slot, [Key::Token(*previous), Key::Id(record.id)]);
            state.pending.forget(record.slot, record.id);
            if let Some(live) = grounds.fresh(Arc::clone(record), rotation.client, rotation.now) {
                state.warm.fill(before, Key::of(record, *format).into(), live);
            }
            state.publish(What::Refreshed, Some(record), origin);
        }
        Rotate::Reuse(gone) => {
            state.publish(What::ReuseDetected, Some(held), origin);
            for gone in gone {
                state.forget(gone);
                state.publish_gone(What::Revoked(Cause::Reuse), gone, origin);
            }
        }
        // Whoever exchanged it may not have been heard yet, here or elsewhere.
        Rotate::Repeat { .. } => state.doubt([held.slot; 2]),
        Rotate::Expired(..) | Rotate::Unknown => return Ok(Made::quietly(outcome)),
    }
    Ok(Made { outcome, stale: vec![held.slot] })
}

fn refreshed(record: Arc<Record>, pair: Pair, repeated: bool) -> Refreshed {
    Refreshed { record, issued: Issued { access: pair.access, refresh: Some(pair.refresh) }, repeated }
}

fn entropy(failure: wayleave_core::ports::EntropyFailure) -> RefreshError {
    RefreshError::Issue(OpenError::Entropy(failure))
}
