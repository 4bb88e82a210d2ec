//! The store against real servers: conformance, what an operation costs, what lies in the database, and what becomes of
//! outages.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test panics"
)]

use std::sync::Arc;
use std::time::Duration;

use wayleave_conformance::directory::ManualClock;
use wayleave_conformance::fixtures;
use wayleave_core::ports::{Entropy, EntropyFailure};
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_postgres::{Options, PostgresStore};
use wayleave_testkit::servers::postgres::{Database, Postgres};

mod at_rest;
mod conformance;
mod judge;
mod outage;
mod proxy;
mod schema;
mod sessions;
mod standby;
mod tls;
mod trips;
mod vault;

struct System;

impl Entropy for System {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        getrandom::fill(buffer).map_err(|_| EntropyFailure)
    }
}

fn key(number: u8) -> SealingKey {
    SealingKey::new(KeyId(number.into()), [number; 32])
}

fn options() -> Options {
    let ring = KeyRing::new(key(1), []).unwrap();
    let clock = ManualClock::new(fixtures::BASE);
    let patience = Duration::from_secs(20);
    Options {
        acquire_timeout: patience,
        statement_timeout: patience,
        ..Options::new(Arc::new(ring), Arc::new(System), Arc::new(clock))
    }
}

/// A database of one's own on the server that all tests share.
fn database() -> Database {
    Postgres::shared().unwrap().database().unwrap()
}

/// A store in a database of its own.
async fn fresh() -> (PostgresStore, Database) {
    let database = database();
    (PostgresStore::connect(&database.url(), options()).await.unwrap(), database)
}
