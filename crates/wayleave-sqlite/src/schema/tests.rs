//! How connections are set up.

use std::sync::Arc;

use wayleave_core::ports::{Clock, Entropy, EntropyFailure};
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_core::time::Timestamp;

use super::*;

struct Nothing;

impl Entropy for Nothing {
    fn fill(&self, _buffer: &mut [u8]) -> Result<(), EntropyFailure> {
        Err(EntropyFailure)
    }
}

impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        Timestamp::MIN
    }
}

fn options() -> Options {
    let ring = KeyRing::new(SealingKey::new(KeyId(1), [1; 32]), []).unwrap();
    Options::new(Arc::new(ring), Arc::new(Nothing), Arc::new(Nothing))
}

fn file() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("test.sqlite");
    create_file(&path).unwrap();
    (folder, path)
}

async fn pragma(connection: &mut SqliteConnection, name: &'static str) -> i64 {
    sqlx::query_scalar(name).fetch_one(connection).await.unwrap()
}

/// 2 is `FAST`.
#[tokio::test]
async fn the_writing_connection_overwrites_what_it_deletes() {
    let (_folder, path) = file();
    assert_eq!(pragma(&mut connect(&path, &options()).await.unwrap(), "PRAGMA secure_delete").await, 2);
}

/// An acknowledged write waits for the disk unless the options say otherwise.
#[tokio::test]
async fn connections_are_as_durable_as_the_options_say() {
    let (_folder, path) = file();
    for (durability, synchronous) in [(Durability::Full, 2), (Durability::Normal, 1)] {
        let options = Options { durability, most_bytes: Some(100 * PAGE + 1), ..options() };
        let mut connection = connection(&path, &options).connect().await.unwrap();
        for (pragma, expected) in [
            ("PRAGMA synchronous", synchronous),
            ("PRAGMA foreign_keys", 1),
            ("PRAGMA trusted_schema", 0),
            ("PRAGMA max_page_count", 100),
            ("PRAGMA page_size", i64::try_from(PAGE).unwrap()),
        ] {
            assert_eq!(self::pragma(&mut connection, pragma).await, expected, "{pragma}");
        }
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
        assert_eq!(mode, "wal");
    }
}
