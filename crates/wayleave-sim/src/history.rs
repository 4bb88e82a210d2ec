//! All that happened in a run: what clients asked and were answered, what the store and the directory then held, what
//! went wrong, and what the clocks showed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wayleave::core::decide::Standing;
use wayleave::core::id::{FamilyId, SessionId};
use wayleave::core::record::{Limit, Record};
use wayleave::core::subject::Subject;
use wayleave::core::token::TokenHash;
use wayleave_testkit::StoreVerb;

use crate::clocks::{Shown, WallClock};
use crate::plan::Plan;

mod recorder;
mod text;

pub(crate) use recorder::Recorder;

/// A point in a run. Many can lie at the same time, but none at the same place in the order.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The place among all that happened.
    pub order: u64,
    /// The time since the start.
    pub at: Duration,
}

/// One process: the place that it runs at, and how many ran there before.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// The place.
    pub place: usize,
    /// The first is 0.
    pub life: u32,
}

/// An access token, as a history knows it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// Different for different tokens.
    pub number: usize,
    /// What an opaque one hashes to; none for a JWT.
    pub hash: Option<TokenHash>,
    /// Its session.
    pub session: SessionId,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A sign-in.
    Open {
        /// Whose.
        subject: Subject,
        /// Of which kind.
        kind: &'static str,
        /// The subject's epoch as the proof had it.
        epoch: u64,
    },
    /// A validation.
    Validate {
        /// Of this.
        access: Access,
        /// Whether it counts as activity.
        active: bool,
    },
    /// An exchange of a refresh token.
    Refresh {
        /// Of this.
        token: TokenHash,
        /// Its session, when it was got.
        session: SessionId,
    },
    /// An extension, after a validation on the same node.
    Extend(Access),
    /// A fresh proof, after a validation on the same node.
    Reauthenticate(Access),
    /// The end of one session by its handle.
    EndOne(SessionId),
    /// The same, by its owner.
    EndOwn(SessionId),
    /// The end of a session's lineage, after a validation on the same node.
    SignOut(Access),
    /// The end of the lineage that a refresh token belongs to.
    RevokeRefresh {
        /// The token.
        token: TokenHash,
        /// Its session, when it was got.
        session: SessionId,
    },
    /// The end of all sessions of a subject but one.
    EndOthers {
        /// Whose.
        subject: Subject,
        /// The one that stays.
        keep: SessionId,
    },
    /// The end of all sessions of a subject.
    EndAll(Subject),
    /// A change of how a subject stands, by `may_change`, the directory, and `subject_changed`.
    Stand {
        /// Who.
        subject: Subject,
        /// How.
        change: StandingChange,
    },
    /// Something to be taken once is put down.
    Deposit(u64),
    /// It is taken.
    Take(u64),
}

/// A change of how a subject stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum StandingChange {
    /// It may have no sessions.
    Disable,
    /// It may again.
    Enable,
    /// All that was opened before must end.
    Supersede,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A session, by a sign-in or a fresh proof.
    Opened {
        /// Its first token.
        access: Access,
        /// Its refresh token.
        refresh: Option<TokenHash>,
        /// Those that made room.
        evicted: Vec<SessionId>,
    },
    /// The session is good.
    Valid,
    /// It passed a limit.
    Expired(Limit),
    /// It is not good.
    Invalid,
    /// There is a new pair, or the same again.
    Refreshed {
        /// Whether it was answered before.
        repeated: bool,
        /// The access token.
        access: Access,
        /// The refresh token.
        refresh: TokenHash,
    },
    /// The refresh token had been used.
    Reused,
    /// What was asked for was done, and ended these.
    Done(Vec<SessionId>),
    /// There is no such session of this owner.
    NotFound,
    /// The session validated, and then could not be changed.
    Gone,
    /// The subject may not, or has too many.
    Refused,
    /// It was there and is taken.
    Taken,
    /// It was not there.
    NotTaken,
    /// It failed; nobody knows what happened.
    Failed(String),
    /// No answer came: the node died, or the client lost its patience.
    Lost,
}

/// One thing that a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who. One more than there are looks at the end whether all works again, and another one at all that there was.
    pub client: usize,
    /// Where.
    pub process: Process,
    /// What.
    pub act: Act,
    /// When it was asked for.
    pub began: Moment,
    /// When it was answered; the end of the run, where it was not.
    pub ended: Moment,
    /// The answer.
    pub outcome: Outcome,
}

/// Something that changed in the store, as it was seen through the plain store right after a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub moment: Moment,
    /// By whose call.
    pub process: Process,
    /// By which call.
    pub verb: StoreVerb,
    /// What.
    pub what: Changed,
}

/// What changed in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A record came in, beside so many others of the same subject and kind that had not ended by its own clock.
    Created(Arc<Record>, usize),
    /// A record went.
    Gone(Arc<Record>),
    /// A record got new tokens.
    Rotated {
        /// As it was.
        before: Arc<Record>,
        /// As it is.
        after: Arc<Record>,
    },
    /// A record was found expired.
    FoundExpired(Arc<Record>),
}

