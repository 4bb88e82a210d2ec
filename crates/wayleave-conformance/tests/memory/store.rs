//! `MemoryStore` passes every case.

use std::sync::Arc;

use wayleave_conformance::store::{Store, race};
use wayleave_conformance::{Races, store_suite};
use wayleave_core::memory::MemoryStore;

async fn fresh() -> Store {
    Arc::new(MemoryStore::default())
}

mod conformance {
    use super::{fresh, store_suite};

    store_suite!(fresh);
}

/// R024, R064, R065: at length, what every run does briefly.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn races_at_length() {
    race(fresh, Races::DEEP).await;
}
