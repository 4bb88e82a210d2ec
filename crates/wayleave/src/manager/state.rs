//! The store and what memory holds of it, changed together: one change of a slot at a time, each carried to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, Semaphore};
use tokio::time::Instant;
use tracing::Instrument as _;
use wayleave_core::id::Slot;
use wayleave_core::ports::{Clock, Gone, Lookup, SessionStore, StoreError};
use wayleave_core::record::{Activity, Record};
use wayleave_core::time::Timestamp;
use wayleave_core::token::TokenHash;

use super::live::{Key, Live, Short};
use super::validate::later;
use super::{Origin, Shown};
use crate::activity::Pending;
use crate::cluster::{Cluster, Told};
use crate::coherent::{Before, Coherent};
use crate::events::{Drift, Event, Subscribers, What};

/// How many changes can go on at once, at most.
const TURNS: usize = 256;
/// How many changes can be under way, those included that wait for their turn, at most. One more is refused: a store
/// that hangs must not fill the memory with whoever waits for it.
const UNDER_WAY: usize = 10_000;

pub(super) struct State {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) clock: Arc<dyn Clock>,
    /// The other nodes, if there may be some.
    pub(super) cluster: Option<Arc<Cluster>>,
    pub(super) warm: Coherent<Short, Arc<Live>>,
    pub(super) pending: Pending,
    pub(super) subscribers: Subscribers,
    /// When tokens made way for others in the same client.
    pub(super) replaced: Cache<TokenHash, Timestamp>,
    turns: [Mutex<()>; TURNS],
    under_way: Arc<Semaphore>,
    /// Slots of which a change was not answered, until the store has given up whatever it was asked.
    doubtful: parking_lot::Mutex<BTreeMap<Slot, Instant>>,
}

/// How long a store may go on with what it did not answer.
const LATE: Duration = Duration::from_secs(30);

/// A record as the store had it.
pub(super) struct Found {
    pub(super) record: Arc<Record>,
    /// The activity that waited to be written before.
    noted: Option<Activity>,
}

impl From<Arc<Record>> for Found {
    /// What is known already, without asking the store.
    fn from(record: Arc<Record>) -> Self {
        Self { record, noted: None }
    }
}

/// A change that was made.
pub(super) struct Made<T> {
    pub(super) outcome: T,
    /// The slots whose sessions other nodes must ask the store about again.
    pub(super) stale: Vec<Slot>,
}

impl<T> Made<T> {
    /// A change that no other node can hold anything of.
    pub(super) const fn quietly(outcome: T) -> Self {
        Self { outcome, stale: Vec::new() }
    }
}

/// How the other nodes hear of a change.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Before anybody is told that it was made. It is not begun while they cannot hear of it.
    First,
    /// When they can: for what each of them finds out by itself, too.
    Later,
}

/// Too many changes are under way already.
#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("too many changes wait for the store")]
struct Crowded;

/// A change was given up before the other nodes stop expecting something of it.
#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("the store took too long for a change")]
struct TooLong;

async fn in_time<T>(longest: Duration, change: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(longest, change).await {
        Ok(made) => made,
        Err(_) => Err(StoreError::unavailable(TooLong)),
    }
}

impl State {
    pub(super) fn new(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        cluster: Option<Arc<Cluster>>,
        warm: Coherent<Short, Arc<Live>>,
        pending: Pending,
        replaced: Cache<TokenHash, Timestamp>,
    ) -> Self {
        let turns = std::array::from_fn(|_| Mutex::new(()));
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
        let (subscribers, doubtful) = (Subscribers::default(), parking_lot::Mutex::default());
        Self { store, clock, cluster, warm, pending, subscribers, replaced, turns, under_way, doubtful }
    }

