//! A session store with something around every call: the one place that passes all verbs on.

use std::sync::Arc;

use async_trait::async_trait;
use wayleave_core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Swept, Touch, Update,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

/// What is done around every call of a port.
pub trait Around<V>: Send + Sync {
    /// Makes `call`, which is a `verb`, or does not. A call that is not to reach the backend must never be polled.
    ///
    /// # Errors
    /// That of `call`, and whatever else goes wrong.
    fn around<T: Send>(
        &self,
        verb: V,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> impl Future<Output = Result<T, StoreError>> + Send;
}

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

/// Passes every call on to the store within, through `around`.
pub struct WrappedStore<A> {
    inner: Arc<dyn SessionStore>,
    around: A,
}

impl<A> WrappedStore<A> {
    /// Wraps `inner`.
    #[must_use]
    pub const fn around(inner: Arc<dyn SessionStore>, around: A) -> Self {
        Self { inner, around }
    }

    /// What is around every call.
    #[must_use]
    pub const fn wrapping(&self) -> &A {
        &self.around
    }
}

#[async_trait]
impl<A: Around<StoreVerb>> SessionStore for WrappedStore<A> {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        self.around.around(StoreVerb::Insert, self.inner.insert(record, limit, replaces, now)).await
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        self.around.around(StoreVerb::Find, self.inner.find(lookup)).await
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        self.around.around(StoreVerb::Update, self.inner.update(record, expected)).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        self.around.around(StoreVerb::Rotate, self.inner.rotate(rotation)).await
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        self.around.around(StoreVerb::Deposit, self.inner.deposit(ticket, most, now)).await
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        self.around.around(StoreVerb::Take, self.inner.take(purpose, key, now)).await
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        self.around.around(StoreVerb::Revoke, self.inner.revoke(scope)).await
    }

    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        self.around.around(StoreVerb::List, self.inner.list(listing)).await
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        self.around.around(StoreVerb::Touch, self.inner.touch(touches)).await
    }

    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.around.around(StoreVerb::ErasePairs, self.inner.erase_pairs(before, most)).await
    }

    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        self.around.around(StoreVerb::Sweep, self.inner.sweep(before, most)).await
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        self.around.around(StoreVerb::Census, self.inner.census(now)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.around.around(StoreVerb::Ping, self.inner.ping()).await
    }
}
