//! Several nodes over one store: each keeps sessions in memory, and none goes on with what another has ended.
//!
//! Every node tells the others over a [`Bus`] which slots it changed, and says at short intervals that it lives. All
//! hear all messages in one order, their own included, and that is what leases rest on:
//!
//! - A node answers from memory only while it holds a **lease**: until some time after it *sent* the last message of its
//!   own that it has heard back. What came before that message on the bus, it has heard and acted on. When its own
//!   messages stop coming back, for whatever reason, the store answers instead.
//! - A node that could not speak for that long **changes nothing** any more. Those who hear nothing of a node for that
//!   long forget what they hold: it may have changed something before it fell silent. They forget once more when whatever
//!   it had begun then must have ended, also when it said goodbye: a change may have been under way. And so they do that
//!   long after they began to listen: somebody may have fallen silent before they could hear it.
//! - A **gap** in a node's sequence of messages, or a lost connection, makes who notices it forget everything, and read
//!   again what the nodes have in common: settings and signing keys.
//! - In **strict** mode a change returns when everybody who may hold a lease has acknowledged it, or when every lease
//!   that was given before it has run out. Then nowhere does an ended session validate any more.
//!
//! Leases go by [`Uptime`], never by the clock. Messages carry a MAC, so that who can merely write to the bus can delay
//! nodes, and not deceive them.

mod message;
mod peers;
mod run;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use wayleave_core::id::Slot;
use wayleave_core::ports::{Bus, Entropy, EntropyFailure, StoreError, Uptime};

pub use message::BusKey;

use message::{Message, News, NodeId, Nonce, Unread};
use peers::{Heard, Order, Peers};

/// How nodes time what they say.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two signs of life, at most. A third of the lease or less.
    pub beat: Duration,
    /// How long a node may answer from memory after it sent a message that came back. The same on every node; while it is
    /// being changed, the longest that was heard of is what is waited for.
    pub lease: Duration,
    /// The longest that the store may be busy with a change before it gives it up. A change that takes half of it is
    /// given up here; what a store was asked last must end within the other half.
    pub write: Duration,
}

impl Default for Timing {
    /// A sign of life every 500 ms, leases of 2 s, changes of at most 30 s.
    fn default() -> Self {
        Self { beat: Duration::from_millis(500), lease: Duration::from_secs(2), write: Duration::from_secs(30) }
    }
}

impl Timing {
    /// After which silence nobody relies on a node any more, nor it on being heard: so early that whoever looks once
    /// per beat has looked before the leases of that time are over.
    fn silence(self) -> Duration {
        self.lease.saturating_sub(self.beat)
    }

    /// The same, where others may have a lease of this length.
    fn for_lease(self, lease: Duration) -> Self {
        Self { lease: self.lease.max(lease), ..self }
    }

    /// When a lease is over on any machine, by ours.
    fn surely_over(self) -> Duration {
        surely(self.lease)
    }

    /// After which silence all that a node had begun before has ended.
    fn nothing_left(self) -> Duration {
        surely(self.silence() + self.write)
    }
}

/// When as much time has passed on any machine, by ours: their clocks may go a fiftieth slower.
fn surely(time: Duration) -> Duration {
    time + time / 50 + Duration::from_millis(10)
}

/// When a change returns.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Coherence {
    /// When the bus has it. The others act on it as soon as they hear of it; while they do not, their leases run out.
    #[default]
    Prompt,
    /// When every node has acted on it, or its lease has run out.
    Strict,
}

/// What a cluster is made of.
pub struct ClusterParts {
    /// What carries messages between nodes.
    pub bus: Arc<dyn Bus>,
    /// What they are authenticated with.
    pub key: BusKey,
    /// What leases go by.
    pub uptime: Arc<dyn Uptime>,
    /// What a node's identity and the nonces of its messages are drawn from.
    pub entropy: Arc<dyn Entropy>,
    /// How nodes time what they say.
    pub timing: Timing,
    /// When a change returns.
    pub coherence: Coherence,
}

/// This process as one of several nodes.
pub struct Cluster {
    bus: Arc<dyn Bus>,
    key: BusKey,
    uptime: Arc<dyn Uptime>,
    timing: Timing,
    coherence: Coherence,
    entropy: Arc<dyn Entropy>,
    /// In milliseconds of uptime; 0 without a lease.
    lease_until: AtomicU64,
    state: Mutex<State>,
    /// There is something to say.
    news: Notify,
    /// It was said.
    spoke: Notify,
    settings: watch::Sender<u64>,
}