/// How a subject stood from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stood {
    /// When.
    pub moment: Moment,
    /// Through which process it was changed.
    pub process: Process,
    /// Who.
    pub subject: Subject,
    /// How.
    pub standing: Standing,
}

/// Something that went wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Where.
    pub place: usize,
    /// What.
    pub what: Trouble,
    /// From when.
    pub began: Moment,
    /// Until when; the end of the run, while it lasts.
    pub ended: Moment,
}

/// What can go wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The bus cannot be reached: its way there, its way back, or both.
    Bus(Direction, Cut),
    /// The store cannot be reached.
    Store(Cut),
    /// Everything takes up to so long.
    Slow(Duration),
    /// What is said on the bus arrives here up to so much later.
    Late(Duration),
    /// So many of 100 answers of the store get lost.
    AnswersLost(u64),
    /// So many of 100 confirmations of the bus get lost.
    ConfirmationsLost(u64),
    /// The process stands still.
    Still,
    /// It is killed, and another one is started at the end.
    Crash,
    /// It gets slow answers from the store, is told to stop, and another one is started at the end.
    Leave,
    /// The wall clock shows so many milliseconds more.
    Jump(i64),
    /// The next messages do not arrive.
    Lose(u32),
    /// Messages get lost, come twice and overtake each other.
    Disorder,
}

/// Which of the ways between a node and the bus.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What it says.
    There,
    /// What it hears.
    Back,
    /// Both.
    Both,
}

/// How something cannot be reached.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Who tries is told so.
    Refused,
    /// Nobody is told anything.
    Silent,
}

/// A whole run.
#[derive(Debug)]
pub struct History {
    /// What the run was like.
    pub plan: Plan,
    /// In the order in which they began.
    pub operations: Vec<Operation>,
    /// In order.
    pub changes: Vec<Change>,
    /// In order.
    pub standings: Vec<Stood>,
    /// In the order in which they began.
    pub disturbances: Vec<Disturbance>,
    /// What the store held at the end.
    pub left: Vec<Arc<Record>>,
    /// Whether every node could answer from memory and be heard at the end.
    pub recovered: Vec<bool>,
    pub(crate) clocks: Vec<Arc<WallClock>>,
    pub(crate) names: Names,
}

impl History {
    /// What the clock of a place showed between two moments.
    #[must_use]
    pub fn shown(&self, place: usize, from: Moment, to: Moment) -> Shown {
        let clock = self.clocks.get(place).map(|clock| clock.shown(from.at, to.at));
        // There is a clock at every place.
        clock.unwrap_or(Shown {
            earliest: wayleave::core::time::Timestamp::MIN,
            latest: wayleave::core::time::Timestamp::MAX,
        })
    }

    /// What the clocks of all places showed between two moments.
    #[must_use]
    pub fn shown_anywhere(&self, from: Moment, to: Moment) -> Shown {
        let all = (0..self.clocks.len()).map(|place| self.shown(place, from, to));
        all.reduce(Shown::and).unwrap_or_else(|| self.shown(0, from, to))
    }

    /// What the clock showed where and while an operation was under way.
    #[must_use]
    pub fn during(&self, operation: &Operation) -> Shown {
        self.shown(operation.process.place, operation.began, operation.ended)
    }

    /// The record that came in under this handle, and when.
    #[must_use]
    pub fn created(&self, session: SessionId) -> Option<(Moment, &Arc<Record>)> {
        self.changes.iter().find_map(|change| match &change.what {
            Changed::Created(record, _) if record.id == session => Some((change.moment, record)),
            Changed::Created(..) | Changed::Gone(_) | Changed::Rotated { .. } | Changed::FoundExpired(_) => None,
        })
    }

    /// When the record went, and how.
    #[must_use]
    pub fn gone(&self, session: SessionId) -> Option<&Change> {
        self.changes.iter().find(|change| matches!(&change.what, Changed::Gone(record) if record.id == session))
    }

    /// The lineage of a session.
    #[must_use]
    pub fn family(&self, session: SessionId) -> Option<FamilyId> {
        self.created(session).map(|(_, record)| record.family)
    }

    /// The moment at which a place was disturbed in any way of `which` within some time.
    pub fn disturbed(&self, place: usize, from: Duration, to: Duration, which: impl Fn(&Trouble) -> bool) -> bool {
        let mut all = self.disturbances.iter().filter(|one| one.place == place && which(&one.what));
        all.any(|one| one.began.at <= to && one.ended.at >= from)
    }
}

/// Short names for what has long ones, in the order in which it was first named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    sessions: BTreeMap<SessionId, usize>,
    refreshes: BTreeMap<TokenHash, usize>,
    accesses: BTreeMap<String, usize>,
}

impl Names {
    fn number<K: Ord>(map: &mut BTreeMap<K, usize>, key: K) -> usize {
        let next = map.len() + 1;
        *map.entry(key).or_insert(next)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}.{}", self.place, self.life)
    }
}
