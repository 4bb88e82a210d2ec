//! The record of one session: everything a store keeps, and nothing that a token reveals.

use std::ops::Range;
use std::time::Duration;

use crate::authentication::Authentication;
use crate::entries::Entries;
use crate::id::{FamilyId, SessionId, Slot};
use crate::permission::Permissions;
use crate::policy::KindName;
use crate::subject::Subject;
use crate::time::Timestamp;
use crate::token::TokenHash;

/// Longest device label, in bytes.
pub const MAX_LABEL: usize = 256;
/// Longest network, in bytes: an IPv6 prefix takes 43 at most.
pub const MAX_NETWORK: usize = 64;
/// Longest licence, in bytes.
pub const MAX_LICENCE: usize = 256;
/// How far the clocks of two nodes, or one clock before and after it was set, may lie apart. Where a session was opened
/// further in the future than this, either the clock that opened it is wrong or the one that is looked at now.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Counts the changes of one record, for compare-and-set. Last-seen writes do not count.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A keyed hash of what is stable about a client.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What is known of the client that opened the session. Sealed at rest.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Client {
    /// For the owner's list: `Firefox on Linux`. At most [`MAX_LABEL`] bytes.
    pub label: Option<Box<str>>,
    /// Coarse origin for the owner's list: a /24 or /48 network, never an address. At most [`MAX_NETWORK`] bytes.
    pub network: Option<Box<str>>,
    /// For noticing drift (R027). Raw values are never stored.
    pub fingerprint: Option<Fingerprint>,
}

impl Client {
    /// Whether label and network keep to their limits.
    #[must_use]
    pub fn fits(&self) -> bool {
        let Self { label, network, fingerprint: _ } = self;
        within(label.as_deref(), MAX_LABEL) && within(network.as_deref(), MAX_NETWORK)
    }
}

fn within(text: Option<&str>, most: usize) -> bool {
    text.is_none_or(|text| text.len() <= most)
}

/// Whether `created_at` lies in the future, beyond what clocks may differ.
pub(crate) fn opened_ahead(created_at: Timestamp, now: Timestamp) -> bool {
    created_at > now.plus(MAX_CLOCK_SKEW)
}

/// How a sender-bound session proves its key (RFC 7800 `cnf`).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum KeyConfirmation {
    /// DPoP: the SHA-256 thumbprint of the client's JWK (RFC 7638).
    Jkt([u8; 32]),
    /// Device Bound Session Credentials: the thumbprint of the registered key.
    DeviceBound([u8; 32]),
}

/// The refresh side of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The token that the next rotation must present.
    pub current: TokenHash,
    /// How often the pair was rotated.
    pub generation: u32,
    /// The last rotation, for clients that lost its answer.
    pub last: Option<LastRotation>,
}

/// What is kept of the last rotation while its window may still be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRotation {
    /// The token that was presented.
    pub predecessor: TokenHash,
    /// When.
    pub at: Timestamp,
    /// By which client.
    pub client: Option<Fingerprint>,
    /// The pair that was answered, sealed under a key that only the predecessor's text yields. Empty where there is no
    /// window, and once that has closed.
    pub sealed_pair: Box<[u8]>,
}

/// One session.
///
/// `id`, `slot`, `family`, `kind`, `subject`, `created_at` and `absolute_expires_at` never change; a store's `update`
/// leaves them alone whatever it is given, and so it does with `token` and `refresh`, which only `rotate` moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The public handle.
    pub id: SessionId,
    /// The partition of its subject; random for guests.
    pub slot: Slot,
    /// The lineage that refresh and re-authentication keep.
    pub family: FamilyId,
    /// What its session token hashes to.
    pub token: TokenHash,
    /// The policy it lives under.
    pub kind: KindName,
    /// Whose it is; `None` for guests.
    pub subject: Option<Subject>,
    /// Who acts in the subject's place, when somebody does (RFC 8693 `act`).
    pub actor: Option<Subject>,
    /// What it was granted at sign-in; every validation cuts this down further.
    pub permissions: Permissions,
    /// How the subject proved itself; `None` for guests.
    pub authentication: Option<Authentication>,
    /// The epoch of the subject's standing at sign-in.
    pub epoch: u64,
    /// Whether the person asked to be remembered.
    pub remembered: bool,
    /// The licence that a professional session rests on. At most [`MAX_LICENCE`] bytes.
    pub licence: Option<Box<str>>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When its user was last active, as far as this was written down.
    pub last_seen_at: Timestamp,
    /// When it ends unless its user is active before, by the limit in force at `last_seen_at`.
    pub idle_expires_at: Option<Timestamp>,
    /// When the current session token ends.
    pub token_expires_at: Timestamp,
    /// When the session ends, whatever happens.
    pub absolute_expires_at: Timestamp,
    /// When it was first found expired. Terminal: no clock or setting brings it back (R017).
    pub expired_at: Option<Timestamp>,
    /// The client that opened it. Sealed at rest.
    pub client: Client,
    /// What the session holds open, for example a vault. Sealed at rest.
    pub context: Entries,
    /// The application's key-value data. Sealed at rest.
    pub data: Entries,
    /// The refresh side, if the kind has one.
    pub refresh: Option<Refresh>,
    /// The key that requests must prove, for sender-bound sessions.
    pub confirmation: Option<KeyConfirmation>,
    /// Counts changes.
    pub revision: Revision,
}