struct State {
    me: NodeId,
    /// Whether a change was ever allowed to begin.
    changed: bool,
    /// The last message that was begun.
    sequence: u64,
    /// What the next one says, and who waits for that.
    draft: News,
    waiting: Vec<oneshot::Sender<Said>>,
    /// Those that have not come back yet.
    sent: VecDeque<Sent>,
    /// The last of ours that came back.
    own: u64,
    /// When the last message was sent that the bus has confirmed.
    spoke_at: Option<Duration>,
    listening_since: Option<Duration>,
    /// When something of ours last came back on this connection.
    echoed_at: Duration,
    peers: Peers,
    /// Who waits until everybody has acted on a message of ours.
    strict: BTreeMap<u64, Vec<oneshot::Sender<()>>>,
    counts: Counts,
}

/// A message of ours.
#[derive(Copy, Clone)]
struct Sent {
    sequence: u64,
    at: Duration,
    nonce: Nonce,
}

/// A message was handed to the bus.
#[derive(Copy, Clone, Debug)]
struct Said {
    sequence: u64,
    at: Duration,
}

/// What happened on the bus so far.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that the bus has confirmed.
    pub published: u64,
    /// Messages of others that were acted on.
    pub heard: u64,
    /// How often something was missed and everything forgotten.
    pub gaps: u64,
    /// How often the connection was lost or could not be made.
    pub lost: u64,
    /// Messages that were not ours, or of another version.
    pub foreign: u64,
}

/// How a node stands.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Whether it answers from memory.
    pub leased: bool,
    /// Whether others hear of its changes, so that it may make some.
    pub audible: bool,
    /// How many others it hears.
    pub peers: usize,
    /// What happened so far.
    pub counts: Counts,
}

/// The others cannot be told.
#[derive(Copy, Clone, Debug, thiserror::Error)]
enum Unheard {
    #[error("the bus does not answer, so nothing may be changed")]
    Before,
    #[error("the bus did not confirm that the others were told")]
    After,
}

/// What must be dropped or read again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) sessions: BTreeSet<Slot>,
    pub(crate) subjects: BTreeSet<Slot>,
    pub(crate) everything: bool,
    pub(crate) settings: bool,
}

impl Stale {
    const EVERYTHING: Self =
        Self { sessions: BTreeSet::new(), subjects: BTreeSet::new(), everything: true, settings: true };
}

/// What was changed, for the others to hear.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told<'a> {
    /// Sessions of these slots.
    Sessions(&'a [Slot]),
    /// How the subjects of a slot stand.
    Subject(Slot),
    /// Settings or signing keys.
    Settings,
    /// Anything.
    Everything,
}

impl Told<'_> {
    fn news(self) -> News {
        match self {
            Self::Sessions(slots) => News { sessions: slots.iter().copied().collect(), ..News::default() },
            Self::Subject(slot) => News { subjects: BTreeSet::from([slot]), ..News::default() },
            Self::Settings => News { settings: true, ..News::default() },
            Self::Everything => News { everything: true, ..News::default() },
        }
    }
}

impl Cluster {
    /// A node with an identity of its own. It neither speaks nor listens before its manager runs in the background.
    ///
    /// # Errors
    /// [`EntropyFailure`].
    pub fn new(parts: ClusterParts) -> Result<Self, EntropyFailure> {
        let ClusterParts { bus, key, uptime, entropy, timing, coherence } = parts;
        let state = State {
            me: NodeId(random(&*entropy)?),
            changed: false,
            sequence: 0,
            draft: News::default(),
            waiting: Vec::new(),
            sent: VecDeque::new(),
            own: 0,
            spoke_at: None,
            listening_since: None,
            echoed_at: Duration::ZERO,
            peers: Peers::default(),
            strict: BTreeMap::new(),
            counts: Counts::default(),
        };
        Ok(Self {
            bus,
            key,
            uptime,
            timing,
            coherence,
            entropy,
            lease_until: AtomicU64::new(0),
            state: Mutex::new(state),
            news: Notify::new(),
            spoke: Notify::new(),
            settings: watch::Sender::new(0),
        })
    }

