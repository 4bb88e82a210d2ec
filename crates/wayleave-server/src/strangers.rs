//! Failed attempts of the whole deployment: guesses that are spread over many accounts and addresses make strangers
//! wait (A52).
//!
//! Each network has a share of what may fail, so that a few of them cannot use up what is everybody's; one that has
//! used its share up waits by itself.

use std::sync::Arc;

use crate::http::client_address::ClientAddress;
use crate::http::rate_limit::{RateKey, RateLimit, Refusal};

/// The part of all failures that one network may cause.
pub const SHARE: u32 = 10;

/// How many attempts may fail before strangers wait.
pub struct FailedAttempts {
    all: Arc<RateLimit>,
    share: Arc<RateLimit>,
}

impl FailedAttempts {
    /// `all` counts the whole deployment's, `share` those of each network.
    #[must_use]
    pub const fn new(all: Arc<RateLimit>, share: Arc<RateLimit>) -> Self {
        Self { all, share }
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
}
