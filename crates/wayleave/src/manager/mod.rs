//! The session manager: runs the core's decisions against a store.

mod background;
mod change;
mod end;
mod grounds;
mod live;
mod open;
mod refresh;
mod state;
mod validate;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use quick_cache::sync::Cache;
use wayleave_core::authentication::Authority;
use wayleave_core::decide::Standing;
use wayleave_core::id::{SessionId, Slot};
use wayleave_core::policy::{Kinds, Policy, SessionTimeout, TokenFormat};
use wayleave_core::ports::{
    Census, Clock, Entropy, EntropyFailure, Listing, Page, Rotation, SessionStore, StoreError, Subjects,
};
use wayleave_core::record::Fingerprint;
use wayleave_core::routing::RoutingKey;
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;
use wayleave_core::token::{SessionToken, TokenHash};

use crate::activity::Pending;
use crate::cluster::{Cluster, ClusterStatus, Stale, Told};
use crate::coherent::Coherent;
use crate::epochs::Epochs;
use crate::events::Subscription;
use crate::jwt::{Audience, KeySet};

pub use background::Background;
pub use change::{ExtendError, Freshness, UpdateError};
pub use end::Ended;
pub use live::Session;
pub use open::{AccessToken, Issued, Open, OpenError, Opened};
pub use refresh::{RefreshError, Refreshed};
pub use validate::{TokenView, ValidateError};

use state::State;
use validate::Checked;

/// What a manager is made of.
pub struct Parts {
    /// Where records are.
    pub store: Arc<dyn SessionStore>,
    /// Who knows how subjects stand.
    pub subjects: Arc<dyn Subjects>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tokens come from.
    pub entropy: Arc<dyn Entropy>,
    /// Whose evidence opens sessions.
    pub authority: Authority,
    /// The deployment's routing key; the same on every node.
    pub routing: RoutingKey,
    /// Kinds and limits.
    pub rules: Rules,
    /// The other nodes over the same store; `None` where this process is the only one that writes to it.
    pub cluster: Option<Arc<Cluster>>,
    /// For kinds with JWT access tokens: who issues and for whom. Keys come by [`SessionManager::set_signing_keys`].
    pub audience: Audience,
    /// Bounds.
    pub options: Options,
}

/// Bounds of a manager.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Sessions kept warm in memory. 0 asks the store every time.
    pub warm_sessions: usize,
    /// Tokens remembered as unknown, so that a flood of one costs the store nothing; and as many as lately replaced.
    pub unknown_tokens: usize,
    /// Activity waiting to be written down.
    pub pending_touches: usize,
}

impl Default for Options {
    /// 100,000 warm sessions, 10,000 unknown tokens, 100,000 waiting touches.
    fn default() -> Self {
        Self { warm_sessions: 100_000, unknown_tokens: 10_000, pending_touches: 100_000 }
    }
}

/// What administrators and configuration decide; may change while the manager runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The kinds of session.
    pub kinds: Kinds,
    /// The idle limit of sessions that are not remembered.
    pub session_timeout: SessionTimeout,
    /// For how long a lost refresh answer may be asked for again; 0 for never. See [`Rules::REFRESH_WINDOW`]. What is
    /// more than [`Rotation::LONGEST_WINDOW`] counts as that.
    pub refresh_window: Duration,
}

impl Rules {
    /// The default refresh window: 10 seconds.
    pub const REFRESH_WINDOW: Duration = Duration::from_secs(10);

    fn window(&self) -> Duration {
        self.refresh_window.min(Rotation::LONGEST_WINDOW)
    }
}

impl Default for Rules {
    /// The documented kinds, a session timeout of 30 minutes, the default refresh window.
    fn default() -> Self {
        Self {
            kinds: Kinds::default(),
            session_timeout: SessionTimeout::default(),
            refresh_window: Self::REFRESH_WINDOW,
        }
    }
}

