//! Credentials that prove nothing: how many of them one client may show, and what becomes of its good ones after that
//! (A11).
//!
//! Behind one address there are often many people: an office, a provider's gateway, a load balancer that nobody listed
//! as a proxy. A client past its limit is therefore not shut out. What memory knows goes on as always; what has to be
//! looked for in the store goes through a budget that all clients past their limit share, so that the store is safe
//! from them together. What was found good there before goes free of it.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::http::rate_limit::{RateKey, RateLimit, Refusal};

/// How many lookups for clients past their limit go on at a time.
const AT_A_TIME: usize = 8;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);
/// Credentials remembered as good.
const REMEMBERED: usize = 10_000;

/// The limits, and what is remembered of good credentials.
pub struct UnknownCredentials {
    unknown: Arc<RateLimit>,
    ended: Arc<RateLimit>,
    past: Option<Arc<RateLimit>>,
    turns: Semaphore,
    good: Cache<[u8; 32], ()>,
}

/// What [`UnknownCredentials`] counts by.
pub struct UnknownLimits {
    /// What nobody issued, by client.
    pub unknown: Arc<RateLimit>,
    /// What has ended, by client: people come back to those by themselves, so there may be more.
    pub ended: Arc<RateLimit>,
    /// Lookups for all clients together that are past either; `None` for no such limit.
    pub past: Option<Arc<RateLimit>>,
}

/// The right to one lookup; to be held until the store has answered.
pub struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl UnknownCredentials {
    /// With nobody counted yet.
    #[must_use]
    pub fn new(limits: UnknownLimits) -> Self {
        let UnknownLimits { unknown, ended, past } = limits;
        Self { unknown, ended, past, turns: Semaphore::new(AT_A_TIME), good: Cache::new(REMEMBERED) }
    }

    /// Lets a credential be looked for.
    ///
    /// # Errors
    /// [`Refusal`] of a client past its limit, when the budget is used up too.
    pub async fn admit(&self, client: RateKey, credential: &str) -> Result<Turn<'_>, Refusal> {
        let Err(refusal) = self.unknown.look(client).and_then(|()| self.ended.look(client)) else {
            return Ok(Turn { _permit: None });
        };
        if self.good.get(&digest(credential)).is_some() {
            return Ok(Turn { _permit: None });
        }
        if self.past.as_ref().is_some_and(|past| past.check(RateKey::EVERYONE).is_err()) {
            return Err(refusal);
        }
        match tokio::time::timeout(PATIENCE, self.turns.acquire()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: Some(permit) }),
            Ok(Err(_)) | Err(_) => Err(refusal),
        }
    }

    /// Remembers a credential that was found good.
    pub fn remember(&self, credential: &str) {
        self.good.insert(digest(credential), ());
    }

    /// Counts a credential that nobody issued.
    ///
    /// # Errors
    /// [`Refusal`] of a client past its limit.
    pub fn count_unknown(&self, client: RateKey, credential: &str) -> Result<(), Refusal> {
        self.good.remove(&digest(credential));
        self.unknown.check(client).map(drop)
    }

    /// Counts a credential that has ended.
    ///
    /// # Errors
    /// [`Refusal`] of a client past its limit.
    pub fn count_ended(&self, client: RateKey, credential: &str) -> Result<(), Refusal> {
        self.good.remove(&digest(credential));
        self.ended.check(client).map(drop)
    }

    /// The limits, for upkeep.
    pub fn limits(&self) -> impl Iterator<Item = &Arc<RateLimit>> {
        [&self.unknown, &self.ended].into_iter().chain(&self.past)
    }
}

fn digest(credential: &str) -> [u8; 32] {
    Sha256::digest(credential.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::http::client_address::ClientAddress;

    /// A store that hangs is asked by so many at a time; the others wait for a moment and are refused. Clients below their
    /// limit wait for nobody.
    #[tokio::test(start_paused = true)]
    async fn only_so_many_lookups_go_on_at_a_time() {
        let unknown = UnknownCredentials::new(UnknownLimits {
            unknown: RateLimit::still(1),
            ended: RateLimit::still(10),
            past: None,
        });
        let client = |last| RateKey::of(ClientAddress::new(Ipv4Addr::new(192, 0, 2, last).into()));
        assert!(unknown.count_unknown(client(1), "x").is_ok());
        let mut turns = Vec::new();
        for _ in 0..AT_A_TIME {
            turns.push(unknown.admit(client(1), "x").await.unwrap());
        }
        assert!(unknown.admit(client(1), "x").await.is_err());
        assert!(unknown.admit(client(2), "x").await.is_ok());
        unknown.remember("good");
        assert!(unknown.admit(client(1), "good").await.is_ok());
        let waiting = unknown.admit(client(1), "x");
        let gives_up = async {
            tokio::task::yield_now().await;
            turns.pop();
        };
        let (waited, ()) = tokio::join!(waiting, gives_up);
        assert!(waited.is_ok(), "a turn that ends is the next one's");
    }
}
