//! Several nodes over one store and one bus, in virtual time: who answers from memory, and what revocation reaches.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wayleave::cluster::{BusKey, Cluster, ClusterParts, Coherence, Timing};
use wayleave::core::ports::{Bus, Entropy, StoreError, Uptime};
use wayleave::core::subject::Subject;
use wayleave::events::Cause;
use wayleave::{Background, Opened, Options, Origin, SessionManager, Shown};
use wayleave_testkit::{Broker, Dice, Fault, NodeBus, StoreVerb, Way};

use crate::fixture::{SECOND, TICK, Verdict, World, open, verdict};

mod recovery;

const LEASE: Duration = Duration::from_secs(2);
const BEAT: Duration = Duration::from_millis(500);
const TIMING: Timing = Timing { beat: BEAT, lease: LEASE, write: Duration::from_secs(10) };

/// Time as Tokio has it, which a test can stop.
pub(crate) struct TokioUptime(Instant);

impl Default for TokioUptime {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Uptime for TokioUptime {
    fn uptime(&self) -> Duration {
        // Not nothing, as no machine's is.
        self.0.elapsed() + SECOND
    }
}

/// Nodes over the store of one world.
struct Nodes {
    world: World,
    broker: Arc<Broker>,
    dice: Arc<Dice>,
    uptime: Arc<TokioUptime>,
    coherence: Coherence,
    nodes: Vec<Node>,
}

struct Node {
    manager: Arc<SessionManager>,
    cluster: Arc<Cluster>,
    bus: Arc<NodeBus>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Nodes {
    async fn new(count: usize, coherence: Coherence) -> Self {
        let mut nodes = Self {
            world: World::new(),
            broker: Arc::default(),
            dice: Arc::new(Dice::new(1)),
            uptime: Arc::default(),
            coherence,
            nodes: Vec::new(),
        };
        for _ in 0..count {
            nodes.join(1);
        }
        // Long enough to know who else is there.
        pass(2 * LEASE).await;
        nodes
    }

    /// One more node, whose messages bear the MAC of `key`.
    fn join(&mut self, key: u8) {
        let entropy = Arc::clone(&self.world.entropy) as Arc<dyn Entropy>;
        self.join_as(key, TIMING, entropy);
    }

    fn join_as(&mut self, key: u8, timing: Timing, entropy: Arc<dyn Entropy>) {
        let bus = Arc::new(NodeBus::new(Arc::clone(&self.broker), &self.dice));
        let cluster = ClusterParts {
            bus: Arc::clone(&bus) as Arc<dyn Bus>,
            key: BusKey::new([key; 32]),
            uptime: Arc::clone(&self.uptime) as Arc<dyn Uptime>,
            entropy,
            timing,
            coherence: self.coherence,
        };
        let cluster = Arc::new(Cluster::new(cluster).unwrap());
        let manager = self.world.node_of(Options::default(), &cluster);
        let stop = CancellationToken::new();
        let background = Background { sweep_every: 3600 * SECOND, ..Background::default() };
        let running = tokio::spawn(Arc::clone(&manager).run_background(background, stop.clone()));
        self.nodes.push(Node { manager, cluster, bus, stop, running });
    }

    /// A session that every node has in memory.
    async fn warm(&self, subject: &Subject) -> Opened {
        let opened = self.nodes[0].open(&self.world, subject).await;
        for node in &self.nodes {
            assert_eq!(node.validate(&opened).await, Verdict::Valid);
        }
        opened
    }

    /// How often the store is asked while every node validates once.
    async fn finds(&self, opened: &Opened) -> u64 {
        let before = self.world.store.faults().calls_of(StoreVerb::Find);
        for node in &self.nodes {
            node.validate(opened).await;
        }
        self.world.store.faults().calls_of(StoreVerb::Find) - before
    }
}

impl Node {
    async fn open(&self, world: &World, subject: &Subject) -> Opened {
        self.manager.open(world.evidence(subject).await, open("plain"), &Origin::default()).await.unwrap()
    }

    async fn validate(&self, opened: &Opened) -> Verdict {
        verdict(self.manager.validate(&opened.issued.access, &Shown::default()).await)
    }