/// On which request something happened, for events and the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Origin {
    /// The request's id.
    pub request: Option<Arc<str>>,
    /// The coarse network it came from.
    pub network: Option<Arc<str>>,
    /// Who asked, when it was not the session's own subject.
    pub actor: Option<Arc<str>>,
}

/// What a request shows besides its token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Shown {
    /// The client's fingerprint, if the deployment takes one.
    pub fingerprint: Option<Fingerprint>,
    /// Whether it is a service that asks about a client of its own: that one is not seen here, and not judged.
    pub vouched: bool,
    /// Whether the request is the user's doing. Polling and background requests are not, and leave the idle limit
    /// running (R016).
    pub active: bool,
    /// The request.
    pub origin: Origin,
}

/// Opens, validates, refreshes and ends sessions.
///
/// Inside a Tokio runtime, changes are carried to their end even when the future that asked for them is dropped.
pub struct SessionManager {
    state: Arc<State>,
    subjects: Arc<dyn Subjects>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    authority: Authority,
    routing: RoutingKey,
    rules: RwLock<Arc<Rules>>,
    /// Move with every change of rules or of a subject's standing; warm sessions of an older epoch are judged anew.
    epochs: Epochs,
    audience: Audience,
    signing_keys: RwLock<Arc<KeySet>>,
    standings: Coherent<Subject, Standing>,
    verified: Cache<TokenHash, Checked>,
    unknown: Cache<TokenHash, ()>,
}

