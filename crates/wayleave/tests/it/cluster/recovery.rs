//! What nodes do about what they cannot have heard: those that died, differ, come and go, or share a name.

use std::sync::atomic::{AtomicU8, Ordering};

use wayleave::core::ports::{Entropy, EntropyFailure};

use super::*;

/// Settings were written, and the node died before it said so.
#[tokio::test(start_paused = true)]
async fn settings_of_a_node_that_died_are_read_again() {
    let mut nodes = Nodes::new(2, Coherence::Prompt).await;
    let dying = nodes.nodes.pop().unwrap();
    let mut settings = nodes.nodes[0].cluster.settings();
    settings.mark_unchanged();
    dying.manager.may_change().await.unwrap();
    dying.bus.mouth.set(Way::Silent);
    dying.running.abort();
    pass(LEASE).await;
    assert!(settings.has_changed().unwrap(), "when it fell silent");
    settings.mark_unchanged();
    pass(12 * SECOND).await;
    assert!(settings.has_changed().unwrap(), "when whatever it had begun was over");
    assert!(nodes.nodes[0].cluster.status().leased);
}

#[tokio::test(start_paused = true)]
async fn a_gap_may_have_been_about_settings() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let [one, other] = &nodes.nodes[..] else { panic!() };
    let mut settings = other.cluster.settings();
    settings.mark_unchanged();
    other.bus.lose(1);
    one.manager.settings_changed().await.unwrap();
    pass(LEASE).await;
    assert_eq!(other.cluster.status().counts.gaps, 1);
    assert!(settings.has_changed().unwrap());
}

/// `lease` is being changed, one server after the other: strict holds meanwhile.
#[tokio::test(start_paused = true)]
async fn the_longest_lease_is_waited_for() {
    let mut nodes = Nodes::new(2, Coherence::Strict).await;
    let longer = Timing { lease: 10 * LEASE, ..TIMING };
    let entropy = Arc::clone(&nodes.world.entropy) as Arc<dyn Entropy>;
    nodes.join_as(1, longer, entropy);
    pass(30 * LEASE).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    // A cable is pulled.
    nodes.nodes[2].bus.set(Way::Silent);
    assert!(nodes.nodes[0].end(&opened).await.unwrap());
    assert_eq!(nodes.nodes[2].validate(&opened).await, Verdict::Invalid);
}

/// What a machine gives that was cloned while it ran: the same as the other at first, and its own later.
struct Cloned {
    drawn: AtomicU8,
    twin: u8,
}

impl Entropy for Cloned {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        buffer.fill(drawn);
        if drawn > 0 {
            buffer.iter_mut().take(1).for_each(|byte| *byte = self.twin);
        }
        Ok(())
    }
}

/// Two processes with one identity do not keep it.
#[tokio::test(start_paused = true)]
async fn twins_part() {
    let mut nodes = Nodes::new(1, Coherence::Strict).await;
    for twin in [101, 102] {
        nodes.join_as(1, TIMING, Arc::new(Cloned { drawn: AtomicU8::new(0), twin }));
    }
    pass(6 * LEASE).await;
    let ann = nodes.world.person(1).await;
    for ending in [1, 2, 1, 2] {
        let opened = nodes.warm(&ann).await;
        assert!(nodes.nodes[ending].end(&opened).await.unwrap());
        for node in &nodes.nodes {
            assert_eq!(node.validate(&opened).await, Verdict::Invalid);
        }
    }
    for node in &nodes.nodes {
        assert!(node.cluster.status().leased);
        assert!(node.cluster.status().peers >= 2);
    }
}

/// A command that only looks comes and goes: nobody forgets anything.
#[tokio::test(start_paused = true)]
async fn who_only_looked_costs_nobody_their_memory() {
    let mut nodes = Nodes::new(2, Coherence::Prompt).await;
    pass(60 * SECOND).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    for changes in [false, true] {
        nodes.join(1);
        pass(LEASE).await;
        let command = nodes.nodes.pop().unwrap();
        if changes {
            command.manager.may_change().await.unwrap();
        }
        command.stop.cancel();
        command.running.await.unwrap();
        assert_eq!(nodes.finds(&opened).await, 0);
        pass(60 * SECOND).await;
        assert_eq!(nodes.finds(&opened).await > 0, changes, "what it began may be over only now");
    }
}

/// A store carries out late what it did not answer: memory forgets once more when that must be over.
#[tokio::test(start_paused = true)]
async fn what_was_not_answered_is_doubted_until_it_is_over() {
    let nodes = Nodes::new(2, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    nodes.world.store.faults().fail(StoreVerb::Revoke, Fault::DOWN);
    assert!(nodes.nodes[0].end(&opened).await.is_err());
    nodes.world.store.faults().heal(StoreVerb::Revoke);
    for node in &nodes.nodes {
        assert_eq!(node.validate(&opened).await, Verdict::Valid, "nothing happened so far");
    }
    // Now it does, unheard of by anybody.
    assert!(
        nodes
            .world
            .second_node()
            .manager
            .end_one(&opened.record.id, Cause::Owner, &Origin::default())
            .await
            .unwrap()
            .is_some()
    );
    pass(32 * SECOND).await;
    for node in &nodes.nodes {
        assert_eq!(node.validate(&opened).await, Verdict::Invalid);
    }
}

/// A change that the store does not get done is given up before the other nodes stop expecting something of it.
#[tokio::test(start_paused = true)]
async fn a_change_that_takes_too_long_is_given_up() {
    let nodes = Nodes::new(1, Coherence::Prompt).await;
    let ann = nodes.world.person(1).await;
    let opened = nodes.warm(&ann).await;
    let _held = nodes.world.store.faults().hold(StoreVerb::Revoke);
    let before = Instant::now();
    assert!(nodes.nodes[0].end(&opened).await.is_err());
    assert_eq!(before.elapsed(), TIMING.write / 2);
    assert_eq!(nodes.nodes[0].validate(&opened).await, Verdict::Valid);
}
