//! Validation: a hash, a lookup in memory and a few comparisons when warm; one question to the store when not.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wayleave_core::decide::{self, Decision, Presented, Refusal, Standing};
use wayleave_core::id::Slot;
use wayleave_core::ports::{Lookup, Scope, StoreError};
use wayleave_core::record::{Activity, Limit, Record};
use wayleave_core::time::Timestamp;
use wayleave_core::token::{SessionToken, TOKEN_LENGTH, TokenHash};

use super::change::Telling;
use super::grounds::{Grounds, Valid};
use super::live::{Key, Live, Session};
use super::{Rules, SessionManager, Shown, UpdateError};
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

/// What is remembered of a JWT whose signature was checked.
#[derive(Clone)]
pub(super) struct Checked {
    verified: Verified,
    /// Until its own end, or until that of the key that signed it.
    good_until: Timestamp,
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
        let now = self.clock.now();
        if let Some(session) = self.known_session(token, shown, now) {
            return Ok(session);
        }
        // On the heap, so that whoever waits for a warm answer carries no room for this.
        Box::pin(async move {
            let view = match self.read_token(token) {
                Ok(view) => view,
                Err(error) => return Err(self.merely_ended(token, now).await?.unwrap_or(error)),
            };
            match self.warm_session(view.key, view.jwt_expires_at, shown, now) {
                Some(session) => Ok(session),
                None => self.cold_session(&view, shown, now).await,
            }
        })
        .await
    }

    /// The session that a presented access token proves, if memory can say so: no signature is checked and no store is
    /// asked. `None` says nothing about the token.
    #[must_use]
    pub fn validate_warm(&self, token: &str, shown: &Shown) -> Option<Session> {
        self.known_session(token, shown, self.clock.now())
    }

    /// Whether it is plain without a store that a presented access token proves nothing: it has no form of ours, or
    /// lately nobody knew it. `false` says nothing about the token.
    #[must_use]
    pub fn is_plainly_invalid(&self, token: &str) -> bool {
        if is_opaque(token) {
            let key = SessionToken::lookup(token, &self.routing);
            key.map_or(true, |key| self.unknown.get(&key.hash).is_some())
        } else {
            token.len() > jwt::MAX_JWT || !token.starts_with(JWT_START)
        }
    }

    /// Whether a JWT is good in everything but that it has ended, and its session is still on record.
    async fn merely_ended(&self, token: &str, now: Timestamp) -> Result<Option<ValidateError>, StoreError> {
        if is_opaque(token) || token.len() > jwt::MAX_JWT {
            return Ok(None);
        }
        let Ok(session) = jwt::ended(&self.signing_keys(), &self.audience, token, now) else { return Ok(None) };
        let slot = session.slot(&self.routing);
        let Some(record) = self.state.store.find(Lookup::Id(slot, session)).await? else { return Ok(None) };
        let standing = match &record.subject {
            Some(subject) => self.standing(subject).await?,
            None => Standing::UNRESTRICTED,
        };
        let good = standing.is_active(now) && record.epoch >= standing.epoch;
        Ok(good.then_some(ValidateError::Expired(Limit::Token)))
    }

    /// Reads a presented token: its form, and for JWTs signature and times.
    ///
    /// # Errors
    /// [`ValidateError::Invalid`] for anything that is not one of ours, or a JWT past its end.
    pub fn read_token(&self, token: &str) -> Result<TokenView, ValidateError> {
        if is_opaque(token) {
            let key = SessionToken::lookup(token, &self.routing).map_err(|_| ValidateError::Invalid)?;
            return Ok(TokenView {
                key: Key::Token(key.hash),
                slot: key.slot,
                lookup: Lookup::Token(key),
                jwt_expires_at: None,
            });
        }
        Ok(self.view(self.read_jwt(token)?))
    }

    fn view(&self, verified: Verified) -> TokenView {
        let slot = verified.session.slot(&self.routing);
        TokenView {
            key: Key::Id(verified.session),
            slot,
            lookup: Lookup::Id(slot, verified.session),
            jwt_expires_at: Some(verified.expires_at),
        }
    }

    /// A signature is checked once per token; what it says does not change, only whether it has ended.
    fn read_jwt(&self, token: &str) -> Result<Verified, ValidateError> {
        if token.len() > jwt::MAX_JWT || !token.starts_with(JWT_START) {
            return Err(ValidateError::Invalid);
        }
        let hash = TokenHash(Sha256::digest(token.as_bytes()).into());
        let now = self.clock.now();
        if let Some(checked) = self.verified.get(&hash) {
            if now < checked.good_until {
                return Ok(checked.verified);
            }
            // For good: a clock that is set back revives nothing that was seen to have ended (R017).
            self.verified.insert(hash, Checked { good_until: Timestamp::MIN, ..checked });
            return Err(ValidateError::Invalid);
        }
        let keys = self.signing_keys();
        let (verified, retired_at) =
            jwt::verify_under(&keys, &self.audience, token, now).map_err(|_| ValidateError::Invalid)?;
        let good_until = retired_at.map_or(verified.expires_at, |end| end.min(verified.expires_at));
        // Only what the current set verified is kept, and no other set comes in before it is.
        let current = self.signing_keys.read();
        if Arc::ptr_eq(&keys, &current) {
            self.verified.insert(hash, Checked { verified: verified.clone(), good_until });
        }
        drop(current);
        Ok(verified)
    }

    /// What memory knows of the session of a token that it has seen before, or made. The token's form is not looked at:
    /// it was good then.
    fn known_session(&self, token: &str, shown: &Shown, now: Timestamp) -> Option<Session> {
        if token.len() > jwt::MAX_JWT {
            return None;
        }
        let hash = TokenHash(Sha256::digest(token.as_bytes()).into());
        if is_opaque(token) {
            return self.warm_session(Key::Token(hash), None, shown, now);
        }
        let verified = self.verified.get(&hash).filter(|checked| now < checked.good_until)?.verified;
        self.warm_session(Key::Id(verified.session), Some(verified.expires_at), shown, now)
    }

    /// The answer from memory, if it can be given there. Everything but "valid" is left to the store.
    fn warm_session(
        &self,
        key: Key,
        jwt_expires_at: Option<Timestamp>,
        shown: &Shown,
        now: Timestamp,
    ) -> Option<Session> {
        if !self.state.may_answer() {
            return None;
        }
        let (live, slot) = self.state.warm.find(&key.into())?;
        if live.epoch != self.epochs.of(slot)
            || live.passed(now)
            || !(shown.vouched || live.judged_for(shown.fingerprint))
        {
            return None;
        }
        self.note(&live, shown, now);
        Some(session(live, jwt_expires_at))
    }

    async fn cold_session(&self, view: &TokenView, shown: &Shown, now: Timestamp) -> Result<Session, ValidateError> {
        if let Key::Token(hash) = view.key
            && self.unknown.get(&hash).is_some()
        {
            return Err(ValidateError::Invalid);
        }
        let epoch = self.epochs.of(view.slot);
        let rules = self.rules();
        let before = self.state.warm.before(view.slot);
        let Some(found) = self.state.find(view.slot, view.lookup).await? else {
            if let Key::Token(hash) = view.key {
                self.unknown.insert(hash, ());
            }
            self.state.publish(What::UnknownToken, None, &shown.origin);
            return Err(ValidateError::Invalid);
        };
        let standing = match &found.record.subject {
            Some(subject) => self.standing(subject).await?,
            None => Standing::UNRESTRICTED,
        };
        let activity = self.state.latest(&found);
        let record = found.record;
        let Some(policy) = rules.kinds.policy(&record.kind) else {
            return Err(ValidateError::Invalid);
        };
        let grounds = Grounds { epoch, standing, rules: Arc::clone(&rules) };
        let fingerprint = if shown.vouched { record.client.fingerprint } else { shown.fingerprint };
        let presented = Presented { fingerprint, activity };
        match decide::decide(policy, rules.session_timeout, &record, &grounds.standing, presented, now) {
            Decision::Valid { permissions, drifted } => {
                if drifted {
                    self.state.publish_drift(What::FingerprintMismatch, &record, shown);
                }
                let live = grounds.live(policy, record, Valid { permissions, drifted, seen_at: activity.seen_at });
                self.state.warm.fill(before, view.key.into(), Arc::clone(&live));
                self.note(&live, shown, now);
                Ok(session(live, view.jwt_expires_at))
            }
            Decision::Expired(limit) => {
                self.mark_expired(&record, Passed { limit, rules: &rules, activity, now }, shown).await?;
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
    pub(super) async fn mark_expired(
        &self,
        record: &Record,
        passed: Passed<'_>,
        shown: &Shown,
    ) -> Result<(), StoreError> {
        let Passed { limit, rules, activity, now } = passed;
        self.state.drop_warm(record.slot, [Key::Token(record.token), Key::Id(record.id)]);
        if limit == Limit::NotBefore {
            // Nothing has ended: either clock may be the wrong one.
            self.state.publish(What::Expired(limit), Some(record), &shown.origin);
            return Ok(());
        }
        let known = record.expired_at.is_some() || (limit == Limit::Token && record.token_expires_at == Timestamp::MIN);
        if known {
            return Ok(());
        }
        let telling = Telling { what: What::Expired(limit), origin: &shown.origin };
        let marked = self.change_and_tell(record, Some(telling), |held| {
            // Somebody else may have been first, with this, with a refresh or with an extension.
            let activity = later(activity, held.activity());
            let passed = match rules.kinds.policy(&held.kind) {
                Some(policy) => decide::passed(policy, rules.session_timeout, held, activity, now),
                None => held.passed(now, None, activity),
            };
            if held.expired_at.is_some() || passed != Some(limit) {
                return Err(Moved);
            }
            match limit {
                Limit::Token if held.refresh.is_some() => held.token_expires_at = Timestamp::MIN,
                Limit::Token | Limit::Idle | Limit::Absolute => held.expired_at = Some(now),
                Limit::NotBefore => return Err(Moved),
            }
            Ok(())
        });
        match marked.await {
            Err(UpdateError::Store(error)) => Err(error),
            Ok(_) | Err(UpdateError::Gone | UpdateError::Contended | UpdateError::Refused(Moved)) => {
                // Where only the token ended, the session goes on, and its activity still counts.
                if limit != Limit::Token {
                    self.state.pending.forget(record.slot, record.id);
                }
                Ok(())
            }
        }
    }

    pub(super) async fn refuse(&self, record: &Record, refusal: Refusal, shown: &Shown) -> Result<(), StoreError> {
        match refusal {
            Refusal::Fingerprint => {
                self.state.publish_drift(What::Refused(refusal), record, shown);
                let family = Scope::Family(record.slot, record.family);
                self.end(&family, Cause::Fingerprint, &shown.origin).await.map(drop)
            }
            Refusal::Disabled | Refusal::Superseded | Refusal::Unlicensed | Refusal::Level => {
                self.state.publish(What::Refused(refusal), Some(record), &shown.origin);
                Ok(())
            }
        }
    }

    fn note(&self, live: &Live, shown: &Shown, now: Timestamp) {
        if shown.active
            && let Some(activity) = live.seen(now, activity::throttle(live.idle))
        {
            self.state.pending.note(live.record.id, live.record.slot, activity);
        }
    }
}

/// What the JSON of a JWT's header begins with in base64url.
const JWT_START: &str = "ey";

fn is_opaque(token: &str) -> bool {
    token.len() == TOKEN_LENGTH && token.starts_with(SessionToken::PREFIX)
}

/// Which limit a record was found past, and by what rules.
#[derive(Copy, Clone)]
pub(super) struct Passed<'a> {
    pub(super) limit: Limit,
    pub(super) rules: &'a Rules,
    pub(super) activity: Activity,
    pub(super) now: Timestamp,
}

/// The record is no longer as it was found.
struct Moved;

/// The later of two activities.
pub(super) fn later(one: Activity, other: Activity) -> Activity {
    if other.seen_at > one.seen_at { other } else { one }
}

fn session(live: Arc<Live>, jwt_expires_at: Option<Timestamp>) -> Session {
    let token_expires_at = jwt_expires_at.unwrap_or_else(|| live.token_expires_at());
    Session { live, token_expires_at }
}
