//! `MemoryStore` passes every case.

use std::sync::Arc;

use wayleave_conformance::store::Store;
use wayleave_core::memory::MemoryStore;

async fn fresh() -> Store {
    Arc::new(MemoryStore::default())
}

wayleave_conformance::store_suite!(fresh);
