//! How many connections each peer holds, so that no single one takes all there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use parking_lot::Mutex;

use super::client_address::ClientAddress;

/// How many connections one peer may hold.
#[derive(Copy, Clone, Debug)]
pub(super) struct MostHeld {
    /// From an IPv4 address, or a /64 of IPv6.
    pub(super) of_one: usize,
    /// From a /48 of IPv6, of which whoever rents a server may have all.
    pub(super) of_one_site: usize,
}

/// The connections of every peer, counted by IPv4 address, by /64 and by /48 of IPv6.
pub(super) struct Peers {
    most: MostHeld,
    /// Proxies, whose connections are those of all their clients.
    exempt: Vec<IpNet>,
    held: Mutex<HashMap<IpNet, usize>>,
}

/// One connection of a peer, until it is dropped.
pub(super) struct Held(Option<(Arc<Peers>, ClientAddress)>);

impl Peers {
    pub(super) fn new(most: MostHeld, exempt: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { most, exempt, held: Mutex::default() })
    }

    /// One more of `peer`, unless it has as many as it may. This machine and the exempt may have any number.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Held> {
        let peer = peer.to_canonical();
        if peer.is_loopback() || self.exempt.iter().any(|network| network.contains(&peer)) {
            return Some(Held(None));
        }
        let peer = ClientAddress::new(peer);
        let mut held = self.held.lock();
        let full = self.networks(peer).any(|(network, most)| held.get(&network).copied().unwrap_or(0) >= most);
        if full {
            return None;
        }
        for (network, _) in self.networks(peer) {
            *held.entry(network).or_default() += 1;
        }
        Some(Held(Some((Arc::clone(self), peer))))
    }

    /// The networks that a peer is counted in, and how many each may hold.
    fn networks(&self, peer: ClientAddress) -> impl Iterator<Item = (IpNet, usize)> {
        let site = peer.site().map(|site| (site, self.most.of_one_site));
        [(peer.subscriber(), self.most.of_one)].into_iter().chain(site)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((peers, peer)) = self.0.take() else { return };
        let mut held = peers.held.lock();
        for (network, _) in peers.networks(peer) {
            if let Some(count) = held.get_mut(&network) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    held.remove(&network);
                }
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
        let most = MostHeld { of_one: 2, of_one_site: 3 };
        let peers = Peers::new(most, vec!["10.0.0.0/8".parse().unwrap()]);
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
        // Whoever has a /48 does not have it 65,536 times.
        let mut site: Vec<_> = (0..4).map(|n| admit(&format!("2001:db8:0:{n}::1"))).collect();
        assert_eq!(site.iter().filter(|held| held.is_some()).count(), 3);
        assert!(admit("2001:db8:1::1").is_some());
        site.remove(0);
        assert!(admit("2001:db8:0:ffff::1").is_some());
        drop(site);
        assert!(peers.held.lock().is_empty());
        for free in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"] {
            let all: Vec<_> = (0..100).map(|_| admit(free)).collect();
            assert!(all.iter().all(Option::is_some), "{free}");
        }
    }
}
