//! A place where one process after another runs as a node.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wayleave::cluster::{BusKey, Cluster, ClusterParts};
use wayleave::core::authentication::Authority;
use wayleave::core::ports::{Bus, Clock, EntropyFailure, SessionStore, Subjects, Uptime};
use wayleave::core::routing::RoutingKey;
use wayleave::core::time::Timestamp;
use wayleave::jwt::{Audience, KeyLife, KeySet, SigningKey};
use wayleave::{Background, Options, Parts, SessionManager};
use wayleave_testkit::{Link, NodeBus, Way, WrappedStore};

use crate::clocks::{DriftingUptime, WallClock};
use crate::directory::NodeDirectory;
use crate::gate::{Gate, Going};
use crate::history::Process;
use crate::plan::TIMING;
use crate::store::Post;
use crate::world::Shared;

/// Where a node runs: its clocks stay, whatever becomes of its process.
pub(crate) struct Place {
    pub(crate) number: usize,
    pub(crate) clock: Arc<WallClock>,
    pub(crate) uptime: Arc<DriftingUptime>,
    node: Mutex<Option<Arc<Node>>>,
    lives: Mutex<u32>,
}

/// One process.
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) manager: Arc<SessionManager>,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) directory: Arc<NodeDirectory>,
    pub(crate) bus: Arc<NodeBus>,
    pub(crate) link: Arc<Link>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) started: Instant,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Place {
    pub(crate) fn new(number: usize, clock: WallClock, uptime: DriftingUptime) -> Self {
        let (clock, uptime) = (Arc::new(clock), Arc::new(uptime));
        Self { number, clock, uptime, node: Mutex::default(), lives: Mutex::default() }
    }

    /// The process that runs here, if one does.
    pub(crate) fn node(&self) -> Option<Arc<Node>> {
        self.node.lock().clone()
    }

    /// Starts a process, with nothing in its memory and a new identity.
    pub(crate) fn start(&self, shared: &Shared) -> Result<(), EntropyFailure> {
        let life = {
            let mut lives = self.lives.lock();
            *lives += 1;
            *lives - 1
        };
        let node = Node::start(self, Process { place: self.number, life }, shared)?;
        *self.node.lock() = Some(Arc::new(node));
        Ok(())
    }

    /// Kills the process. What it has sent goes its way, and nobody hears the answer.
    pub(crate) fn kill(&self) {
        if let Some(node) = self.node.lock().take() {
            node.kill();
        }
    }

    /// Asks the process to stop, and kills it when it does not.
    pub(crate) async fn stop(&self) {
        let Some(node) = self.node() else { return };
        node.stop.cancel();
        let patience = Instant::now() + 3 * TIMING.lease;
        while !node.running.is_finished() && Instant::now() < patience {
            tokio::time::sleep_until(Instant::now() + TIMING.beat / 10).await;
        }
        self.kill();
    }
}

impl Node {
    fn start(place: &Place, process: Process, shared: &Shared) -> Result<Self, EntropyFailure> {
        let gate = Arc::new(Gate::default());
        let link = Arc::new(Link::new(Arc::clone(&shared.dice)));
        link.delay(shared.plan.store_delay);
        link.lose_answers(shared.plan.answers_lost);
        let bus = Arc::new(NodeBus::new(Arc::clone(&shared.broker), &shared.dice));
        bus.delay(shared.plan.bus_delay);
        let post =
            || Post { process, link: Arc::clone(&link), gate: Arc::clone(&gate), witness: Arc::clone(&shared.witness) };
        let inner = Arc::clone(&shared.witness.store) as Arc<dyn SessionStore>;
        let store: Arc<dyn SessionStore> = Arc::new(WrappedStore::around(inner, post()));
        let directory = Arc::new(NodeDirectory { directory: Arc::clone(&shared.directory), post: post() });
        let cluster = ClusterParts {
            bus: Arc::clone(&bus) as Arc<dyn Bus>,
            key: BusKey::new([5; 32]),
            uptime: Arc::clone(&place.uptime) as Arc<dyn Uptime>,
            entropy: Arc::clone(&shared.entropy) as _,
            timing: TIMING,
            coherence: shared.plan.coherence,
        };
        let manager = SessionManager::new(Parts {
            store: Arc::clone(&store),
            subjects: Arc::clone(&directory) as Arc<dyn Subjects>,
            clock: Arc::clone(&place.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&shared.entropy) as _,
            authority: authority(),
            routing: routing(),
            rules: shared.plan.rules(),
            cluster: Some(Arc::new(Cluster::new(cluster)?)),
            audience: Audience {
                issuer: "https://auth.example.org".into(),
                audience: "https://api.example.org".into(),
            },
            options: OPTIONS,
        });
        let always = KeyLife { created_at: Timestamp::MIN, signs_from: Timestamp::MIN, retired_at: None };
        if let Ok(keys) = KeySet::new(vec![SigningKey::from_seed(&[1; 32], always)]) {
            manager.set_signing_keys(keys);
        }
        let manager = Arc::new(manager);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (manager, gate, stop) = (Arc::clone(&manager), Arc::clone(&gate), stop.clone());
            async move {
                gate.go(manager.run_background(BACKGROUND, stop)).await;
            }
        });
        Ok(Self { started: Instant::now(), process, manager, store, directory, bus, link, gate, stop, running })
    }

    fn kill(&self) {
        self.gate.set(Going::Dead);
        self.running.abort();
    }

    /// Nothing goes wrong with it any more.
    pub(crate) fn calm(&self) {
        self.link.lose_answers(0);
    }

    /// All its links are as the plan has them.
    pub(crate) fn heal(&self, shared: &Shared) {
        self.gate.set(Going::On);
        self.link.set(Way::Open);
        self.link.delay(shared.plan.store_delay);
        self.link.lose_answers(shared.plan.answers_lost);
        self.bus.set(Way::Open);
        self.bus.delay(shared.plan.bus_delay);
        self.bus.mouth.lose_answers(0);
        self.bus.suffer(wayleave_testkit::Mischief::default());
    }
}

/// So large that nothing is ever pushed out: what is would depend on the keys of hash tables, which no seed determines.
const OPTIONS: Options = Options { warm_sessions: 20_000, unknown_tokens: 20_000, pending_touches: 20_000 };

/// All that goes on besides requests, often.
const BACKGROUND: Background = Background {
    flush_every: FLUSH,
    flush_batch: 5,
    sweep_every: Duration::from_secs(7),
    sweep_batch: 4,
    erase_every: Duration::from_secs(3),
    keep_ended: Duration::from_secs(20),
};

/// Between two writes of activity.
pub(crate) const FLUSH: Duration = Duration::from_secs(1);

pub(crate) const fn authority() -> Authority {
    Authority::new([3; 16])
}

pub(crate) fn routing() -> RoutingKey {
    RoutingKey::new(*b"simulated-router")
}
