//! A session store with faults: wraps a real one, fails on demand, and counts calls by verb.

use std::sync::Arc;

use wayleave_core::ports::{SessionStore, StoreError};

use crate::faults::{Fault, Faults};
use crate::wrapped_store::{Around, StoreVerb, WrappedStore};

/// Passes every call on to the store within, unless a fault is set, and counts it.
pub type FailingStore = WrappedStore<Faults<StoreVerb>>;

impl FailingStore {
    /// Wraps `inner`; nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<dyn SessionStore>) -> Self {
        Self::around(inner, Faults::default())
    }

    /// What fails, and what was called.
    #[must_use]
    pub const fn faults(&self) -> &Faults<StoreVerb> {
        self.wrapping()
    }

    /// No verb reaches the store from now on.
    pub fn take_down(&self) {
        StoreVerb::ALL.into_iter().for_each(|verb| self.faults().fail(verb, Fault::DOWN));
    }

    /// Every verb works again.
    pub fn bring_up(&self) {
        StoreVerb::ALL.into_iter().for_each(|verb| self.faults().heal(verb));
    }
}

impl Around<StoreVerb> for Faults<StoreVerb> {
    async fn around<T: Send>(
        &self,
        verb: StoreVerb,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        Self::around(self, verb, call).await
    }
}

#[cfg(test)]
mod tests;