    /// How this node stands.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        let state = self.state.lock();
        ClusterStatus {
            leased: self.is_leased(),
            audible: self.is_audible(&state),
            peers: state.peers.live(),
            counts: state.counts,
        }
    }

    /// Changes whenever settings or signing keys that all nodes share may have changed elsewhere.
    #[must_use]
    pub fn settings(&self) -> watch::Receiver<u64> {
        self.settings.subscribe()
    }

    /// Whether memory may answer.
    pub(crate) fn is_leased(&self) -> bool {
        millis(self.uptime.uptime()) < self.lease_until.load(Ordering::Acquire)
    }

    fn is_audible(&self, state: &State) -> bool {
        state.spoke_at.is_some_and(|at| self.uptime.uptime().saturating_sub(at) < self.timing.silence())
    }

    /// To be called before a change is begun: waits a while until the others can hear of it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when they cannot; nothing may be changed then.
    pub(crate) async fn may_change(&self) -> Result<(), StoreError> {
        if self.may_change_now().is_ok() {
            return Ok(());
        }
        let audible = async {
            loop {
                let spoke = self.spoke.notified();
                if self.may_change_now().is_ok() {
                    return;
                }
                spoke.await;
            }
        };
        let waited = tokio::time::timeout(self.timing.lease, audible).await;
        waited.map_err(|_| StoreError::unavailable(Unheard::Before))
    }

    /// Whether the others can hear of a change that is begun now: to be asked last, after whatever else had to be waited
    /// for.
    ///
    /// # Errors
    /// As [`Self::may_change`].
    pub(crate) fn may_change_now(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if !self.is_audible(&state) {
            return Err(StoreError::unavailable(Unheard::Before));
        }
        state.changed = true;
        Ok(())
    }

    /// How long a change may take.
    pub(crate) fn longest_change(&self) -> Duration {
        self.timing.write / 2
    }

    /// Tells the others what was changed, and waits as long as [`Coherence`] says.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the bus does not confirm it in time. It goes on trying.
    pub(crate) async fn tell(&self, told: Told<'_>) -> Result<(), StoreError> {
        let (sender, said) = oneshot::channel();
        {
            let mut state = self.state.lock();
            state.draft.add(News { wants_ack: self.coherence == Coherence::Strict, ..told.news() });
            state.waiting.push(sender);
        }
        self.news.notify_one();
        let said = tokio::time::timeout(self.timing.lease, said).await;
        let said = said.ok().and_then(Result::ok).ok_or_else(|| StoreError::unavailable(Unheard::After))?;
        match self.coherence {
            Coherence::Prompt => {}
            Coherence::Strict => self.all_have_acted(said).await,
        }
        Ok(())
    }

    /// As [`Self::tell`], without waiting: for what may have been changed although nobody was told so.
    pub(crate) fn mention(&self, told: Told<'_>) {
        self.state.lock().draft.add(told.news());
        self.news.notify_one();
    }

    /// Waits until nobody holds what was changed before `said`.
    async fn all_have_acted(&self, said: Said) {
        let (sender, acted) = oneshot::channel();
        let now = self.uptime.uptime();
        let over = {
            let mut state = self.state.lock();
            state.strict.entry(said.sequence).or_default().push(sender);
            self.release(&mut state, now);
            said.at + state.peers.timing(self.timing).surely_over()
        };
        // Whoever holds a lease got it by what it sent before the bus had this, or has heard this first.
        let rest = over.saturating_sub(now);
        let _ = tokio::time::timeout(rest, acted).await;
    }

    /// Lets go on who waited for what everybody has acted on.
    fn release(&self, state: &mut State, now: Duration) {
        // Who listened for less than a lease may not have heard of all who hold one.
        let over = state.peers.timing(self.timing).surely_over();
        let knows_all = state.listening_since.is_some_and(|since| now >= since + over);
        if !knows_all {
            return;
        }
        let acted = state.own.min(state.peers.all_acked(now, self.timing));
        let waiting = state.strict.split_off(&acted.saturating_add(1));
        for waiter in std::mem::replace(&mut state.strict, waiting).into_values().flatten() {
            let _ = waiter.send(());
        }
        state.strict.retain(|_, waiters| waiters.iter().any(|waiter| !waiter.is_closed()));
    }

    /// Begins the next message.
    fn compose(&self) -> Result<(Message, Vec<oneshot::Sender<Said>>, Duration), EntropyFailure> {
        let nonce = random(&*self.entropy)?;
        let mut state = self.state.lock();
        let at = self.uptime.uptime();
        state.sequence += 1;
        let (from, sequence) = (state.me, state.sequence);
        if state.sent.len() >= MAX_SENT {
            state.sent.pop_front();
        }
        state.sent.push_back(Sent { sequence, at, nonce });
        let news = std::mem::take(&mut state.draft);
        let message = Message { from, sequence, nonce, lease: self.timing.lease, news };
        Ok((message, std::mem::take(&mut state.waiting), at))
    }

    /// The bus has a message that was sent at `sent`.
    fn confirmed(&self, sequence: u64, sent: Duration, waiting: Vec<oneshot::Sender<Said>>) {
        let at = self.uptime.uptime();
        {
            let mut state = self.state.lock();
            state.spoke_at = state.spoke_at.max(Some(sent));
            state.counts.published += 1;
        }
        self.spoke.notify_waiters();
        for waiter in waiting {
            let _ = waiter.send(Said { sequence, at });
        }
    }

    /// A connection was made. What was said before, nobody here heard.
    fn begin_listening(&self) {
        let mut state = self.state.lock();
        let now = self.uptime.uptime();
        state.listening_since = Some(now);
        state.peers.begin_hearing(now);
        state.echoed_at = now;
        state.sent.clear();
    }

    /// The connection is lost.
    fn stop_listening(&self) {
        let mut state = self.state.lock();
        state.counts.lost += 1;
        self.give_up_lease(&mut state);
    }

    /// Nothing that comes back gives a lease any more.
    fn give_up_lease(&self, state: &mut State) {
        state.listening_since = None;
        self.lease_until.store(0, Ordering::Release);
    }

    /// What follows from a message for memory. To be acted on before [`Self::acted`].
    fn read(&self, bytes: &[u8]) -> (Option<Message>, Stale) {
        let mut state = self.state.lock();
        let message = match Message::from_bytes(bytes, &self.key) {
            Ok(message) => message,
            Err(unread) => {
                state.counts.foreign += 1;
                return match unread {
                    Unread::Foreign => (None, Stale::default()),
                    Unread::OtherVersion => {
                        state.counts.gaps += 1;
                        (None, Stale::EVERYTHING)
                    }
                };
            }
        };
        if message.from == state.me {
            if !state.is_of_another(&message) {
                return (Some(message), Stale::default());
            }
            self.take_another_identity(&mut state);
            return (None, Stale::EVERYTHING);
        }
        let heard = Heard {
            from: message.from,
            sequence: message.sequence,
            bye: message.news.bye,
            harmless: message.news.harmless,
            lease: message.lease,
            acked: message.news.acks.get(&state.me).copied(),
            own: state.own,
            at: self.uptime.uptime(),
        };
        let stale = match state.peers.hear(heard, self.timing) {
            Order::Old => return (None, Stale::default()),
            Order::Gap => {
                state.counts.gaps += 1;
                Stale::EVERYTHING
            }
            Order::Next => Stale {
                sessions: message.news.sessions.clone(),
                subjects: message.news.subjects.clone(),
                everything: message.news.everything,
                settings: message.news.settings || message.news.everything,
            },
        };
        state.counts.heard += 1;
        (Some(message), stale)
    }

    /// Another process speaks under this one's identity: the machine was cloned while it ran. What either of them said,
    /// others may have taken for the other's. They forget everything when they hear a stranger who has spoken before.
    fn take_another_identity(&self, state: &mut State) {
        tracing::error!("another process goes by this node's identity; this one takes another");
        state.counts.gaps += 1;
        state.sent.clear();
        self.lease_until.store(0, Ordering::Release);
        match random(&*self.entropy) {
            Ok(me) => state.me = NodeId(me),
            // Tried again with the next message of the other.
            Err(error) => tracing::error!(%error, "a node's identity cannot be drawn"),
        }
    }

    /// Settings and signing keys may have changed.
    fn doubt_settings(&self) {
        self.settings.send_modify(|version| *version += 1);
    }

    /// Memory has dropped what a message made stale.
    fn acted(&self, message: &Message) {
        let now = self.uptime.uptime();
        let mut state = self.state.lock();
        if message.from == state.me {
            self.echoed(&mut state, message.sequence, now);
        } else if message.news.wants_ack {
            state.draft.add(News { acks: BTreeMap::from([(message.from, message.sequence)]), ..News::default() });
            self.news.notify_one();
        }
        self.release(&mut state, now);
    }

    /// A message of ours came back: everything before it was acted on.
    fn echoed(&self, state: &mut State, sequence: u64, now: Duration) {
        if sequence <= state.own || state.listening_since.is_none() {
            return;
        }
        state.own = sequence;
        state.echoed_at = now;
        while let Some(sent) = state.sent.front().copied() {
            if sent.sequence > sequence {
                break;
            }
            state.sent.pop_front();
            if sent.sequence == sequence {
                self.lease_until.fetch_max(millis(sent.at + self.timing.lease), Ordering::AcqRel);
            }
        }
    }

    /// Looks after those who fell silent. Says whether memory must drop everything.
    fn look_round(&self) -> bool {
        let now = self.uptime.uptime();
        let mut state = self.state.lock();
        let stale = state.peers.fell_silent(now, self.timing);
        self.release(&mut state, now);
        stale
    }

    /// Whether nothing of ours came back for so long that the connection must be dead, although the bus takes what we say.
    fn is_deaf(&self) -> bool {
        let state = self.state.lock();
        state.spoke_at.is_some_and(|spoke| spoke > state.echoed_at + 2 * self.timing.lease)
    }
}

impl State {
    /// Whether a message that bears our name is not one of ours.
    fn is_of_another(&self, message: &Message) -> bool {
        let sent = self.sent.iter().find(|sent| sent.sequence == message.sequence);
        message.sequence > self.sequence || sent.is_some_and(|sent| sent.nonce != message.nonce)
    }
}

fn random<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], EntropyFailure> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes)?;
    Ok(bytes)
}

/// Most messages that have not come back.
const MAX_SENT: usize = 10_000;

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
