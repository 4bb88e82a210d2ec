//! The published suites, races included, against real files.

use std::sync::Arc;

use tempfile::TempDir;
use wayleave_conformance::Races;
use wayleave_conformance::directory::{Directory, ManualClock};
use wayleave_conformance::fixtures;
use wayleave_conformance::store::{Store, race};
use wayleave_sqlite::{Options, SqliteStore};

async fn store() -> (Store, TempDir) {
    let (store, folder) = crate::fresh().await;
    (Arc::new(store), folder)
}

async fn directory() -> (Directory, TempDir) {
    let clock = Arc::new(ManualClock::new(fixtures::BASE));
    let folder = TempDir::new().unwrap();
    let options = Options { clock: clock.clone(), ..crate::options() };
    let store = SqliteStore::open(folder.path().join("wayleave.sqlite"), options).await.unwrap();
    (Directory::of(Arc::new(store), clock), folder)
}

mod sessions {
    use super::store;
    wayleave_conformance::store_suite!(store);
}

mod directories {
    use super::directory;
    wayleave_conformance::directory_suite!(directory);
}

/// R024, R064, R065: at length, what every run does briefly.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn races_at_length() {
    race(store, Races::DEEP).await;
}
