//! Validation: a hash, a lookup in memory and a few comparisons when warm; one question to the store when not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest as _, Sha256};
use wayleave_core::decide::{self, Decision, Presented, Refusal, Standing};
use wayleave_core::id::Slot;
use wayleave_core::policy::FingerprintMode;
use wayleave_core::ports::{Lookup, Scope, StoreError, Update};
use wayleave_core::record::{Limit, Record};
use wayleave_core::time::Timestamp;
use wayleave_core::token::{SessionToken, TOKEN_LENGTH, TokenHash};

use super::live::{Judged, Key, Live, Session};
use super::{SessionManager, Shown};
use crate::activity;
use crate::events::{Cause, What};
use crate::jwt::{self, Verified};

/// A presented token that is well formed, and what it leads to.
pub struct TokenView {
    key: Key,
    slot: Slot,
    lookup: Lookup,
    jwt_expires_at: Option<Timestamp>,
}

impl TokenView {
    /// How to find the record that it is about.
    pub(super) const fn lookup(&self) -> Lookup {
        self.lookup
    }
}

/// Why a token does not prove a session.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// It is on record and merely timed out (`session_expired`).
    #[error("the session expired")]
    Expired(Limit),
    /// Anything else (`session_invalid`).
    #[error("the session is not valid")]
    Invalid,
    /// The store cannot answer: fail closed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SessionManager {
    /// Checks a presented access token and gives the session that it proves.
    ///
    /// # Errors
    /// See [`ValidateError`].
    pub async fn validate(&self, token: &str, shown: &Shown) -> Result<Session, ValidateError> {
        let view = self.read_token(token)?;
        let now = self.clock.now();
        match self.warm_session(&view, shown, now) {
            Some(session) => Ok(session),
            None => self.cold_session(&view, shown, now).await,
        }
    }

    /// Reads a presented token: its form, and for JWTs the signature.
    ///
    /// # Errors
    /// [`ValidateError::Invalid`] for anything that is not one of ours, [`ValidateError::Expired`] for a JWT past its
    /// end is not told apart from it.
    pub fn read_token(&self, token: &str) -> Result<TokenView, ValidateError> {
        if token.len() == TOKEN_LENGTH && token.starts_with(SessionToken::PREFIX) {
            let token = SessionToken::parse(token).map_err(|_| ValidateError::Invalid)?;
            let key = token.key(&self.routing);
            return Ok(TokenView {
                key: Key::Token(key.hash),
                slot: key.slot,
                lookup: Lookup::Token(key),
                jwt_expires_at: None,
            });
        }
        let verified = self.read_jwt(token)?;
        let slot = verified.session.slot(&self.routing);
        Ok(TokenView {
            key: Key::Id(verified.session),
            slot,
            lookup: Lookup::Id(slot, verified.session),
            jwt_expires_at: Some(verified.expires_at),
        })
    }

    /// A signature is checked once per token; what it says does not change, only whether it has ended.
    fn read_jwt(&self, token: &str) -> Result<Verified, ValidateError> {
        if token.len() > jwt::MAX_JWT || !token.starts_with("ey") {
            return Err(ValidateError::Invalid);
        }
        let hash = TokenHash(Sha256::digest(token.as_bytes()).into());
        let now = self.clock.now();
        if let Some(verified) = self.verified.get(&hash) {
            return if now < verified.expires_at { Ok(verified) } else { Err(ValidateError::Invalid) };
        }
        let keys = self.signing_keys();
        let verified = jwt::verify(&keys, &self.audience, token, now).map_err(|_| ValidateError::Invalid)?;
        // Keys may have changed since; only what the current set verified is kept.
        if Arc::ptr_eq(&keys, &self.signing_keys.read()) {
            self.verified.insert(hash, verified.clone());
        }
        Ok(verified)
    }

    /// The answer from memory, if it can be given there. Everything but "valid" is left to the store.
    fn warm_session(&self, view: &TokenView, shown: &Shown, now: Timestamp) -> Option<Session> {
        let live = self.warm.find(&view.key)?;
        let same_client = match (live.record.client.fingerprint, shown.fingerprint) {
            (Some(known), Some(now_shown)) => live.drifted == (known != now_shown),
            (None, _) | (_, None) => !live.drifted,
        };
        if live.epoch != self.epoch.load(Ordering::Acquire)
            || !same_client
            || live.record.passed(now, live.idle, live.activity()).is_some()
        {
            return None;
        }
        self.note(&live, shown, now);
        Some(session(live, view))
    }

    async fn cold_session(&self, view: &TokenView, shown: &Shown, now: Timestamp) -> Result<Session, ValidateError> {
        if let Key::Token(hash) = view.key
            && self.unknown.get(&hash).is_some()
        {
            return Err(ValidateError::Invalid);
        }
        let epoch = self.epoch.load(Ordering::Acquire);
        let rules = self.rules();
        let before = self.warm.before(view.slot);
        let Some(record) = self.store.find(view.lookup).await? else {
            if let Key::Token(hash) = view.key {
                self.unknown.insert(hash, ());
            }
            self.publish(What::UnknownToken, None, &shown.origin);
            return Err(ValidateError::Invalid);
        };
        let standing = match &record.subject {
            Some(subject) => self.standing(subject).await?,
            None => Standing::UNRESTRICTED,
        };
        let Some(policy) = rules.kinds.policy(&record.kind) else {
            return Err(ValidateError::Invalid);
        };
        let activity = self.pending.latest(&record.id, record.activity());
        let presented = Presented { fingerprint: shown.fingerprint, activity };
        match decide::decide(policy, rules.session_timeout, &record, &standing, presented, now) {
            Decision::Valid { permissions, drifted } => {
                if drifted {
                    self.publish(What::FingerprintMismatch, Some(&record), &shown.origin);
                }
                let idle = policy.idle(record.remembered, rules.session_timeout);
                let suspect = drifted && policy.fingerprint == FingerprintMode::StepUp;
                let judged = Judged { record, permissions, idle, drifted, suspect, epoch };
                let live = Arc::new(Live::new(judged, activity.seen_at));
                self.warm.fill(before, view.key, Arc::clone(&live));
                self.note(&live, shown, now);
                Ok(session(live, view))
            }
            Decision::Expired(limit) => {
                self.mark_expired(&record, limit, shown, now).await?;
                Err(ValidateError::Expired(limit))
            }
            Decision::Refused(refusal) => {
                self.refuse(&record, refusal, shown).await?;
                Err(ValidateError::Invalid)
            }
        }
    }

    /// Writes down that a record was found expired, so that no clock and no setting ever revives it (R017). Where only
    /// the token ended and can still be renewed, the token alone is ended for good.
    async fn mark_expired(
        &self,
        record: &Record,
        limit: Limit,
        shown: &Shown,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut ended = record.clone();
        match limit {
            Limit::Token if record.refresh.is_some() => ended.token_expires_at = Timestamp::MIN,
            Limit::Token | Limit::Idle | Limit::Absolute => ended.expired_at = Some(now),
        }
        if ended == *record || record.expired_at.is_some() {
            return Ok(());
        }
        match self.store.update(&ended, record.revision).await? {
            Update::Done(_) => self.publish(What::Expired(limit), Some(record), &shown.origin),
            // Somebody else was first, with this or with something stronger.
            Update::Conflict | Update::Missing => {}
        }
        self.pending.forget(&record.id);
        Ok(())
    }

    async fn refuse(&self, record: &Record, refusal: Refusal, shown: &Shown) -> Result<(), StoreError> {
        self.publish(What::Refused(refusal), Some(record), &shown.origin);
        match refusal {
            Refusal::Fingerprint => {
                self.end(&Scope::One(record.slot, record.id), Cause::Fingerprint, &shown.origin).await.map(drop)
            }
            Refusal::Disabled | Refusal::Superseded | Refusal::Unlicensed | Refusal::Level => Ok(()),
        }
    }

    fn note(&self, live: &Live, shown: &Shown, now: Timestamp) {
        if shown.active
            && let Some(activity) = live.seen(now, activity::throttle(live.idle))
        {
            self.pending.note(live.record.id, live.record.slot, activity);
        }
    }
}

fn session(live: Arc<Live>, view: &TokenView) -> Session {
    let token_expires_at = view.jwt_expires_at.unwrap_or(live.record.token_expires_at);
    Session { live, token_expires_at }
}