    /// Carries out `change`, which calls the store and then drops from memory what that made stale.
    ///
    /// It runs to its end although the caller be dropped on the way: a client that hangs up during its sign-out must
    /// not leave a session in memory that the store has ended. It waits for other changes of its slots: whoever ends a
    /// session must find memory as the changes before it left it. And when it fails, nothing of its slots stays in
    /// memory, because what was not answered may have happened all the same. The other nodes are told of it after the
    /// turn, as `notice` says.
    ///
    /// # Errors
    /// That of `change`; [`StoreError::Unavailable`] when too many are under way or the other nodes cannot be told;
    /// nothing was begun then. The same when they could not be told afterwards.
    pub(super) async fn settle<T, F>(
        self: &Arc<Self>,
        slots: [Slot; 2],
        notice: Notice,
        change: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Made<T>, StoreError>> + Send + 'static,
    {
        let permit = Arc::clone(&self.under_way).try_acquire_owned().map_err(|_| StoreError::unavailable(Crowded))?;
        let state = Arc::clone(self);
        let change = change(Arc::clone(self));
        let whole = async move {
            let _permit = permit;
            if let (Some(cluster), Notice::First) = (&state.cluster, notice) {
                cluster.may_change().await?;
            }
            let turn = state.turn(slots).await;
            if let (Some(cluster), Notice::First) = (&state.cluster, notice) {
                // Those before it may have taken long.
                cluster.may_change_now()?;
            }
            let made = match &state.cluster {
                Some(cluster) => in_time(cluster.longest_change(), change).await,
                None => change.await,
            };
            if made.is_err() {
                state.doubt(slots);
                state.mention(slots);
                state.doubt_later(slots);
            }
            drop(turn);
            let Made { outcome, stale } = made?;
            if let Some(cluster) = &state.cluster
                && !stale.is_empty()
            {
                let told = Told::Sessions(&stale);
                match notice {
                    Notice::First => cluster.tell(told).await?,
                    Notice::Later => cluster.mention(told),
                }
            }
            Ok(outcome)
        };
        match Handle::try_current() {
            Ok(runtime) => match runtime.spawn(whole.in_current_span()).await {
                Ok(result) => result,
                Err(lost) => {
                    self.doubt(slots);
                    self.mention(slots);
                    Err(StoreError::unavailable(lost))
                }
            },
            Err(_) => whole.await,
        }
    }

    async fn turn(&self, [one, other]: [Slot; 2]) -> [Option<MutexGuard<'_, ()>>; 2] {
        let place = |slot: Slot| usize::from(slot.0) % TURNS;
        // The lower one first, always, so that no two changes wait for each other.
        let (low, high) = (place(one).min(place(other)), place(one).max(place(other)));
        let low_turn = match self.turns.get(low) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let high_turn = match self.turns.get(high) {
            Some(turn) if high != low => Some(turn.lock().await),
            Some(_) | None => None,
        };
        [low_turn, high_turn]
    }

    /// Lets the other nodes know that something may have happened.
    fn mention(&self, slots: [Slot; 2]) {
        if let Some(cluster) = &self.cluster {
            cluster.mention(Told::Sessions(&slots));
        }
    }

    /// Whether memory may answer: whether this node would have heard of what others did.
    pub(super) fn may_answer(&self) -> bool {
        self.cluster.as_ref().is_none_or(|cluster| cluster.is_leased())
    }

    /// Drops every session of the slots from memory.
    pub(super) fn doubt(&self, slots: [Slot; 2]) {
        slots.into_iter().for_each(|slot| self.warm.forget_slot(slot));
    }

    /// Notes that the store may still carry out a change of these slots that it did not answer.
    fn doubt_later(&self, slots: [Slot; 2]) {
        let due = Instant::now() + LATE;
        self.doubtful.lock().extend(slots.map(|slot| (slot, due)));
    }

    /// Drops from memory, here and on the other nodes, what the store may have carried out late.
    pub(super) fn doubt_again(&self) {
        let now = Instant::now();
        let due: Vec<_> = self.doubtful.lock().extract_if(.., |_, due| *due <= now).map(|(slot, _)| slot).collect();
        for slot in due {
            self.doubt([slot; 2]);
            self.mention([slot; 2]);
        }
    }

    /// The record behind a lookup, and what waited to be written of its activity before the store was asked: what is
    /// written down meanwhile waits no more, and may not be in what the store has read.
    pub(super) async fn find(&self, slot: Slot, lookup: Lookup) -> Result<Option<Found>, StoreError> {
        let waiting = self.pending.of_slot(slot);
        let record = self.store.find(lookup).await?;
        Ok(record.map(|record| {
            let noted = waiting.iter().find(|touch| touch.id == record.id).map(|touch| touch.activity);
            Found { record, noted }
        }))
    }

    /// The latest activity that is known of a record.
    pub(super) fn latest(&self, found: &Found) -> Activity {
        let latest = self.pending.latest(&found.record);
        found.noted.map_or(latest, |noted| later(latest, noted))
    }

    /// Writes down what is known of the activity of a slot's sessions.
    pub(super) async fn write_down(&self, slot: Slot) -> Result<(), StoreError> {
        let waiting = self.pending.of_slot(slot);
        if !waiting.is_empty() {
            self.store.touch(&waiting).await?;
            self.pending.written(&waiting);
        }
        Ok(())
    }

    /// Drops what memory holds of a session that is gone.
    pub(super) fn forget(&self, gone: &Gone) {
        self.drop_warm(gone.slot, [Key::Token(gone.token), Key::Id(gone.id)]);
        self.pending.forget(gone.slot, gone.id);
    }

    /// As [`Self::forget`], by the change whose outcome `own` is waiting to keep.
    pub(super) fn forget_by(&self, own: &mut Before, gone: &Gone) {
        self.drop_warm_by(own, gone.slot, [Key::Token(gone.token), Key::Id(gone.id)]);
        self.pending.forget(gone.slot, gone.id);
    }

    /// Drops a session of which the store says that these keys lead to it. Where there are other nodes, its whole slot
    /// goes: one of them may have rotated it, and memory still hold it under a token that the store knows no more.
    pub(super) fn drop_warm(&self, slot: Slot, keys: [Key; 2]) {
        match self.cluster {
            Some(_) => self.warm.forget_slot(slot),
            None => self.warm.forget(slot, keys.map(Short::from)),
        }
    }

    /// As [`Self::drop_warm`], by the change whose outcome `own` is waiting to keep.
    pub(super) fn drop_warm_by(&self, own: &mut Before, slot: Slot, keys: [Key; 2]) {
        match self.cluster {
            Some(_) => self.warm.forget_slot_by(own, slot),
            None => self.warm.forget_by(own, slot, keys.map(Short::from)),
        }
    }

    pub(super) fn publish(&self, what: What, record: Option<&Record>, origin: &Origin) {
        self.publish_with(what, record, origin, None);
    }

    /// As [`Self::publish`], of something that the client of a request brought about by not being that of the record.
    pub(super) fn publish_drift(&self, what: What, record: &Record, shown: &Shown) {
        let drift = record.client.fingerprint.map(|held| Drift { held, shown: shown.fingerprint });
        self.publish_with(what, Some(record), &shown.origin, drift);
    }

    fn publish_with(&self, what: What, record: Option<&Record>, origin: &Origin, drift: Option<Drift>) {
        self.subscribers.publish(Event {
            what,
            at: self.clock.now(),
            session: record.map(|record| record.id),
            family: record.map(|record| record.family),
            kind: record.map(|record| record.kind.clone()),
            subject: record.and_then(|record| record.subject.clone()),
            origin: origin.clone(),
            drift,
        });
    }

    /// Tells that `record` did not come to be.
    pub(super) fn publish_refused(&self, record: &Record, origin: &Origin) {
        self.subscribers.publish(Event {
            what: What::LimitRefused,
            at: self.clock.now(),
            session: None,
            family: None,
            kind: Some(record.kind.clone()),
            subject: record.subject.clone(),
            origin: origin.clone(),
            drift: None,
        });
    }

    pub(super) fn publish_gone(&self, what: What, gone: &Gone, origin: &Origin) {
        self.subscribers.publish(Event {
            what,
            at: self.clock.now(),
            session: Some(gone.id),
            family: Some(gone.family),
            kind: Some(gone.kind.clone()),
            subject: gone.subject.clone(),
            origin: origin.clone(),
            drift: None,
        });
    }
}