impl SessionManager {
    /// Puts a manager together. It keeps nothing running; see [`SessionManager::run_background`].
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, subjects, clock, entropy, authority, routing, rules, cluster, audience, options } = parts;
        let Options { warm_sessions, unknown_tokens, pending_touches } = options;
        let (warm, pending) = (Coherent::new(warm_sessions), Pending::new(pending_touches));
        Self {
            state: Arc::new(State::new(store, Arc::clone(&clock), cluster, warm, pending, Cache::new(unknown_tokens))),
            subjects,
            clock,
            entropy,
            authority,
            routing,
            rules: RwLock::new(Arc::new(rules)),
            epochs: Epochs::default(),
            audience,
            signing_keys: RwLock::default(),
            standings: Coherent::new(warm_sessions),
            verified: Cache::new(warm_sessions),
            unknown: Cache::new(unknown_tokens),
        }
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// Puts new rules in force. Live sessions are judged by them at their next request.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write() = Arc::new(rules);
        self.epochs.advance_all();
    }

    /// Takes signing keys into use, newest first. Sessions live on; tokens of keys that are gone do not.
    pub fn set_signing_keys(&self, keys: KeySet) {
        *self.signing_keys.write() = Arc::new(keys);
        self.verified.clear();
    }

    /// The signing keys in use.
    #[must_use]
    pub fn signing_keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.signing_keys.read())
    }

    /// Who issues JWT access tokens, and for whom.
    #[must_use]
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Waits a while until other nodes can hear of changes: to be called before anything is changed beside this manager
    /// that they keep in memory, like how a subject stands. The change and [`Self::subject_changed`] then go to their end
    /// together, also when who asked for it hangs up, and also when nobody knows whether the change was made.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when they cannot; nothing may be changed then.
    pub async fn may_change(&self) -> Result<(), StoreError> {
        match &self.state.cluster {
            Some(cluster) => cluster.may_change().await,
            None => Ok(()),
        }
    }

    /// To be called when a subject's standing changed: permissions, epoch, disabled. Its sessions are judged anew at
    /// their next request, on every node.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when other nodes could not be told yet. Here it is in force.
    pub async fn subject_changed(&self, subject: &Subject) -> Result<(), StoreError> {
        let slot = self.routing.slot_of(subject);
        self.standings.forget(slot, [subject.clone()]);
        self.epochs.advance(slot);
        self.tell(Told::Subject(slot)).await
    }

    /// To be called when settings or signing keys changed that all nodes share. Puts nothing in force here.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when other nodes could not be told yet.
    pub async fn settings_changed(&self) -> Result<(), StoreError> {
        self.tell(Told::Settings).await
    }

    /// To be called when something was changed that concerns no one subject: every session is judged anew at its next
    /// request, on every node.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when other nodes could not be told yet. Here it is in force.
    pub async fn everything_changed(&self) -> Result<(), StoreError> {
        self.forget_everything();
        self.tell(Told::Everything).await
    }

    async fn tell(&self, told: Told<'_>) -> Result<(), StoreError> {
        match &self.state.cluster {
            Some(cluster) => cluster.tell(told).await,
            None => Ok(()),
        }
    }

    /// How this node stands among the others; `None` where there are none.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterStatus> {
        self.state.cluster.as_ref().map(|cluster| cluster.status())
    }

    /// Drops what another node has made stale.
    fn forget(&self, stale: &Stale) {
        let Stale { sessions, subjects, everything, settings: _ } = stale;
        if *everything {
            return self.forget_everything();
        }
        for slot in subjects {
            self.standings.forget_slot(*slot);
            self.epochs.advance(*slot);
        }
        for slot in sessions {
            self.state.warm.forget_slot(*slot);
        }
    }

    /// Drops everything that memory holds, so that the next request of every session asks the store: for when
    /// something else wrote to it.
    pub fn forget_everything(&self) {
        self.state.warm.forget_all();
        self.standings.forget_all();
        self.unknown.clear();
        self.verified.clear();
        self.epochs.advance_all();
    }

    /// Whether this node gave the client of this token another one within the last minute. A request that was under way
    /// then still bears the old one; its refusal must not take the new one from the client (R067).
    #[must_use]
    pub fn was_replaced(&self, token: &str) -> bool {
        const UNDER_WAY: Duration = Duration::from_secs(60);
        let hash = SessionToken::parse(token).ok().map(|token| token.hash());
        let at = hash.and_then(|hash| self.state.replaced.get(&hash));
        at.is_some_and(|at| self.clock.now().since(at) < UNDER_WAY)
    }

    /// Adds a subscriber whose queue holds at most `most` events.
    #[must_use]
    pub fn subscribe(&self, most: usize) -> Subscription {
        self.state.subscribers.subscribe(most)
    }

    /// Lists sessions. `subject: None` lists everybody's.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn list(&self, subject: Option<&Subject>, after: Option<&str>, most: u32) -> Result<Page, StoreError> {
        let subject = subject.map(|subject| (self.routing.slot_of(subject), subject.clone()));
        self.state.store.list(&Listing { subject, after: after.map(Into::into), most }).await
    }

    /// Counts sessions.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn census(&self) -> Result<Census, StoreError> {
        self.state.store.census(self.clock.now()).await
    }

    /// Whether the store can serve.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.state.store.ping().await
    }

    /// How many sessions are warm in memory, and how much activity waits to be written down.
    #[must_use]
    pub fn warm(&self) -> (usize, usize) {
        (self.state.warm.len(), self.state.pending.len())
    }

    /// Now, by the manager's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The slot that an id leads to.
    #[must_use]
    pub fn slot(&self, id: &SessionId) -> Slot {
        id.slot(&self.routing)
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], EntropyFailure> {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// How a subject stands, from memory or from the directory.
    async fn standing(&self, subject: &Subject) -> Result<Standing, StoreError> {
        if self.state.may_answer()
            && let Some((standing, _)) = self.standings.find(subject)
        {
            return Ok(standing);
        }
        let before = self.standings.before(self.routing.slot_of(subject));
        let standing = self.subjects.standing(subject).await?;
        self.standings.fill(before, subject.clone(), standing.clone());
        Ok(standing)
    }
}

/// How long a pair lives: a JWT as its format says, anything else as its policy says.
fn token_lifetime(policy: &Policy, format: TokenFormat, remembered: bool) -> Duration {
    match format {
        TokenFormat::Jwt { lifetime } => lifetime,
        TokenFormat::Opaque => policy.token(remembered),
    }
}
