//! What a node knows of the others: from what they say, and from their silence.

use std::collections::HashMap;
use std::time::Duration;

use super::Timing;
use super::message::NodeId;

/// Most nodes that are kept apart. With more, nobody's acknowledgement is waited for any more, only leases.
const MAX_PEERS: usize = 256;
/// How long a node that left or fell silent is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(super) struct Peers {
    nodes: HashMap<NodeId, Peer>,
    /// Until when somebody may have a lease who is not in here.
    crowded_until: Duration,
    /// Since when nobody can have come and gone unheard. What such a one had begun before may still go on.
    hearing_since: Option<Duration>,
    /// The longest lease that anybody spoke of.
    longest_lease: Duration,
}

struct Peer {
    /// The last of its messages.
    sequence: u64,
    heard_at: Duration,
    /// Up to which of our messages it has acted on all.
    acked: u64,
    presence: Presence,
    /// How long it may answer from memory after it sent something.
    lease: Duration,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    /// It may have made a change just before it was not heard any more, and told nobody.
    Silent,
    /// What it may have begun then has ended, too.
    Lost,
    /// It said goodbye. What it had begun may still go on.
    Left,
}

/// How a message follows on those before.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It is the next one.
    Next,
    /// Something before it was missed.
    Gap,
    /// It was heard before.
    Old,
}

/// What a message tells of its sender.
#[derive(Copy, Clone, Debug)]
pub(super) struct Heard {
    pub(super) from: NodeId,
    pub(super) sequence: u64,
    pub(super) bye: bool,
    /// Whether it never began a change, if it says so with its goodbye.
    pub(super) harmless: bool,
    pub(super) lease: Duration,
    /// Up to which of our messages it has acted on all, if it says so.
    pub(super) acked: Option<u64>,
    /// The last of our own messages that came back before this one.
    pub(super) own: u64,
    pub(super) at: Duration,
}

impl Peers {
    /// From now on everybody is heard who speaks.
    pub(super) fn begin_hearing(&mut self, now: Duration) {
        self.hearing_since = Some(now);
    }

    pub(super) fn hear(&mut self, heard: Heard, timing: Timing) -> Order {
        let Heard { from, sequence, bye, harmless, lease, acked, own, at } = heard;
        let presence = match (bye, harmless) {
            (false, _) => Presence::Here,
            (true, false) => Presence::Left,
            (true, true) => Presence::Lost,
        };
        self.longest_lease = self.longest_lease.max(lease);
        if let Some(peer) = self.nodes.get_mut(&from) {
            if sequence <= peer.sequence {
                return Order::Old;
            }
            let order = if sequence == peer.sequence + 1 { Order::Next } else { Order::Gap };
            peer.sequence = sequence;
            peer.heard_at = at;
            peer.presence = presence;
            peer.lease = lease;
            peer.acked = peer.acked.max(acked.unwrap_or_default());
            return order;
        }
        self.make_room();
        if self.nodes.len() < MAX_PEERS {
            // Whatever we said before was in force before it had anything in memory.
            let acked = own.max(acked.unwrap_or_default());
            self.nodes.insert(from, Peer { sequence, heard_at: at, acked, presence, lease });
        } else {
            self.crowded_until = at + self.timing(timing).surely_over();
        }
        if sequence == 1 && self.nodes.contains_key(&from) { Order::Next } else { Order::Gap }
    }

    /// Forgets one that is gone, where there is no room for another.
    fn make_room(&mut self) {
        if self.nodes.len() < MAX_PEERS {
            return;
        }
        let lost = self.nodes.iter().filter(|(_, peer)| peer.presence == Presence::Lost);
        let oldest = lost.min_by_key(|(_, peer)| peer.heard_at);
        if let Some(node) = oldest.map(|(node, _)| *node) {
            self.nodes.remove(&node);
        }
    }

