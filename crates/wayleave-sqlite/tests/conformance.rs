//! The published suites, races included, against real files.

use std::sync::Arc;

use tempfile::TempDir;
use wayleave_conformance::directory::{Directory, ManualClock};
use wayleave_conformance::fixtures;
use wayleave_conformance::store::Store;
use wayleave_sqlite::{Options, SqliteStore};

async fn store() -> (Store, TempDir) {
    let (store, folder) = crate::fresh().await;
    (Arc::new(store), folder)
}

/// The store itself keeps the folder: some cases hold on to one of the ports and to nothing else.
async fn directory() -> Directory {
    let clock = Arc::new(ManualClock::new(fixtures::BASE));
    let options = Options { clock: clock.clone(), ..crate::options() };
    Directory::of(Arc::new(SqliteStore::open_temporary(options).await.unwrap()), clock)
}

mod sessions {
    use super::store;
    wayleave_conformance::store_suite!(store);
}

mod directories {
    use super::directory;
    wayleave_conformance::directory_suite!(directory);
}
