//! Counters of failed attempts. They live in the store, so a restart forgives nobody.

use async_trait::async_trait;

use super::StoreError;
use crate::lockout::{Counter, Reservation, Rule};
use crate::time::Timestamp;

/// A keyed hash of what is counted: an identifier, a device. Never the thing itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CounterKey(pub [u8; 32]);

/// Keeps counters.
#[async_trait]
pub trait Counters: Send + Sync {
    /// Reserves one attempt, atomically, by [`Counter::reserve`].
    async fn reserve(&self, key: CounterKey, rule: Rule, now: Timestamp) -> Result<Reservation, StoreError>;

    /// Forgets all attempts after a success, or at an administrator's order; whether there were any.
    async fn clear(&self, key: CounterKey) -> Result<bool, StoreError>;

    /// The counter as it stands.
    async fn read(&self, key: CounterKey) -> Result<Counter, StoreError>;

    /// Removes at most `most` counters that say nothing any more under `rule`; how many.
    async fn sweep(&self, rule: Rule, now: Timestamp, most: u32) -> Result<u32, StoreError>;
}
