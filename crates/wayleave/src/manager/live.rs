//! A session that was judged valid, as memory keeps it and as callers see it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use wayleave_core::decide::{self, StepUp};
use wayleave_core::id::SessionId;
use wayleave_core::permission::Permissions;
use wayleave_core::policy::{FingerprintMode, KindName, TokenFormat};
use wayleave_core::record::{Activity, Fingerprint, Record};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;
use wayleave_core::token::TokenHash;

/// What a session is found by: the hash of its opaque token, or its id for those with JWTs.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Token(TokenHash),
    Id(SessionId),
}

impl Key {
    /// What a record is found by whose client holds a token of this format.
    pub(super) fn of(record: &Record, format: TokenFormat) -> Self {
        match format {
            TokenFormat::Opaque => Self::Token(record.token),
            TokenFormat::Jwt { lifetime: _ } => Self::Id(record.id),
        }
    }
}

/// What memory finds a session by: 128 bits of its [`Key`], which are random to everybody who does not hold its token.
/// Whoever wanted to be taken for another session would have to find a token whose SHA-256 begins with given 16 bytes.
/// Half of it, because every line that the processor fetches counts.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(super) struct Short([u8; 16]);

impl From<Key> for Short {
    fn from(key: Key) -> Self {
        let bytes = match &key {
            Key::Token(TokenHash(hash)) => hash.first_chunk().copied(),
            Key::Id(id) => id.bytes().first_chunk().copied(),
        };
        Self(bytes.unwrap_or_default())
    }
}

/// A record and the judgement on it, good for one epoch of rules and standings.
///
/// What a request is judged by lies in here, at the beginning: with a million sessions, each further look into memory
/// is the dearest part of a validation.
#[repr(C)]
pub(super) struct Live {
    /// The latest activity in milliseconds; moves with every request and is written down now and then.
    seen_at: AtomicI64,
    /// The activity that was last handed on to be written down.
    noted_at: AtomicI64,
    pub(super) epoch: u64,
    /// Outside of which it is over, whatever the activity.
    span: Range<Timestamp>,
    pub(super) idle: Option<Duration>,
    token_expires_at: Timestamp,
    /// The activity that was written down when it was judged.
    written: Activity,
    pub(super) drifted: bool,
    /// What the kind makes of a changed client.
    pub(super) mode: FingerprintMode,
    pub(super) record: Arc<Record>,
    pub(super) permissions: Permissions,
}

/// What the judgement on a record came to.
pub(super) struct Judged {
    pub(super) record: Arc<Record>,
    pub(super) permissions: Permissions,
    pub(super) idle: Option<Duration>,
    pub(super) mode: FingerprintMode,
    pub(super) drifted: bool,
    /// When its subject's standing ends by itself.
    pub(super) until: Option<Timestamp>,
    pub(super) epoch: u64,
}

impl Live {
    pub(super) fn new(judged: Judged, seen_at: Timestamp) -> Self {
        let Judged { record, permissions, idle, mode, drifted, until, epoch } = judged;
        let seen = seen_at.as_millis();
        let noted_at = AtomicI64::new(record.last_seen_at.as_millis().max(seen));
        let seen_at = AtomicI64::new(seen);
        let Range { start, end } = record.times().span();
        let span = start..until.map_or(end, |until| until.min(end));
        let (token_expires_at, written) = (record.token_expires_at, record.activity());
        Self { seen_at, noted_at, epoch, span, idle, token_expires_at, written, drifted, mode, record, permissions }
    }

    /// The latest activity. Its idle end follows from the limit under which this entry was judged.
    pub(super) fn activity(&self) -> Activity {
        let seen_at = Timestamp::from_millis(self.seen_at.load(Ordering::Relaxed));
        if seen_at <= self.written.seen_at {
            self.written
        } else {
            Activity { seen_at, idle_expires_at: self.idle.map(|limit| seen_at.plus(limit)) }
        }
    }

    /// Whether a limit was passed at `now`, the end of its subject's standing included.
    pub(super) fn passed(&self, now: Timestamp) -> bool {
        !self.span.contains(&now) || self.activity().is_idle(now, self.idle)
    }

    /// When its opaque token ends.
    pub(super) const fn token_expires_at(&self) -> Timestamp {
        self.token_expires_at
    }

    /// Whether a request that shows `fingerprint` is judged as this was.
    pub(super) fn judged_for(&self, fingerprint: Option<Fingerprint>) -> bool {
        self.drifted == decide::drifted(self.mode, &self.record.client, fingerprint)
    }

    /// Moves the activity to `now`; gives it back when it is time to write it down.
    pub(super) fn seen(&self, now: Timestamp, throttle: Duration) -> Option<Activity> {
        self.seen_at.fetch_max(now.as_millis(), Ordering::Relaxed);
        let noted = self.noted_at.load(Ordering::Relaxed);
        if now.since(Timestamp::from_millis(noted)) < throttle {
            return None;
        }
        let mine = self.noted_at.compare_exchange(noted, now.as_millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        mine.then(|| self.activity())
    }
}

/// A session that is valid at this moment.
#[derive(Clone)]
pub struct Session {
    pub(super) live: Arc<Live>,
    pub(super) token_expires_at: Timestamp,
}

impl Session {
    /// Its public handle.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.live.record.id
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &KindName {
        &self.live.record.kind
    }

    /// Whose it is; `None` for guests.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        self.live.record.subject.as_ref()
    }

    /// What it may do: record, account and kind, intersected.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.live.permissions
    }

    /// When the presented token ends.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.token_expires_at
    }

    /// When the session ends, whatever happens.
    #[must_use]
    pub fn session_expires_at(&self) -> Timestamp {
        self.live.record.absolute_expires_at
    }

    /// When it ends without further activity, if it has an idle limit.
    #[must_use]
    pub fn idle_expires_at(&self) -> Option<Timestamp> {
        let Activity { seen_at, idle_expires_at } = self.live.activity();
        let by_limit = self.live.idle.map(|limit| seen_at.plus(limit));
        // A limit that was raised since revives nothing.
        by_limit.into_iter().chain(idle_expires_at).min()
    }

    /// The latest activity that this node knows of.
    #[must_use]
    pub fn last_seen_at(&self) -> Timestamp {
        self.live.activity().seen_at
    }

    /// Whether the client no longer looks like the one that signed in.
    #[must_use]
    pub fn drifted(&self) -> bool {
        self.live.drifted
    }

    /// The whole record, as it was when the session was last judged.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.live.record
    }

    /// Whether the client changed, and the kind wants a fresh proof before anything sensitive then (R027).
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.live.drifted && self.live.mode == FingerprintMode::StepUp
    }

    /// Whether the sign-in is recent enough for a sensitive action (R025).
    ///
    /// # Errors
    /// [`StepUp`] when a fresh proof is needed.
    pub fn fresh(&self, most: Duration, now: Timestamp) -> Result<(), StepUp> {
        if self.is_suspect() {
            return Err(StepUp { max_age: most });
        }
        decide::fresh(&self.live.record, most, now)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("id", &self.id()).field("kind", self.kind()).finish_non_exhaustive()
    }
}