/// A user's activity: when, and how long the session may then go unused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// When the user was active.
    pub seen_at: Timestamp,
    /// When the session ends without further activity, by the limit in force at `seen_at`.
    pub idle_expires_at: Option<Timestamp>,
}

impl Activity {
    /// Whether the session went unused for too long at `now`, where `limit` is the idle limit in force. It holds twice: as
    /// it stood at the activity, and as it stands now. So lowering it acts at once and raising it revives nothing.
    #[must_use]
    pub fn is_idle(self, now: Timestamp, limit: Option<Duration>) -> bool {
        self.idle_expires_at.is_some_and(|end| now >= end) || limit.is_some_and(|limit| now >= self.seen_at.plus(limit))
    }

    /// This activity moved forward by `new`: of both times the later one. Nothing moves back.
    ///
    /// No idle end is later than any. But where `new` is not the later activity, that it has none says nothing of the
    /// limit that was in force since, and the end stays.
    #[must_use]
    pub fn moved_forward(self, new: Self) -> Self {
        let idle_expires_at = match (self.idle_expires_at, new.idle_expires_at) {
            (Some(held), Some(new)) => Some(held.max(new)),
            (Some(held), None) if new.seen_at <= self.seen_at => Some(held),
            (Some(_), None) | (None, _) => None,
        };
        Self { seen_at: self.seen_at.max(new.seen_at), idle_expires_at }
    }
}

/// Which of a session's limits was passed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Its token's lifetime; a refresh token can still renew it.
    Token,
    /// The idle limit.
    Idle,
    /// The absolute limit.
    Absolute,
    /// Not an end but a beginning: it was opened in the future, by more than [`MAX_CLOCK_SKEW`]. It is refused as if it
    /// had ended, because a clock that was ahead gave it an end that lies as far ahead. But it is not marked: the wrong
    /// clock may be the one that is looked at now, and the session in use everywhere else.
    NotBefore,
}

/// The times of a record: all that its limits are judged by, in one place.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Times {
    /// See [`Record::created_at`].
    pub created_at: Timestamp,
    /// See [`Record::last_seen_at`].
    pub last_seen_at: Timestamp,
    /// See [`Record::idle_expires_at`].
    pub idle_expires_at: Option<Timestamp>,
    /// See [`Record::token_expires_at`].
    pub token_expires_at: Timestamp,
    /// See [`Record::absolute_expires_at`].
    pub absolute_expires_at: Timestamp,
    /// See [`Record::expired_at`].
    pub expired_at: Option<Timestamp>,
}

impl Times {
    /// The activity that was written down.
    #[must_use]
    pub const fn activity(&self) -> Activity {
        Activity { seen_at: self.last_seen_at, idle_expires_at: self.idle_expires_at }
    }

    /// Which limit, if any, was passed at `now`, where `idle` is the idle limit in force and `activity` the latest
    /// that is known. All boundaries are closed: the instant of the limit itself is too late (R013).
    #[must_use]
    pub fn passed(&self, now: Timestamp, idle: Option<Duration>, activity: Activity) -> Option<Limit> {
        if now >= self.absolute_expires_at {
            return Some(Limit::Absolute);
        }
        if self.expired_at.is_some() || activity.is_idle(now, idle) {
            return Some(Limit::Idle);
        }
        if opened_ahead(self.created_at, now) {
            return Some(Limit::NotBefore);
        }
        if now >= self.token_expires_at { Some(Limit::Token) } else { None }
    }

