//! Whether a session may do what it asks: one pure function for validity, one for freshness.

use std::time::Duration;

use crate::authentication::Authentication;
use crate::permission::{Ceiling, Permissions};
use crate::policy::{FingerprintMode, Policy, SessionTimeout};
use crate::record::{Activity, Client, Fingerprint, Limit, Record};
use crate::time::Timestamp;

/// How a subject stands with the deployment right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it may have sessions at all.
    pub active: bool,
    /// From then on it may not, without anybody doing anything: a service key that expires.
    pub until: Option<Timestamp>,
    /// Grows when everything that was opened before must end: a changed password, a withdrawn licence.
    pub epoch: u64,
    /// The most it may do.
    pub ceiling: Ceiling,
    /// Whether it holds a verified licence.
    pub licensed: bool,
}

impl Standing {
    /// A subject of whom nothing is known but that it may sign in: for deployments without a directory, and guests.
    pub const UNRESTRICTED: Self = Self { active: true, until: None, epoch: 0, ceiling: Ceiling::Any, licensed: false };

    /// Whether it may have sessions at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.active && self.until.is_none_or(|end| now < end)
    }
}

/// What a request shows besides its token.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The client's fingerprint, if the deployment takes one.
    pub fingerprint: Option<Fingerprint>,
    /// The latest activity that this node knows of.
    pub activity: Activity,
}

/// Whether a session is good at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is, with these permissions.
    Valid {
        /// Record, account and kind, intersected.
        permissions: Permissions,
        /// The client no longer looks like the one that signed in.
        drifted: bool,
    },
    /// It is on record, and a limit was passed.
    Expired(Limit),
    /// It is no longer honoured.
    Refused(Refusal),
}

/// Why a session on record is not honoured. For the audit log; outsiders learn nothing of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its subject was disabled.
    Disabled,
    /// Its subject ended everything that was opened before.
    Superseded,
    /// Its subject's licence is gone.
    Unlicensed,
    /// Its client changed, and the kind does not tolerate that.
    Fingerprint,
    /// It was not proved well enough for what its kind now requires.
    Level,
}

/// Which limit a session has passed by the rules in force, where `activity` is the latest that is known: as
/// [`Record::passed`], and what an earlier session timeout had ended stays ended under a longer one.
#[must_use]
pub fn passed(
    policy: &Policy,
    session_timeout: SessionTimeout,
    record: &Record,
    activity: Activity,
    now: Timestamp,
) -> Option<Limit> {
    let idle = policy.idle(record.remembered, session_timeout);
    let outlived = policy.follows_timeout(record.remembered)
        && activity.seen_at <= session_timeout.dead_before()
        && session_timeout.dead_before() > Timestamp::MIN;
    record.passed(now, idle, activity).or_else(|| outlived.then_some(Limit::Idle))
}

/// Whether what a request shows is not `client` (R027). Where a changed client ends the session, one that shows nothing
/// is a changed one: whoever stole a token would show nothing.
#[must_use]
pub fn drifted(mode: FingerprintMode, client: &Client, shown: Option<Fingerprint>) -> bool {
    let changed = || client.fingerprint.is_some() && client.fingerprint != shown;
    match mode {
        FingerprintMode::Off => false,
        FingerprintMode::Observe | FingerprintMode::StepUp => shown.is_some() && changed(),
        FingerprintMode::Revoke => changed(),
    }
}

/// Decides over one record. Pure: the same arguments always give the same answer (R013, R014, R017, R026).
#[must_use]
pub fn decide(
    policy: &Policy,
    session_timeout: SessionTimeout,
    record: &Record,
    standing: &Standing,
    presented: Presented,
    now: Timestamp,
) -> Decision {
    if let Some(limit) = passed(policy, session_timeout, record, presented.activity, now) {
        return Decision::Expired(limit);
    }
    if record.subject.is_some() {
        if !standing.is_active(now) {
            return Decision::Refused(Refusal::Disabled);
        }
        if record.epoch < standing.epoch {
            return Decision::Refused(Refusal::Superseded);
        }
        if policy.requires_licence && !standing.licensed {
            return Decision::Refused(Refusal::Unlicensed);
        }
        if record.authentication.is_none_or(|authentication| authentication.level < policy.level) {
            return Decision::Refused(Refusal::Level);
        }
    }
    let drifted = drifted(policy.fingerprint, &record.client, presented.fingerprint);
    if drifted && policy.fingerprint == FingerprintMode::Revoke {
        return Decision::Refused(Refusal::Fingerprint);
    }
    let permissions = record.permissions.under(&policy.ceiling).under(&standing.ceiling);
    Decision::Valid { permissions, drifted }
}

/// Whether the session's sign-in is recent enough for a sensitive action (R025): less than `most` ago. A sign-in in the
/// future, which a clock that was set back makes, counts by the same distance.
///
/// # Errors
/// [`StepUp`] when it is not: the caller must ask for a fresh proof.
pub fn fresh(record: &Record, most: Duration, now: Timestamp) -> Result<(), StepUp> {
    match record.authentication {
        // In both directions: a clock set back must not make an old sign-in recent.
        Some(Authentication { at, .. }) if now.since(at) < most && at.since(now) < most => Ok(()),
        Some(_) | None => Err(StepUp { max_age: most }),
    }
}

/// A fresh proof is needed (RFC 9470 `insufficient_user_authentication`).
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sign-in of the last {} seconds is needed", max_age.as_secs())]
pub struct StepUp {
    /// How old the sign-in may be.
    pub max_age: Duration,
}

#[cfg(test)]
mod tests;
