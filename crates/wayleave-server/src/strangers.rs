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
