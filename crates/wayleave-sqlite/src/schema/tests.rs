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

/// An acknowledged write waits for the disk unless the options say otherwise.
#[tokio::test]
async fn connections_are_as_durable_as_the_options_say() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("test.sqlite");
    create_file(&path).unwrap();
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
            let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut connection).await.unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
        assert_eq!(mode, "wal");
    }
}
