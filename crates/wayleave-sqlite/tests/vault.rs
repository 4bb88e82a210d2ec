//! The vault's file: conformance, private, and beside the store's file rather than in it.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use tempfile::TempDir;
use wayleave_conformance::Races;
use wayleave_conformance::blobs::{Blobs, suite};
use wayleave_conformance::fixtures::{BASE, at, bytes, person};
use wayleave_core::blob::BlobId;
use wayleave_core::ports::{
    Allowance, AppendPiece, BeginUpload, BlobStore as _, BlobsDue, CommitUpload, Expected, MAX_PIECE, StoreError,
    Upload,
};
use wayleave_sqlite::{OpenError, Options, Schema, SqliteVault};

use crate::options;

async fn fresh() -> (Blobs, TempDir) {
    let folder = TempDir::new().unwrap();
    (Arc::new(open(&folder).await), folder)
}

async fn open(folder: &TempDir) -> SqliteVault {
    SqliteVault::open(folder.path().join("vault.db"), &options()).await.unwrap()
}

async fn raw(folder: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.path().join("vault.db")).connect().await.unwrap()
}

mod conformance {
    use super::fresh;
    wayleave_conformance::blobs_suite!(fresh);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn blobs_at_length() {
    suite(fresh, Races::DEEP).await;
}

const ALLOWANCE: Allowance = Allowance { bytes: 1 << 30, blobs: 1000, uploads: 10, overlap: 0 };

fn upload(number: u32) -> Upload {
    Upload { owner: person(1), id: BlobId(bytes("upload", number)) }
}

async fn stage(vault: &SqliteVault, upload: &Upload, pieces: u32) {
    assert_eq!(vault.begin(upload, &ALLOWANCE, BASE, BASE).await.unwrap(), BeginUpload::Done);
    for number in 0..pieces {
        assert_eq!(vault.append(upload, &ALLOWANCE, number, vec![7; MAX_PIECE]).await.unwrap(), AppendPiece::Done);
    }
}

async fn count(folder: &TempDir, table: &'static str) -> i64 {
    let query = match table {
        "versions" => "SELECT count(*) FROM vault_versions",
        "pieces" => "SELECT count(*) FROM vault_pieces",
        other => panic!("{other}"),
    };
    sqlx::query_scalar(query).fetch_one(&mut raw(folder).await).await.unwrap()
}

#[tokio::test]
async fn only_the_owner_can_read_it() {
    let (_vault, folder) = fresh().await;
    for name in ["vault.db", "vault.db-wal", "vault.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn migrating_can_be_a_step_of_its_own() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("vault.db");
    let expect = Options { schema: Schema::Expect, ..options() };
    let refused = SqliteVault::open(&path, &expect).await;
    assert!(matches!(refused, Err(OpenError::OlderSchema { found: 0, known: 1.. })), "{refused:?}");
    for _ in 0..2 {
        SqliteVault::migrate(&path, &expect).await.unwrap();
    }
    SqliteVault::open(&path, &expect).await.unwrap();
}

/// What was acknowledged is in the file; what was not finished goes, with its pieces.
#[tokio::test]
async fn everything_is_kept_and_nothing_is_left_over() {
    let folder = TempDir::new().unwrap();
    let vault = open(&folder).await;
    stage(&vault, &upload(1), 3).await;
    let name = "a".parse().unwrap();
    let outcome = vault.commit(&upload(1), &name, Expected::Absent, &ALLOWANCE, BASE).await.unwrap();
    let CommitUpload::Done(blob) = outcome else { panic!("{outcome:?}") };
    stage(&vault, &upload(2), 2).await;
    vault.close().await;
    let again = open(&folder).await;
    assert_eq!(again.find(&person(1), &name).await.unwrap(), Some(blob.clone()));
    assert_eq!(again.piece(blob.id, 2).await.unwrap(), Some(vec![7; MAX_PIECE]));
    assert_eq!((count(&folder, "versions").await, count(&folder, "pieces").await), (2, 5));
    let due = BlobsDue { replaced_before: at(1), begun_before: at(1) };
    assert_eq!(again.sweep(due, 10).await.unwrap().uploads, 1);
    assert_eq!((count(&folder, "versions").await, count(&folder, "pieces").await), (1, 3));
    assert_eq!(again.delete_all(&person(1)).await.unwrap(), 1);
    assert_eq!((count(&folder, "versions").await, count(&folder, "pieces").await), (0, 0));
}

/// A full file refuses a piece, keeps what it has, and can be emptied.
#[tokio::test]
async fn a_full_file_refuses_and_half_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("vault.db");
    let vault = SqliteVault::open(&path, &Options { most_bytes: Some(2 << 20), ..options() }).await.unwrap();
    assert_eq!(vault.begin(&upload(1), &ALLOWANCE, BASE, BASE).await.unwrap(), BeginUpload::Done);
    let mut kept = 0;
    let refused = loop {
        match vault.append(&upload(1), &ALLOWANCE, kept, vec![7; MAX_PIECE]).await {
            Ok(outcome) => assert_eq!(outcome, AppendPiece::Done),
            Err(error) => break error,
        }
        kept += 1;
    };
    assert!(matches!(refused, StoreError::Full), "{refused:?}");
    assert!((5..8).contains(&kept), "{kept}");
    assert_eq!(vault.usage(&person(1)).await.unwrap().staged_bytes, u64::from(kept) * MAX_PIECE as u64);
    let name = "a".parse().unwrap();
    let outcome = vault.commit(&upload(1), &name, Expected::Absent, &ALLOWANCE, BASE).await.unwrap();
    assert!(matches!(outcome, CommitUpload::Done(blob) if blob.pieces == kept));
    assert_eq!(vault.delete_all(&person(1)).await.unwrap(), 1);
    stage(&vault, &upload(2), kept).await;
}
