//! How many connections each peer holds, so that no single one takes all there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::Mutex;

use super::client_address::ClientAddress;

/// The connections of every peer, counted by IPv4 address and by /64 of IPv6.
pub(super) struct Peers {
    most: usize,
    /// Proxies, whose connections are those of all their clients.
    exempt: Vec<IpNet>,
    held: Mutex<HashMap<IpNet, usize>>,
}

/// One connection of a peer, until it is dropped.
pub(super) struct Held(Option<(Arc<Peers>, IpNet)>);

impl Peers {
    pub(super) fn new(most: usize, exempt: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { most, exempt, held: Mutex::default() })
    }

    /// One more of `peer`, unless it has as many as it may. This machine and the exempt may have any number.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Held> {
        let peer = peer.to_canonical();
        if peer.is_loopback() || self.exempt.iter().any(|network| network.contains(&peer)) {
            return Some(Held(None));
        }
        let network = ClientAddress::new(peer).subscriber();
        let mut held = self.held.lock();
        let count = held.entry(network).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Held(Some((Arc::clone(self), network))))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((peers, network)) = self.0.take() else { return };
        let mut held = peers.held.lock();
        if let Some(count) = held.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A76: one peer, and one /64, holds so many and no more; others, this machine and proxies are not touched.
    #[test]
    fn a_peer_has_so_many_and_no_more() {
        let peers = Peers::new(2, vec!["10.0.0.0/8".parse().unwrap()]);
        let admit = |text: &str| peers.admit(text.parse().unwrap());
        for (first, second, third, other) in [
            ("192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::2", "2001:db8::3:0:0:1", "2001:db8:0:1::1"),
        ] {
            let (one, two) = (admit(first), admit(second));
            assert!(one.is_some() && two.is_some());
            assert!(admit(third).is_none());
            assert!(admit(other).is_some());
            drop(one);
            assert!(admit(third).is_some());
            drop(two);
        }
        assert!(peers.held.lock().is_empty());
        for free in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"] {
            let all: Vec<_> = (0..100).map(|_| admit(free)).collect();
            assert!(all.iter().all(Option::is_some), "{free}");
        }
    }
}
