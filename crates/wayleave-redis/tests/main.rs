//! The store against real servers: conformance on one server and on a Cluster, round trips, what lies in the server, and
//! what becomes of broken keys and lost servers.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a failing test panics, and what was lost is said"
)]

use std::sync::Arc;
use std::time::Duration;

use wayleave_conformance::fixtures;
use wayleave_core::ports::{Entropy, EntropyFailure};
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_redis::{Options, RedisStore, Replication, Servers};
use wayleave_testkit::servers::redis::{Redis, RedisCluster, own_prefix};

mod acknowledgement;
mod bus;
mod cluster;
mod conformance;
mod failover;
mod judge;
mod keys;
mod memory;
mod outage;
mod round_trips;
mod setup;

struct System;

impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        getrandom::fill(buffer).map_err(|_| EntropyFailure)
    }
}

fn key(number: u8) -> SealingKey {
    SealingKey::new(KeyId(number.into()), [number; 32])
}

/// Under a prefix of its own.
fn options(servers: Servers) -> Options {
    let ring = KeyRing::new(key(1), []).unwrap();
    Options {
        prefix: own_prefix().into(),
        timeout: Duration::from_secs(20),
        ..Options::new(servers, Arc::new(ring), Arc::new(fixtures::routing()), Arc::new(System))
    }
}

/// A store of its own on the shared server.
async fn single() -> (RedisStore, Redis) {
    let server = Redis::shared().unwrap();
    (RedisStore::open(options(Servers::single(server.url()))).await.unwrap(), server)
}

/// Options for a Cluster, whose writes a replica acknowledges.
fn cluster_options(cluster: &RedisCluster) -> Options {
    Options {
        replication: Replication::OneReplica { within: Duration::from_secs(10) },
        ..options(Servers::cluster(cluster.urls()))
    }
}

/// A store of its own on the shared Cluster.
async fn cluster() -> (RedisStore, RedisCluster) {
    let cluster = RedisCluster::shared().unwrap();
    (RedisStore::open(cluster_options(&cluster)).await.unwrap(), cluster)
}

/// A connection that goes past the store.
async fn raw(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}
