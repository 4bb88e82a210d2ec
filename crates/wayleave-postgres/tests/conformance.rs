//! The published suites, races included, against a real server.

use std::sync::Arc;

use wayleave::SystemClock;
use wayleave::kv::{RecordSessions, RecordSessionsOptions};
use wayleave_conformance::Races;
use wayleave_conformance::bus::Nodes;
use wayleave_conformance::directory::{Directory, ManualClock};
use wayleave_conformance::fixtures;
use wayleave_conformance::kv::Kv;
use wayleave_conformance::store::{Store, race};
use wayleave_postgres::{Options, PostgresStore};
use wayleave_testkit::servers::postgres::Database;

use crate::{database, options};

async fn store() -> (Store, Database) {
    let (store, database) = crate::fresh().await;
    (Arc::new(store), database)
}

async fn directory() -> (Directory, Database) {
    let clock = Arc::new(ManualClock::new(fixtures::BASE));
    let database = database();
    let store = PostgresStore::connect(&database.url(), Options { clock: clock.clone(), ..options() }).await.unwrap();
    (Directory::of(Arc::new(store), clock), database)
}

/// Two nodes with connections of their own.
async fn nodes() -> (Nodes, Arc<Database>) {
    const HANG_UP: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' \
         AND datname = current_database()";
    let database = Arc::new(database());
    let node = async || Arc::new(PostgresStore::connect(&database.url(), options()).await.unwrap());
    let (one, two) = (node().await, node().await);
    let cut = Arc::clone(&database);
    let cut = move || -> wayleave_conformance::Running<()> {
        cut.psql(HANG_UP).unwrap();
        Box::pin(async {})
    };
    (Nodes { nodes: [one, two], cut: Arc::new(cut) }, database)
}

/// Key-value sessions, as records of the store.
async fn key_value() -> (Kv, Database) {
    let (store, database) = crate::fresh().await;
    let (routing, options) = (fixtures::routing(), RecordSessionsOptions::default());
    let sessions = RecordSessions::new(Arc::new(store), Arc::new(SystemClock), routing, options);
    (Kv::of(sessions), database)
}

mod sessions {
    use super::store;
    wayleave_conformance::store_suite!(store);
}

mod directories {
    use super::directory;
    wayleave_conformance::directory_suite!(directory);
}

mod kv {
    use super::key_value;
    wayleave_conformance::kv_suite!(key_value);
}

mod bus {
    use super::nodes;
    wayleave_conformance::bus_suite!(nodes);
}

/// R024, R064, R065: at length, what every run does briefly.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn races_at_length() {
    race(store, Races::DEEP).await;
}
