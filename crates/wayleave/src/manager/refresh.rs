//! Refreshing: one use per token, the identical answer for a client that lost it, the end for a family whose token
//! was stolen.

use std::sync::Arc;

use wayleave_core::decide::Standing;
use wayleave_core::policy::FingerprintMode;
use wayleave_core::ports::{Lookup, NextPair, Rotate, Rotation, Scope, StoreError, Touch};
use wayleave_core::record::{Activity, Limit, Record};
use wayleave_core::refresh::{self, Pair};
use wayleave_core::token::{RefreshToken, SessionToken};

use super::open::Issued;
use super::{OpenError, SessionManager, Shown, token_lifetime};
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
        let Some(record) = self.store.find(Lookup::Refresh(key)).await? else {
            self.publish(What::UnknownToken, None, &shown.origin);
            return Err(RefreshError::Invalid);
        };
        // The account is asked again at every refresh, from the directory itself (R070).
        let standing = match &record.subject {
            Some(subject) => self.subjects.standing(subject).await?,
            None => Standing::UNRESTRICTED,
        };
        let rules = self.rules();
        let policy = rules.kinds.policy(&record.kind).ok_or(RefreshError::Invalid)?;
        let level = record.authentication.map(|authentication| authentication.level);
        if !standing.active
            || record.epoch < standing.epoch
            || (policy.requires_licence && !standing.licensed)
            || (record.subject.is_some() && level.is_none_or(|level| level < policy.level))
        {
            return Err(RefreshError::Invalid);
        }
        if policy.fingerprint == FingerprintMode::Revoke
            && record.client.fingerprint.is_some()
            && record.client.fingerprint != shown.fingerprint
        {
            self.publish(What::FingerprintMismatch, Some(&record), &shown.origin);
            let family = Scope::Family(record.slot, record.family);
            self.end(&family, Cause::Fingerprint, &shown.origin).await?;
            return Err(RefreshError::Invalid);
        }
        let now = self.clock.now();
        let idle = policy.idle(record.remembered, rules.session_timeout);
        let activity = self.pending.latest(&record.id, record.activity());
        if activity != record.activity() {
            // The store judges by what is written down.
            self.store.touch(&[Touch { id: record.id, slot: record.slot, activity }]).await?;
        }
        if let Some(limit @ (Limit::Idle | Limit::Absolute)) = record.passed(now, idle, activity)
            && record.refresh.as_ref().is_some_and(|side| side.current == key.hash)
        {
            return Err(RefreshError::Expired(limit));
        }
        let lifetime = token_lifetime(policy, policy.token_format, record.remembered);
        let token_expires_at = now.plus(lifetime).min(record.absolute_expires_at);
        let next_token = SessionToken::new(self.random().map_err(entropy)?, record.slot, &self.routing);
        let next_refresh = RefreshToken::new(self.random().map_err(entropy)?, record.slot, &self.routing);
        let permissions = record.permissions.under(&policy.ceiling).under(&standing.ceiling);
        let renewed = Record { token_expires_at, ..(*record).clone() };
        let access =
            self.access(&renewed, policy.token_format, &next_token, &permissions, now).map_err(RefreshError::Issue)?;
        let pair = Pair { access, refresh: next_refresh.reveal() };
        let sealed = refresh::seal_pair(&presented, &pair, self.random().map_err(entropy)?);
        let rotation = Rotation {
            presented: key,
            next: NextPair { token: next_token.hash(), refresh: next_refresh.hash(), sealed },
            token_expires_at,
            activity: Activity { seen_at: now, idle_expires_at: idle.map(|limit| now.plus(limit)) },
            client: shown.fingerprint,
            window: rules.refresh_window,
            now,
        };
        match self.store.rotate(&rotation).await? {
            Rotate::Done { record, previous } => {
                use super::live::Key;
                self.warm.forget(record.slot, [Key::Token(previous), Key::Id(record.id)]);
                self.pending.forget(&record.id);
                self.publish(What::Refreshed, Some(&record), &shown.origin);
                Ok(refreshed(record, pair, false))
            }
            Rotate::Repeat { record, sealed_pair } => {
                let pair = refresh::open_pair(&presented, &sealed_pair).map_err(|_| RefreshError::Invalid)?;
                self.publish(What::RefreshRepeated, Some(&record), &shown.origin);
                Ok(refreshed(record, pair, true))
            }
            Rotate::Reuse(gone) => {
                self.publish(What::ReuseDetected, Some(&record), &shown.origin);
                for gone in &gone {
                    self.forget(gone);
                    self.publish_gone(What::Revoked(Cause::Reuse), gone, &shown.origin);
                }
                Err(RefreshError::Reused)
            }
            Rotate::Expired(_, limit) => Err(RefreshError::Expired(limit)),
            Rotate::Unknown => Err(RefreshError::Invalid),
        }
    }
}

fn refreshed(record: Arc<Record>, pair: Pair, repeated: bool) -> Refreshed {
    Refreshed { record, issued: Issued { access: pair.access, refresh: Some(pair.refresh) }, repeated }
}

fn entropy(failure: wayleave_core::ports::EntropyFailure) -> RefreshError {
    RefreshError::Issue(OpenError::Entropy(failure))
}