    /// Whether somebody fell silent, so that what memory holds may be stale without anybody having said so.
    pub(super) fn fell_silent(&mut self, now: Duration, timing: Timing) -> bool {
        // Those who fell silent before anybody could hear them here.
        let longest = self.timing(timing);
        let mut fell_silent = self.hearing_since.take_if(|since| now >= *since + longest.nothing_left()).is_some();
        for peer in self.nodes.values_mut() {
            let silence = now.saturating_sub(peer.heard_at);
            let timing = timing.for_lease(peer.lease);
            let next = match peer.presence {
                Presence::Here if silence >= timing.silence() => Presence::Silent,
                Presence::Silent | Presence::Left if silence >= timing.nothing_left() => Presence::Lost,
                same => same,
            };
            fell_silent |= next != peer.presence;
            peer.presence = next;
        }
        self.nodes.retain(|_, peer| now.saturating_sub(peer.heard_at) < REMEMBERED || peer.presence != Presence::Lost);
        fell_silent
    }

    /// Up to which of our messages everybody has acted who may have a lease.
    pub(super) fn all_acked(&self, now: Duration, timing: Timing) -> u64 {
        if now < self.crowded_until {
            return 0;
        }
        let acked = self.nodes.values().filter(|peer| peer.may_hold_lease(now, timing)).map(|peer| peer.acked);
        acked.min().unwrap_or(u64::MAX)
    }

    /// Ours, with the longest lease that anybody may have: while it is being changed, not all have the same.
    pub(super) fn timing(&self, own: Timing) -> Timing {
        own.for_lease(self.longest_lease)
    }

    /// How many others live.
    pub(super) fn live(&self) -> usize {
        self.nodes.values().filter(|peer| peer.presence == Presence::Here).count()
    }
}