    async fn end(&self, opened: &Opened) -> Result<bool, StoreError> {
        let ended = self.manager.end_one(&opened.record.id, Cause::Administrator, &Origin::default()).await?;
        Ok(ended.is_some())
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep_until(Instant::now() + time).await;
}

/// Whatever can happen without time passing.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// R018.
#[tokio::test(start_paused = true)]
async fn what_one_node_ends_no_other_honours() {
    let nodes = Nodes::new(3, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    assert_eq!(nodes.finds(&opened).await, 0, "memory answers everywhere");
    let begun = Instant::now();
    assert!(nodes.nodes[1].end(&opened).await.unwrap());
    settle().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for node in &nodes.nodes {
        assert_eq!(node.validate(&opened).await, Verdict::Invalid);
    }
}

/// R018: what this node ends, it does not honour by a token either that another node has replaced meanwhile.
#[tokio::test(start_paused = true)]
async fn what_a_node_ends_is_over_there_under_every_token() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let [one, other] = &nodes.nodes[..] else { panic!() };
    let ann = nodes.world.person(1).await;
    for ended in [true, false] {
        let opened = nodes.warm(&ann).await;
        let refresh = opened.issued.refresh.as_ref().unwrap();
        one.bus.ear.set(Way::Silent);
        other.manager.refresh(refresh, &Shown::default()).await.unwrap();
        assert_eq!(one.validate(&opened).await, Verdict::Valid, "it has not heard of that");
        if ended {
            assert!(one.end(&opened).await.unwrap());
        } else {
            // The pair that the other node made, asked for again.
            assert!(one.manager.refresh(refresh, &Shown::default()).await.unwrap().repeated);
        }
        assert_eq!(one.validate(&opened).await, Verdict::Invalid, "ended: {ended}");
        one.bus.ear.set(Way::Open);
        pass(LEASE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_reaches_the_others() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let [one, other] = &nodes.nodes[..] else { panic!() };
    let ann = nodes.world.person(1).await;
    // A refresh, which makes the token before it invalid.
    let opened = nodes.warm(&ann).await;
    let refresh = opened.issued.refresh.as_ref().unwrap();
    one.manager.refresh(refresh, &Shown::default()).await.unwrap();
    settle().await;
    assert_eq!(other.validate(&opened).await, Verdict::Invalid);
    // A change of the directory.
    let opened = nodes.warm(&ann).await;
    nodes.world.edit(&ann, |account| account.disabled = true).await;
    one.manager.subject_changed(&ann).await.unwrap();
    settle().await;
    assert_eq!(other.validate(&opened).await, Verdict::Invalid);
    nodes.world.edit(&ann, |account| account.disabled = false).await;
    one.manager.everything_changed().await.unwrap();
    settle().await;
    assert_eq!(other.validate(&opened).await, Verdict::Valid);
    // All of a subject's.
    one.manager.end_all(&ann, None, Cause::SignOut, &Origin::default()).await.unwrap();
    settle().await;
    assert_eq!(other.validate(&opened).await, Verdict::Invalid);
}

#[tokio::test(start_paused = true)]
async fn settings_are_told_to_the_others_and_after_every_silence() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let [one, other] = &nodes.nodes[..] else { panic!() };
    let (mut own, mut theirs) = (one.cluster.settings(), other.cluster.settings());
    own.mark_unchanged();
    theirs.mark_unchanged();
    one.manager.settings_changed().await.unwrap();
    settle().await;
    assert!(theirs.has_changed().unwrap() && !own.has_changed().unwrap());
    theirs.mark_unchanged();
    other.bus.ear.set(Way::Refused);
    settle().await;
    other.bus.ear.set(Way::Open);
    pass(LEASE).await;
    assert!(theirs.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn without_a_bus_the_store_answers_and_nothing_is_changed() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let [one, other] = &nodes.nodes[..] else { panic!() };
    let ann = nodes.world.person(1).await;
    for way in [Way::Refused, Way::Silent] {
        let (opened, ended) = (nodes.warm(&ann).await, nodes.warm(&ann).await);
        other.bus.set(way);
        // What it does not hear of ...
        assert!(one.end(&ended).await.unwrap());
        pass(LEASE).await;
        // ... it asks the store about.
        assert!(!other.cluster.status().leased && !other.cluster.status().audible);
        assert_eq!(other.validate(&ended).await, Verdict::Invalid);
        assert_eq!(other.validate(&opened).await, Verdict::Valid);
        assert!(matches!(other.end(&opened).await, Err(StoreError::Unavailable(_))));
        assert_eq!(one.validate(&opened).await, Verdict::Valid, "nothing was changed");
        other.bus.set(Way::Open);
        pass(2 * LEASE).await;
        assert!(other.cluster.status().leased && other.cluster.status().audible, "{way:?}");
        nodes.finds(&opened).await;
        assert_eq!(nodes.finds(&opened).await, 0, "memory answers again");
        assert!(other.end(&opened).await.unwrap());
        settle().await;
        assert_eq!(one.validate(&opened).await, Verdict::Invalid);
    }
}

#[tokio::test(start_paused = true)]
async fn who_only_cannot_hear_still_tells_the_others() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let [one, other] = &nodes.nodes[..] else { panic!() };
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    other.bus.ear.set(Way::Silent);
    pass(10 * LEASE).await;
    assert!(!other.cluster.status().leased && other.cluster.status().audible);
    assert!(other.end(&opened).await.unwrap());
    settle().await;
    assert_eq!(one.validate(&opened).await, Verdict::Invalid);
}

/// A node dies between its write to the store and its message.
#[tokio::test(start_paused = true)]
async fn what_a_node_did_before_it_died_is_found_out() {
    let mut nodes = Nodes::new(2, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    let dying = nodes.nodes.pop().unwrap();
    let one = &nodes.nodes[0];
    dying.bus.mouth.set(Way::Silent);
    let end = tokio::spawn({
        let (manager, id) = (Arc::clone(&dying.manager), opened.record.id);
        async move { manager.end_one(&id, Cause::Administrator, &Origin::default()).await.is_ok() }
    });
    settle().await;
    end.abort();
    dying.running.abort();
    assert_eq!(one.validate(&opened).await, Verdict::Valid, "nobody has said anything, and nobody was answered");
    pass(LEASE + TICK).await;
    assert_eq!(one.validate(&opened).await, Verdict::Invalid);
}

/// Somebody comes, ends a session and leaves, while another makes its connection anew and fills its memory meanwhile.
#[tokio::test(start_paused = true)]
async fn what_was_filled_in_before_a_connection_was_there_is_dropped() {
    let mut nodes = Nodes::new(2, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    // So long that nothing is expected any more of whoever was there before.
    pass(60 * SECOND).await;
    let opened = nodes.warm(&ann).await;
    nodes.nodes[1].bus.ear.set(Way::Refused);
    settle().await;
    nodes.nodes[1].bus.ear.set(Way::Silent);
    pass(BEAT / 10).await;
    nodes.join(1);
    settle().await;
    let passing = nodes.nodes.pop().unwrap();
    let other = &nodes.nodes[1];
    assert_eq!(other.validate(&opened).await, Verdict::Valid);
    assert!(passing.end(&opened).await.unwrap());
    passing.stop.cancel();
    passing.running.await.unwrap();
    other.bus.ear.set(Way::Open);
    pass(BEAT).await;
    assert!(other.cluster.status().leased);
    assert_eq!(other.validate(&opened).await, Verdict::Invalid);
}

/// A node leaves while a change is under way, which nobody is told of.
#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_a_node_left_is_found_out() {
    let mut nodes = Nodes::new(2, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    let leaving = nodes.nodes.pop().unwrap();
    let one = &nodes.nodes[0];
    let gate = nodes.world.store.faults().hold(StoreVerb::Revoke);
    let end = tokio::spawn({
        let (manager, id) = (Arc::clone(&leaving.manager), opened.record.id);
        async move { manager.end_one(&id, Cause::Administrator, &Origin::default()).await.is_ok() }
    });
    gate.arrived().await;
    leaving.stop.cancel();
    leaving.running.await.unwrap();
    pass(LEASE).await;
    gate.open();
    assert!(!end.await.unwrap(), "nobody could be told");
    assert_eq!(one.validate(&opened).await, Verdict::Valid);
    pass(13 * SECOND).await;
    assert_eq!(one.validate(&opened).await, Verdict::Invalid);
}

/// A node dies, another one comes, and only then the store carries out what the first had asked for.
#[tokio::test(start_paused = true)]
async fn what_a_dead_node_had_begun_is_found_out_by_who_never_heard_it() {
    let mut nodes = Nodes::new(1, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    let dead = nodes.nodes.pop().unwrap();
    let gate = nodes.world.store.faults().hold(StoreVerb::Revoke);
    let end = tokio::spawn({
        let (manager, id) = (Arc::clone(&dead.manager), opened.record.id);
        async move { manager.end_one(&id, Cause::Administrator, &Origin::default()).await.is_ok() }
    });
    gate.arrived().await;
    dead.running.abort();
    nodes.join(1);
    pass(LEASE).await;
    let newcomer = &nodes.nodes[0];
    assert_eq!(newcomer.validate(&opened).await, Verdict::Valid);
    gate.open();
    assert!(!end.await.unwrap());
    assert_eq!(newcomer.validate(&opened).await, Verdict::Valid);
    pass(13 * SECOND).await;
    assert_eq!(newcomer.validate(&opened).await, Verdict::Invalid);
}

/// A change that waited for another one is not begun when nobody can hear of it by then.
#[tokio::test(start_paused = true)]
async fn what_waited_for_its_turn_in_silence_is_not_begun() {
    let nodes = Nodes::new(1, Coherence::Prompt).await;
    let node = &nodes.nodes[0];
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    let gate = nodes.world.store.faults().hold(StoreVerb::Revoke);
    let end = || {
        let (manager, id) = (Arc::clone(&node.manager), opened.record.id);
        tokio::spawn(async move { manager.end_one(&id, Cause::Administrator, &Origin::default()).await })
    };
    let first = end();
    gate.arrived().await;
    let second = end();
    settle().await;
    node.bus.set(Way::Silent);
    pass(LEASE).await;
    gate.open();
    assert!(matches!(first.await.unwrap(), Err(StoreError::Unavailable(_))));
    assert!(matches!(second.await.unwrap(), Err(StoreError::Unavailable(_))));
    assert_eq!(nodes.world.store.faults().calls_of(StoreVerb::Revoke), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missed_message_is_noticed_at_the_next() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let [one, other] = &nodes.nodes[..] else { panic!() };
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    other.bus.lose(1);
    assert!(one.end(&opened).await.unwrap());
    settle().await;
    assert_eq!(other.validate(&opened).await, Verdict::Valid);
    pass(BEAT).await;
    settle().await;
    assert_eq!(other.validate(&opened).await, Verdict::Invalid);
    assert_eq!(other.cluster.status().counts.gaps, 1);
}

/// Strict: when `end` has returned, nowhere does the session validate.
#[tokio::test(start_paused = true)]
async fn strict_waits_for_everybody() {
    let nodes = Nodes::new(3, Coherence::Strict).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    let begun = Instant::now();
    nodes.nodes[2].bus.ear.delay(Duration::from_millis(300));
    assert!(nodes.nodes[0].end(&opened).await.unwrap());
    for node in &nodes.nodes {
        assert_eq!(node.validate(&opened).await, Verdict::Invalid, "at once");
    }
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn strict_waits_out_the_lease_of_who_does_not_answer() {
    for way in [Way::Refused, Way::Silent] {
        let nodes = Nodes::new(3, Coherence::Strict).await;
        let ann = nodes.world.person(1).await;
        let opened = nodes.warm(&ann).await;
        let deaf = &nodes.nodes[2];
        deaf.bus.set(way);
        let begun = Instant::now();
        assert!(nodes.nodes[0].end(&opened).await.unwrap());
        for node in &nodes.nodes {
            assert_eq!(node.validate(&opened).await, Verdict::Invalid, "{way:?}, at once");
        }
        assert!(begun.elapsed() <= LEASE + Duration::from_millis(60), "{:?}", begun.elapsed());
        // It is not waited for a second time.
        let opened = nodes.nodes[0].open(&nodes.world, &ann).await;
        pass(LEASE).await;
        let begun = Instant::now();
        assert!(nodes.nodes[0].end(&opened).await.unwrap());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

/// A node that just came does not know yet who else there is.
#[tokio::test(start_paused = true)]
async fn strict_waits_a_lease_while_it_cannot_know_everybody() {
    let mut nodes = Nodes::new(2, Coherence::Strict).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    nodes.nodes[1].bus.ear.delay(Duration::from_millis(400));
    nodes.join(1);
    settle().await;
    let begun = Instant::now();
    assert!(nodes.nodes[2].end(&opened).await.unwrap());
    assert_eq!(nodes.nodes[1].validate(&opened).await, Verdict::Invalid);
    assert!(begun.elapsed() <= LEASE + Duration::from_millis(60), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_not_waited_for() {
    let mut nodes = Nodes::new(2, Coherence::Strict).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    let leaving = nodes.nodes.pop().unwrap();
    leaving.stop.cancel();
    leaving.running.await.unwrap();
    settle().await;
    assert!(!leaving.cluster.status().leased);
    let begun = Instant::now();
    assert!(nodes.nodes[0].end(&opened).await.unwrap());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(nodes.nodes[0].cluster.status().peers, 0);
}

/// Messages that nobody of the deployment made are nothing to it.
#[tokio::test(start_paused = true)]
async fn a_stranger_on_the_bus_is_not_believed() {
    let mut nodes = Nodes::new(1, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    nodes.join(2);
    pass(LEASE).await;
    let stranger = nodes.nodes.pop().unwrap();
    stranger.manager.everything_changed().await.unwrap();
    stranger.bus.publish(b"hello").await.unwrap();
    settle().await;
    let status = nodes.nodes[0].cluster.status();
    assert_eq!((status.peers, status.counts.heard, status.counts.gaps), (0, 0, 0));
    assert!(status.counts.foreign > 2);
    assert_eq!(nodes.finds(&opened).await, 0);
}

/// A bus that takes what a node says and gives nothing back is left for a new connection.
#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_made_anew() {
    let nodes = Nodes::new(1, Coherence::Prompt).await;
    let node = &nodes.nodes[0];
    node.bus.lose(u32::MAX);
    pass(4 * LEASE).await;
    let status = node.cluster.status();
    assert!(!status.leased && status.counts.lost > 0, "{status:?}");
    node.bus.lose(0);
    pass(4 * LEASE).await;
    assert!(node.cluster.status().leased);
}
