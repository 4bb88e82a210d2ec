//! The session store: the one port whose semantics everything rests on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::id::{FamilyId, SessionId, Slot};
use crate::policy::{AtLimit, KindName};
use crate::record::{Activity, Fingerprint, Limit, Record, Revision};
use crate::subject::Subject;
use crate::ticket::{Purpose, Ticket};
use crate::time::Timestamp;
use crate::token::{TokenHash, TokenKey};

/// Keeps records.
///
/// A record is created by `insert` alone, changed only by compare-and-set, and never comes back once `revoke` has
/// returned. Losing a session is harmless; resurrecting one is a breach. Every operation is atomic and one round trip
/// to the backend. A store that cannot answer returns [`StoreError`]; it never guesses.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Adds a record under a concurrency limit, ending `replaces` in the same step.
    ///
    /// Never overwrites: an id or token hash that exists is answered with [`Insert::Exists`] and changes nothing. A
    /// record that is to be replaced as it was at one revision, and has another or is gone, is [`Insert::Conflict`]
    /// and changes nothing; that is looked at first.
    ///
    /// The limit counts the subject's records of the same kind that have not ended at `now` (see
    /// [`Record::has_ended`]), without the one that is replaced. Those that have are marked as found expired, as an
    /// update would, in the same step: what was not counted must not come back by an activity that is written down
    /// later. What [was opened in the future](Record::was_opened_ahead) counts and stays as it is, but makes room before
    /// any other and also where otherwise nobody does ([`AtLimit::Refuse`]): a clock that was ahead for a moment must not
    /// keep somebody out until that time comes. The replaced record ends also when the insertion is refused for the
    /// limit.
    ///
    /// What becomes of a replaced session's refresh tokens is said at [`FamilyId`]. A record that does not
    /// [fit](Record::fits) is [`StoreError::Full`], before anything else is looked at.
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError>;

    /// The record behind a lookup, expired or not.
    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError>;

    /// Changes a record if it still has `expected` as its revision. Never creates one, and never changes what
    /// [`Record::updated_from`] leaves alone. A record that does not [fit](Record::fits) is [`StoreError::Full`],
    /// before anything else is looked at.
    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError>;

    /// Exchanges a refresh token in one step, by the verdict of [`crate::refresh::judge`]:
    /// `Rotate` swaps token and refresh hash for the next pair, remembers the presented one as spent, counts the
    /// generation and moves `token_expires_at` (never past the absolute limit); `Repeat` changes nothing; `Reuse` ends
    /// every session of the family; `Expired` changes nothing.
    ///
    /// An exchange counts as a revision, so that an update prepared before it is a conflict. Its activity moves the
    /// record's forward only, by [`Activity::moved_forward`]: an activity without idle end takes the end away, unless
    /// it is not later than the one on record.
    ///
    /// A store may forget the oldest spent tokens of a family past [`Rotation::SPENT_KEPT`] of them.
    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError>;

    /// Puts down something that can be taken once.
    ///
    /// Never overwrites a ticket that can still be taken. One of the same purpose and key that has expired at `now`
    /// counts as absent: the new one takes its place. At most `most` tickets of a purpose are kept; one more is
    /// [`Deposit::Full`], after expired ones were dropped. A ticket that does not
    /// [fit](Ticket::fits) is [`StoreError::Full`], before anything else is looked at.
    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError>;

    /// Takes a ticket: of any number of callers exactly one gets it, and none from its expiry on.
    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError>;

    /// Ends sessions. When this has returned, no find, update, rotation or touch sees any of them again.
    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError>;

    /// Lists records, ended ones included until swept: newest first when a subject is given, otherwise everybody's in
    /// any order that stays the same. Over its pages a listing is complete and free of duplicates: a record that is
    /// there from the first page to the last is listed exactly once, whatever comes and goes meanwhile.
    async fn list(&self, listing: &Listing) -> Result<Page, StoreError>;

    /// Writes down activity of many sessions at once. Moves `last_seen_at` and `idle_expires_at` forward only, by
    /// [`Activity::moved_forward`]: an activity without idle end takes the end away, unless it is not later than the
    /// one on record. Does not count as a revision, and skips records that are gone or were found expired. Returns how
    /// many were written.
    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError>;

    /// Erases the sealed pairs of rotations that happened before `before`, and of those from
    /// [`Rotation::closed_from`] on, which a clock that was ahead has dated: of at most `most` records. Says how many
    /// it erased; fewer than `most` means that none is left. Does not count as a revision.
    ///
    /// To be called soon after the refresh window has closed: until then a copy of the store and a spent token still
    /// yield the pair that is in force.
    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError>;

    /// Removes what ended before `before`: at most `most` records, with their spent tokens, and at most `most` tickets
    /// that expired. A store that keeps other things that expire may remove them along, within the same bound.
    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError>;

    /// Counts live sessions by kind, and ended ones that are not swept yet.
    async fn census(&self, now: Timestamp) -> Result<Census, StoreError>;

    /// Whether the store can serve right now.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// A concurrency limit, for `insert`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct InsertLimit {
    /// At most this many live records of the subject and kind, the new one included.
    pub most: u32,
    /// What happens otherwise.
    pub at_limit: AtLimit,
}

/// The record that an insertion puts an end to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// Which.
    pub id: SessionId,
    /// As it was at this revision; `None` for however it is, or for one that may be gone.
    pub expected: Option<Revision>,
}

impl Replaces {
    /// This record, however it is, if it is there.
    #[must_use]
    pub const fn any(id: SessionId) -> Self {
        Self { id, expected: None }
    }