impl Peer {
    fn may_hold_lease(&self, now: Duration, timing: Timing) -> bool {
        let over = timing.for_lease(self.lease).surely_over();
        match self.presence {
            Presence::Here | Presence::Silent => now.saturating_sub(self.heard_at) < over,
            Presence::Lost | Presence::Left => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing =
        Timing { beat: Duration::from_millis(500), lease: Duration::from_secs(2), write: Duration::from_secs(30) };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn heard(node: u8, sequence: u64, at: u64) -> Heard {
        Heard {
            from: NodeId([node; 16]),
            sequence,
            bye: false,
            harmless: false,
            lease: TIMING.lease,
            acked: None,
            own: 0,
            at: seconds(at),
        }
    }

    #[test]
    fn gaps_and_repetitions_are_noticed() {
        let mut peers = Peers::default();
        let mut orders = Vec::new();
        for sequence in [1, 2, 2, 1, 4, 3, 5] {
            orders.push(peers.hear(heard(1, sequence, 0), TIMING));
        }
        use Order::{Gap, Next, Old};
        assert_eq!(orders, [Next, Next, Old, Old, Gap, Old, Next]);
        assert_eq!(peers.hear(heard(2, 7, 0), TIMING), Gap, "what came before it, nobody heard");
    }

    #[test]
    fn silence_is_told_when_a_lease_is_over_and_again_when_a_write_is() {
        let mut peers = Peers::default();
        peers.hear(heard(1, 1, 0), TIMING);
        peers.hear(Heard { bye: true, ..heard(2, 1, 0) }, TIMING);
        let told: Vec<_> =
            [1, 2, 3, 31, 32, 33].into_iter().filter(|at| peers.fell_silent(seconds(*at), TIMING)).collect();
        assert_eq!(told, [2, 33], "a clock may be a fiftieth slower");
        assert_eq!(peers.live(), 0);
        assert_eq!(peers.hear(heard(1, 2, 40), TIMING), Order::Next, "it is remembered");
        assert_eq!(peers.live(), 1);
        assert!(peers.fell_silent(seconds(43), TIMING), "as before");
    }

    /// What was under way when a node said goodbye, nobody may be told of.
    #[test]
    fn a_goodbye_is_told_when_a_write_is_over() {
        let mut peers = Peers::default();
        peers.hear(Heard { bye: true, ..heard(1, 1, 0) }, TIMING);
        let told: Vec<_> = (0..60).filter(|at| peers.fell_silent(seconds(*at), TIMING)).collect();
        assert_eq!(told, [33]);
    }

    /// Who never began a change has left none.
    #[test]
    fn a_harmless_goodbye_is_no_loss() {
        let mut peers = Peers::default();
        peers.hear(Heard { bye: true, harmless: true, ..heard(1, 1, 0) }, TIMING);
        assert_eq!((0..60).filter(|at| peers.fell_silent(seconds(*at), TIMING)).count(), 0);
        assert_eq!((peers.live(), peers.all_acked(seconds(0), TIMING)), (0, u64::MAX));
    }

    /// Who has a longer lease than this node is waited for as long, also by those who have not heard it.
    #[test]
    fn the_longest_lease_counts() {
        let mut peers = Peers::default();
        let longer = Heard { lease: seconds(20), ..heard(1, 1, 0) };
        peers.hear(longer, TIMING);
        assert_eq!((peers.all_acked(seconds(19), TIMING), peers.all_acked(seconds(21), TIMING)), (0, u64::MAX));
        assert_eq!(peers.timing(TIMING).lease, seconds(20));
        let told: Vec<_> = (0..90).filter(|at| peers.fell_silent(seconds(*at), TIMING)).collect();
        assert_eq!(told, [20, 51]);
        peers.hear(Heard { sequence: 2, lease: seconds(1), ..longer }, TIMING);
        assert_eq!(peers.timing(TIMING).lease, seconds(20), "somebody may still have it");
    }

    /// A node that died before this one came may have begun something that is done only now.
    #[test]
    fn who_was_never_heard_falls_silent_too() {
        let mut peers = Peers::default();
        let mut told = |from: u64| {
            peers.begin_hearing(seconds(from));
            (from..from + 60).filter(|at| peers.fell_silent(seconds(*at), TIMING)).collect::<Vec<_>>()
        };
        assert_eq!((told(0), told(100)), (vec![33], vec![133]));
    }

    #[test]
    fn all_have_acted_when_the_last_of_those_with_a_lease_has() {
        let mut peers = Peers::default();
        assert_eq!(peers.all_acked(seconds(0), TIMING), u64::MAX);
        peers.hear(Heard { own: 4, ..heard(1, 1, 10) }, TIMING);
        assert_eq!(peers.all_acked(seconds(10), TIMING), 4, "what was before it, it never held");
        peers.hear(Heard { acked: Some(9), ..heard(2, 1, 10) }, TIMING);
        peers.hear(Heard { acked: Some(7), own: 9, ..heard(1, 2, 11) }, TIMING);
        assert_eq!(peers.all_acked(seconds(11), TIMING), 7);
        assert_eq!(peers.all_acked(seconds(12), TIMING), 7);
        assert_eq!(peers.all_acked(seconds(16), TIMING), u64::MAX, "their leases are over");
        peers.hear(Heard { acked: Some(3), own: 9, ..heard(1, 3, 16) }, TIMING);
        assert_eq!(peers.all_acked(seconds(16), TIMING), 7, "never goes back");
        peers.hear(Heard { bye: true, ..heard(1, 4, 16) }, TIMING);
        assert_eq!(peers.all_acked(seconds(16), TIMING), u64::MAX);
    }

    #[test]
    fn more_nodes_than_can_be_kept_apart_are_all_waited_for_by_their_leases() {
        let mut peers = Peers::default();
        let node = |n: u16| {
            let mut id = [0; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            NodeId(id)
        };
        let most = u16::try_from(MAX_PEERS).unwrap();
        for n in 0..most {
            peers.hear(Heard { from: node(n), own: 5, ..heard(0, 1, 0) }, TIMING);
        }
        assert_eq!(peers.all_acked(seconds(0), TIMING), 5);
        assert_eq!(peers.hear(Heard { from: node(most), ..heard(0, 1, 0) }, TIMING), Order::Gap);
        assert_eq!(peers.all_acked(seconds(0), TIMING), 0);
        for at in [4, 40] {
            assert!(peers.fell_silent(seconds(at), TIMING));
        }
        assert_eq!(peers.hear(Heard { from: node(most), own: 6, ..heard(0, 2, 41) }, TIMING), Order::Gap);
        assert_eq!(peers.hear(Heard { from: node(most), ..heard(0, 3, 41) }, TIMING), Order::Next);
        assert_eq!(peers.all_acked(seconds(41), TIMING), 6);
    }
}
