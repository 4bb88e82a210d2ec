//! Failed attempts of the whole deployment: guesses that are spread over many accounts and addresses make strangers
//! wait (A52).
//!
//! Each network has a share of what may fail, so that a few of them cannot use up what is everybody's; one that has
//! used its share up waits by itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::http::client_address::ClientAddress;
use crate::http::rate_limit::{RateKey, RateLimit, Refusal};

/// The part of all failures that one network may cause.
pub const SHARE: u32 = 10;

/// Most refunds of one network, and of the deployment, that wait to be used: so many more than the limits say may fail.
const MOST_CREDITS: u32 = 100;
/// Most networks with refunds that wait. When there are more, all of them begin anew.
const MOST_NETWORKS: usize = 10_000;

/// How many attempts may fail before strangers wait.
pub struct FailedAttempts {
    all: Arc<RateLimit>,
    share: Arc<RateLimit>,
    credits: Mutex<Credits>,
}

/// Charged attempts that turned out well: so many more are charged for nothing, to the deployment and to each network.
#[derive(Default)]
struct Credits {
    all: u32,
    networks: HashMap<RateKey, u32>,
}

impl Credits {
    fn take_of_all(&mut self) -> bool {
        let left = self.all.checked_sub(1);
        self.all = left.unwrap_or(0);
        left.is_some()
    }

    fn take_of(&mut self, network: RateKey) -> bool {
        let Entry::Occupied(mut held) = self.networks.entry(network) else { return false };
        match held.get().checked_sub(1) {
            None | Some(0) => drop(held.remove()),
            Some(left) => drop(held.insert(left)),
        }
        true
    }

    fn give(&mut self, network: RateKey) {
        self.all = self.all.saturating_add(1).min(MOST_CREDITS);
        if self.networks.len() >= MOST_NETWORKS && !self.networks.contains_key(&network) {
            self.networks.clear();
        }
        let held = self.networks.entry(network).or_default();
        *held = held.saturating_add(1).min(MOST_CREDITS);
    }
}

impl FailedAttempts {
    /// `all` counts the whole deployment's, `share` those of each network.
    #[must_use]
    pub fn new(all: Arc<RateLimit>, share: Arc<RateLimit>) -> Self {
        Self { all, share, credits: Mutex::default() }
    }

    /// Whether a stranger may try.
    ///
    /// # Errors
    /// [`Refusal`] while too many have failed, of the client's network or of all.
    pub fn look(&self, client: Option<ClientAddress>) -> Result<(), Refusal> {
        self.share.look(key(client))?;
        self.all.look(RateKey::EVERYONE)
    }

    /// Counts an attempt that failed. What is past a network's share is not taken from the others.
    pub fn count(&self, client: Option<ClientAddress>) {
        if self.share.check(key(client)).is_ok() {
            self.count_of_all();
        }
    }

    fn count_of_all(&self) {
        // What it comes to is asked before the next attempt.
        let _ = self.all.check(RateKey::EVERYONE);
    }

    /// Counts an attempt as failed of which may never be heard again; [`Self::refund`] takes that back.
    ///
    /// What is refunded pays for the next such attempt of the network and of the deployment, since a bucket takes nothing
    /// back. So people who sign in all day, from wherever, cost as many failures as were under way at once.
    pub fn charge(&self, client: Option<ClientAddress>) {
        let key = key(client);
        let mut credits = self.credits.lock();
        let within_share = credits.take_of(key) || self.share.check(key).is_ok();
        if within_share && !credits.take_of_all() {
            self.count_of_all();
        }
    }

    /// Takes back one [charged](Self::charge) attempt. Past the limits of memory nothing is taken back.
    pub fn refund(&self, client: Option<ClientAddress>) {
        self.credits.lock().give(key(client));
    }

    /// The limits, for upkeep.
    pub fn limits(&self) -> impl Iterator<Item = &Arc<RateLimit>> {
        [&self.all, &self.share].into_iter()
    }
}

fn key(client: Option<ClientAddress>) -> RateKey {
    client.map_or(RateKey::EVERYONE, RateKey::of_network)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Option<ClientAddress> {
        Some(ClientAddress::new(address.parse().unwrap()))
    }

    /// A52: what fails past a network's share, as that of known browsers may, is taken from nobody else. A /48 is one
    /// network.
    #[test]
    fn a_network_takes_its_share_and_no_more() {
        let failed = FailedAttempts::new(RateLimit::still(5), RateLimit::still(2));
        for n in 0..100 {
            failed.count(client(&format!("192.0.2.{n}")));
        }
        assert!(failed.look(client("192.0.2.200")).is_err());
        assert!(failed.look(client("198.51.100.1")).is_ok());
        for n in 0..100 {
            failed.count(client(&format!("2001:db8:7:{n:x}::1")));
        }
        assert!(failed.look(client("2001:db8:7:ffff::1")).is_err());
        assert!(failed.look(client("2001:db8:8::1")).is_ok(), "one is left");
        failed.count(client("203.0.113.1"));
        assert!(failed.look(client("198.51.100.1")).is_err(), "of all");
    }

    /// R112, A52: what may have failed counts like what has, until it is taken back; who signs in again and again is charged
    /// as often as at once, and pays for nobody else.
    #[test]
    fn what_turns_out_well_is_taken_back() {
        let failed = FailedAttempts::new(RateLimit::still(5), RateLimit::still(2));
        let (home, elsewhere) = (client("192.0.2.1"), client("198.51.100.1"));
        for _ in 0..100 {
            failed.charge(home);
            failed.refund(home);
        }
        assert!(failed.look(home).is_ok());
        failed.charge(home);
        failed.charge(home);
        assert!(failed.look(home).is_err(), "the first is paid for, the second is not, and the share was two");
        failed.charge(elsewhere);
        failed.charge(elsewhere);
        assert!(failed.look(elsewhere).is_err());
        failed.refund(home);
        assert!(failed.look(elsewhere).is_err());
    }

    /// R112: good sign-ins from everywhere, one from each network, cost the deployment no more than was under way at once.
    #[test]
    fn good_sign_ins_from_everywhere_turn_nobody_away() {
        let failed = FailedAttempts::new(RateLimit::still(5), RateLimit::still(2));
        let somewhere = |n: u32| client(&std::net::Ipv4Addr::from(0x0B00_0000 + n * 256).to_string());
        for n in 0..200 {
            failed.charge(somewhere(n));
            failed.refund(somewhere(n));
        }
        for n in 0..5 {
            assert!(failed.look(client("203.0.113.1")).is_ok(), "{n}");
            failed.charge(client(&format!("198.51.{n}.1")));
        }
        assert!(failed.look(client("203.0.113.1")).is_err(), "the first of all, and four that nothing paid for");
        for n in 0..20_000 {
            failed.refund(somewhere(n));
        }
        let credits = failed.credits.lock();
        assert!(credits.networks.len() <= MOST_NETWORKS && credits.all == MOST_CREDITS);
    }
}