    /// This record as it is.
    #[must_use]
    pub const fn exactly(record: &Record) -> Self {
        Self { id: record.id, expected: Some(record.revision) }
    }
}

/// What became of an insertion.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Insert {
    /// It is in.
    Done {
        /// The record that it replaced, if there was one.
        replaced: Option<Gone>,
        /// Those that made room for it.
        evicted: Vec<Gone>,
        /// Whether others of its subject were marked as ended, so that they do not count.
        marked: bool,
    },
    /// Its id or its token hash exists already.
    Exists,
    /// The limit is reached and refuses.
    Refused,
    /// The record to replace is gone, or no longer as it was expected to be.
    Conflict,
}

/// How a record is looked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// By its session token.
    Token(TokenKey),
    /// By its public handle.
    Id(Slot, SessionId),
    /// By a refresh token of its family, current or spent.
    Refresh(TokenKey),
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Update {
    /// It was made; the record as it is now.
    Done(Arc<Record>),
    /// Somebody else was first.
    Conflict,
    /// There is no such record.
    Missing,
}

/// A request to exchange a refresh token.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// What the client presented.
    pub presented: TokenKey,
    /// What it gets instead.
    pub next: NextPair,
    /// The end of the new session token, before the absolute limit cuts it.
    pub token_expires_at: Timestamp,
    /// The activity that this exchange counts as.
    pub activity: Activity,
    /// Which client asks.
    pub client: Option<Fingerprint>,
    /// How long the pair may be asked for again; at most [`Self::LONGEST_WINDOW`].
    pub window: Duration,
    /// When.
    pub now: Timestamp,
}

impl Rotation {
    /// How many spent tokens of a family are remembered at least.
    pub const SPENT_KEPT: usize = 1024;

    /// The longest window that there is.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(60);

    /// From when on a rotation is too far ahead for any window, where those before `before` are too long ago: the
    /// window is a distance, so it lies around the present, and `before` is at its one end.
    #[must_use]
    pub fn closed_from(before: Timestamp) -> Timestamp {
        before.plus(2 * Self::LONGEST_WINDOW)
    }
}

/// The pair that a rotation brings in.
#[derive(Clone, Debug)]
pub struct NextPair {
    /// Hash of the new session token.
    pub token: TokenHash,
    /// Hash of the new refresh token.
    pub refresh: TokenHash,
    /// Both texts, sealed under the presented token.
    pub sealed: Box<[u8]>,
}

/// What became of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rotate {
    /// The new pair is in force. `previous` is the hash of the session token that it replaced.
    Done {
        /// The record as it is now.
        record: Arc<Record>,
        /// The session token's hash before.
        previous: TokenHash,
    },
    /// The presented token is the one before, inside the window: this is the sealed pair that replaced it.
    Repeat {
        /// The record.
        record: Arc<Record>,
        /// The pair, for whoever holds the presented token.
        sealed_pair: Box<[u8]>,
    },
    /// The presented token was spent before. The family is gone; this was it.
    Reuse(Vec<Gone>),
    /// The session passed a limit.
    Expired(Arc<Record>, Limit),
    /// Nobody knows the token.
    Unknown,
}

/// What became of a deposit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Deposit {
    /// It is in.
    Done,
    /// Its key exists already for this purpose and can still be taken; nothing changed.
    Exists,
    /// There are too many of this purpose.
    Full,
}

/// Which sessions to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This one.
    One(Slot, SessionId),
    /// All of the subject but this one.
    Others {
        /// Whose.
        subject: Subject,
        /// Where the subject's records are.
        slot: Slot,
        /// The one to leave.
        keep: SessionId,
    },
    /// All of the subject.
    All {
        /// Whose.
        subject: Subject,
        /// Where the subject's records are.
        slot: Slot,
    },
    /// Every session of a lineage.
    Family(Slot, FamilyId),
}

/// What is left to say of a record that was ended: enough for caches and the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its handle.
    pub id: SessionId,
    /// Where it was.
    pub slot: Slot,
    /// Its lineage.
    pub family: FamilyId,
    /// What its token hashed to.
    pub token: TokenHash,
    /// Its kind.
    pub kind: KindName,
    /// Whose it was.
    pub subject: Option<Subject>,
}

impl Gone {
    /// What is left of `record`.
    #[must_use]
    pub fn from_record(record: &Record) -> Self {
        Self {
            id: record.id,
            slot: record.slot,
            family: record.family,
            token: record.token,
            kind: record.kind.clone(),
            subject: record.subject.clone(),
        }
    }
}

/// A page of records to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Whose; `None` lists everybody's.
    pub subject: Option<(Slot, Subject)>,
    /// The cursor of the page before, as that page gave it; an unreadable one starts over.
    pub after: Option<Box<str>>,
    /// At most this many, 1 to 1000.
    pub most: u32,
}

/// A page of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The records. Those that cannot be read are left out and reported to the log.
    pub records: Vec<Arc<Record>>,
    /// The cursor of the next page, if there may be one.
    pub next: Option<Box<str>>,
}

/// One activity to write down.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Which session.
    pub id: SessionId,
    /// Where it is.
    pub slot: Slot,
    /// The activity.
    pub activity: Activity,
}

/// What a sweep removed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct Swept {
    /// Records.
    pub records: u32,
    /// Tickets.
    pub tickets: u32,
    /// Whether more may be left to remove.
    pub more: bool,
}

/// How many sessions there are.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Census {
    /// Live ones, by kind, in alphabetical order.
    pub live: Vec<(KindName, u64)>,
    /// Ended ones that are not swept yet.
    pub ended: u64,
}
