//! A session store with faults: wraps a real one, fails on demand, and counts calls by verb.

use std::sync::Arc;

use async_trait::async_trait;
use wayleave_core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Swept, Touch, Update,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use crate::faults::{Fault, Faults};

/// A verb of [`SessionStore`].
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreVerb {
    /// [`SessionStore::insert`].
    Insert,
    /// [`SessionStore::find`].
    Find,
    /// [`SessionStore::update`].
    Update,
    /// [`SessionStore::rotate`].
    Rotate,
    /// [`SessionStore::deposit`].
    Deposit,
    /// [`SessionStore::take`].
    Take,
    /// [`SessionStore::revoke`].
    Revoke,
    /// [`SessionStore::list`].
    List,
    /// [`SessionStore::touch`].
    Touch,
    /// [`SessionStore::erase_pairs`].
    ErasePairs,
    /// [`SessionStore::sweep`].
    Sweep,
    /// [`SessionStore::census`].
    Census,
    /// [`SessionStore::ping`].
    Ping,
}

impl StoreVerb {
    /// Every verb.
    pub const ALL: [Self; 13] = [
        Self::Insert,
        Self::Find,
        Self::Update,
        Self::Rotate,
        Self::Deposit,
        Self::Take,
        Self::Revoke,
        Self::List,
        Self::Touch,
        Self::ErasePairs,
        Self::Sweep,
        Self::Census,
        Self::Ping,
    ];
}

/// Passes every call on to the store within, unless a fault is set, and counts it.
pub struct FailingStore {
    inner: Arc<dyn SessionStore>,
    faults: Faults<StoreVerb>,
}

impl FailingStore {
    /// Wraps `inner`; nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<dyn SessionStore>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// What fails, and what was called.
    #[must_use]
    pub const fn faults(&self) -> &Faults<StoreVerb> {
        &self.faults
    }

    /// No verb reaches the store from now on.
    pub fn take_down(&self) {
        StoreVerb::ALL.into_iter().for_each(|verb| self.faults.fail(verb, Fault::DOWN));
    }

    /// Every verb works again.
    pub fn bring_up(&self) {
        StoreVerb::ALL.into_iter().for_each(|verb| self.faults.heal(verb));
    }
}

#[async_trait]
impl SessionStore for FailingStore {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        self.faults.around(StoreVerb::Insert, self.inner.insert(record, limit, replaces, now)).await
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        self.faults.around(StoreVerb::Find, self.inner.find(lookup)).await
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        self.faults.around(StoreVerb::Update, self.inner.update(record, expected)).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        self.faults.around(StoreVerb::Rotate, self.inner.rotate(rotation)).await
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        self.faults.around(StoreVerb::Deposit, self.inner.deposit(ticket, most, now)).await
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        self.faults.around(StoreVerb::Take, self.inner.take(purpose, key, now)).await
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        self.faults.around(StoreVerb::Revoke, self.inner.revoke(scope)).await
    }

    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        self.faults.around(StoreVerb::List, self.inner.list(listing)).await
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        self.faults.around(StoreVerb::Touch, self.inner.touch(touches)).await
    }

    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.faults.around(StoreVerb::ErasePairs, self.inner.erase_pairs(before, most)).await
    }

    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        self.faults.around(StoreVerb::Sweep, self.inner.sweep(before, most)).await
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        self.faults.around(StoreVerb::Census, self.inner.census(now)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.faults.around(StoreVerb::Ping, self.inner.ping()).await
    }
}

#[cfg(test)]
mod tests;
