//! The published suites, races included, against real servers.

use std::sync::Arc;

use wayleave_conformance::Races;
use wayleave_conformance::store::{Store, race};
use wayleave_testkit::servers::redis::{Redis, RedisCluster};

async fn single() -> (Store, Redis) {
    let (store, server) = crate::single().await;
    (Arc::new(store), server)
}

async fn cluster() -> (Store, RedisCluster) {
    let (store, servers) = crate::cluster().await;
    (Arc::new(store), servers)
}

mod sessions {
    use super::single;
    wayleave_conformance::store_suite!(single);
}

mod sessions_in_a_cluster {
    use super::cluster;
    wayleave_conformance::store_suite!(cluster);
}

/// R024, R064, R065: at length, what every run does briefly.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn races_at_length() {
    race(single, Races::DEEP).await;
}

/// R024, R064, R065: the same in a Cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn races_in_a_cluster_at_length() {
    race(cluster, Races::DEEP).await;
}
