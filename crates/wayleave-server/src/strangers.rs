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

/// Most refunds of one network that wait to be used, and most networks that have some.
const MOST_CREDITS: u32 = 100;
const MOST_NETWORKS: usize = 10_000;

/// How many attempts may fail before strangers wait.
pub struct FailedAttempts {
    all: Arc<RateLimit>,
    share: Arc<RateLimit>,
    /// Charged attempts that turned out well, by network: so many more are charged for nothing.
    credits: Mutex<HashMap<RateKey, u32>>,
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
            // What it comes to is asked before the next attempt.
            let _ = self.all.check(RateKey::EVERYONE);
        }
    }

    /// Counts an attempt as failed of which may never be heard again; [`Self::refund`] takes that back.
    ///
    /// What is refunded pays for the network's next such attempt, since a bucket takes nothing back. So people who sign
    /// in all day cost the deployment as many failures as were under way at once.
    pub fn charge(&self, client: Option<ClientAddress>) {
        let key = key(client);
        let mut credits = self.credits.lock();
        match credits.get_mut(&key) {
            Some(1) => drop(credits.remove(&key)),
            Some(left) => *left -= 1,
            None => {
                drop(credits);
                self.count(client);
            }
        }
    }

    /// Takes back one [charged](Self::charge) attempt. Past the limits of memory nothing is taken back.
    pub fn refund(&self, client: Option<ClientAddress>) {
        let mut credits = self.credits.lock();
        let known = credits.len();
        match credits.entry(key(client)) {
            Entry::Occupied(mut held) => {
                let left = held.get_mut();
                *left = left.saturating_add(1).min(MOST_CREDITS);
            }
            Entry::Vacant(free) if known < MOST_NETWORKS => drop(free.insert(1)),
            Entry::Vacant(_) => {}
        }
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
}
