//! Blobs: conformance against a real server, and that uploads take no connection from anybody else.

use std::sync::Arc;
use std::time::Duration;

use wayleave_conformance::Races;
use wayleave_conformance::blobs::{Blobs, suite};
use wayleave_conformance::fixtures::{BASE, bytes, person};
use wayleave_core::blob::BlobId;
use wayleave_core::ports::{Allowance, AppendPiece, BeginUpload, BlobStore, BlobsDue, SessionStore as _, Upload};
use wayleave_core::time::Timestamp;
use wayleave_postgres::{Options, PostgresStore};
use wayleave_testkit::servers::postgres::Database;

use crate::{database, options};

async fn blobs() -> (Blobs, Database) {
    let (store, database) = crate::fresh().await;
    (Arc::new(store), database)
}

mod conformance {
    use super::blobs;
    wayleave_conformance::blobs_suite!(blobs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn blobs_at_length() {
    suite(blobs, Races::DEEP).await;
}

const ALLOWANCE: Allowance = Allowance { bytes: 1 << 30, blobs: 1000, uploads: 1000, overlap: 0 };

fn upload(number: u32) -> Upload {
    Upload { owner: person(number), id: BlobId(bytes("upload", number)) }
}

/// While uploads wait for the database, and more of them than there are connections, sessions are read and written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_keep_no_sign_in_waiting() {
    let database = Arc::new(database());
    let patience = Duration::from_secs(4);
    let few = Options { connections: 2, vault_connections: 2, acquire_timeout: patience, ..options() };
    let store = Arc::new(PostgresStore::connect(&database.url(), few).await.unwrap());
    for number in 0..10 {
        assert_eq!(store.begin(&upload(number), &ALLOWANCE, BASE, BASE).await.unwrap(), BeginUpload::Done);
    }
    let locked = std::thread::spawn({
        let database = Arc::clone(&database);
        move || database.psql("BEGIN; LOCK TABLE wayleave.vault_pieces; SELECT pg_sleep(2); COMMIT")
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'wayleave.vault_pieces'::regclass";
    while database.psql(waiting).unwrap() == "0" {}
    let appends: Vec<_> = (0..10)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.append(&upload(number), &ALLOWANCE, 0, vec![1; 1000]).await.unwrap() })
        })
        .collect();
    let mut beside = 0;
    while !locked.is_finished() {
        store.ping().await.unwrap();
        beside += u32::from(!appends.iter().any(tokio::task::JoinHandle::is_finished));
    }
    assert!(beside > 3, "{beside} answers while the uploads waited");
    for append in appends {
        assert_eq!(append.await.unwrap(), AppendPiece::Done);
    }
    locked.join().unwrap().unwrap();
}

/// A sweep waits for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sweep_passes_over_whoever_is_at_work() {
    let (store, database) = crate::fresh().await;
    for number in 0..3 {
        assert_eq!(store.begin(&upload(number), &ALLOWANCE, BASE, BASE).await.unwrap(), BeginUpload::Done);
    }
    let hold = format!(
        "SELECT pg_advisory_lock(l.classid::INTEGER, hashtext('{}')), pg_sleep(3) FROM (SELECT {}) AS l (classid)",
        person(1),
        lock_class()
    );
    let database = Arc::new(database);
    let holder = std::thread::spawn({
        let database = Arc::clone(&database);
        move || database.psql(&hold)
    });
    while database.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").unwrap() == "0" {}
    let due = BlobsDue { replaced_before: Timestamp::MIN, begun_before: Timestamp::MAX };
    assert_eq!(BlobStore::sweep(&store, due, 10).await.unwrap().uploads, 2);
    assert!(!holder.is_finished());
    holder.join().unwrap().unwrap();
    assert_eq!(BlobStore::sweep(&store, due, 10).await.unwrap().uploads, 1);
}

/// The first half of the key of an owner's lock: FNV-1a over the schema's name and what the lock is for.
fn lock_class() -> i32 {
    let hash = b"wayleave\0blobs"
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}