    /// Outside of which [`Self::passed`] finds a limit whatever the activity is; inside, only the idle limit can have
    /// been passed.
    #[must_use]
    pub fn span(&self) -> Range<Timestamp> {
        let end = if self.expired_at.is_some() { Timestamp::MIN } else { self.token_expires_at };
        // See `opened_ahead`.
        self.created_at.minus(MAX_CLOCK_SKEW)..end.min(self.absolute_expires_at)
    }
}

impl Record {
    /// Whether everything of it that has no limit by its type keeps to its limit. Stores take nothing else in.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.client.fits() && within(self.licence.as_deref(), MAX_LICENCE)
    }

    /// The activity that was written down.
    #[must_use]
    pub const fn activity(&self) -> Activity {
        self.times().activity()
    }

    /// Its times, for whoever judges it often.
    #[must_use]
    pub const fn times(&self) -> Times {
        Times {
            created_at: self.created_at,
            last_seen_at: self.last_seen_at,
            idle_expires_at: self.idle_expires_at,
            token_expires_at: self.token_expires_at,
            absolute_expires_at: self.absolute_expires_at,
            expired_at: self.expired_at,
        }
    }

    /// As [`Times::passed`].
    #[must_use]
    pub fn passed(&self, now: Timestamp, idle: Option<Duration>, activity: Activity) -> Option<Limit> {
        self.times().passed(now, idle, activity)
    }

    /// When the record stops being of any use: its idle or absolute end, whichever is first. Stores count it against
    /// the subject's limit until then, and sweep it some time after.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        let end = self.idle_expires_at.map_or(self.absolute_expires_at, |idle| idle.min(self.absolute_expires_at));
        // Without refresh, a session whose token has ended cannot be used again either.
        let end = if self.refresh.is_none() { end.min(self.token_expires_at) } else { end };
        self.expired_at.map_or(end, |expired| expired.min(end))
    }

    /// The last rotation, if there was one.
    #[must_use]
    pub fn last_rotation(&self) -> Option<&LastRotation> {
        self.refresh.as_ref()?.last.as_ref()
    }

    /// The same without the pair that the last rotation answered: nobody may ask for it again.
    #[must_use]
    pub fn without_pair(mut self) -> Self {
        if let Some(last) = self.refresh.as_mut().and_then(|refresh| refresh.last.as_mut()) {
            last.sealed_pair = Box::default();
        }
        self
    }

    /// Whether it counts as live no more at `now`: it has ended, or was found expired whatever the clock says now.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.expired_at.is_some() || now >= self.ends_at()
    }

    /// Whether it was opened in the future, so that nobody may use it yet: see [`Limit::NotBefore`].
    #[must_use]
    pub fn was_opened_ahead(&self, now: Timestamp) -> bool {
        opened_ahead(self.created_at, now)
    }

    /// Found expired at `now`, as a change.
    #[must_use]
    pub fn found_expired(self, now: Timestamp) -> Self {
        Self { expired_at: self.expired_at.or(Some(now)), revision: self.revision.next(), ..self }
    }

    /// Takes over from `changed` what an update may change, and counts the change.
    #[must_use]
    pub fn updated_from(&self, changed: &Self) -> Self {
        let Self {
            id: _,
            slot: _,
            family: _,
            token: _,
            kind: _,
            subject: _,
            created_at: _,
            absolute_expires_at: _,
            refresh: _,
            revision: _,
            last_seen_at,
            actor,
            permissions,
            authentication,
            epoch,
            remembered,
            licence,
            idle_expires_at,
            token_expires_at,
            expired_at,
            client,
            context,
            data,
            confirmation,
        } = changed;
        Self {
            actor: actor.clone(),
            permissions: permissions.clone(),
            authentication: *authentication,
            epoch: *epoch,
            remembered: *remembered,
            licence: licence.clone(),
            last_seen_at: self.last_seen_at.max(*last_seen_at),
            // A touch that came in between is newer than what `changed` knew; the two fields stay a pair.
            idle_expires_at: if self.last_seen_at > *last_seen_at { self.idle_expires_at } else { *idle_expires_at },
            token_expires_at: (*token_expires_at).min(self.absolute_expires_at),
            expired_at: self.expired_at.or(*expired_at),
            client: client.clone(),
            context: context.clone(),
            data: data.clone(),
            confirmation: *confirmation,
            revision: self.revision.next(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
