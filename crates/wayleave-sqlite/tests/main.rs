//! The store against real files: conformance, what lies on the disk, and what becomes of broken or full files.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tempfile::TempDir;
use wayleave_conformance::directory::ManualClock;
use wayleave_conformance::fixtures;
use wayleave_core::ports::{Entropy, EntropyFailure};
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_sqlite::{Options, SqliteStore};

mod at_rest;
mod conformance;
mod file;
mod full;
mod sessions;
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
    Options {
        readers: 4,
        busy_timeout: Duration::from_secs(20),
        ..Options::new(Arc::new(ring), Arc::new(System), Arc::new(clock))
    }
}

/// A store in a folder of its own, which goes when the folder is dropped.
async fn fresh() -> (SqliteStore, TempDir) {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("wayleave.sqlite"), options()).await.unwrap();
    (store, folder)
}

/// A connection that goes past the store.
async fn raw(folder: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.join("wayleave.sqlite")).connect().await.unwrap()
}
