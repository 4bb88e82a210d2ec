//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::ports::{Clock, Entropy};
use wayleave_core::seal::KeyRing;

/// What has become of a write when its port returns.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives a loss of power: every commit waits for the disk.
    #[default]
    Full,
    /// It survives the death of the process, and the file stays whole whatever happens, but a loss of power may undo
    /// the latest commits. A session that was ended then can come back: not for deployments that must rule this out.
    Normal,
}

/// What opening does about the schema of the file.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Schema {
    /// Brings it up to date, in one transaction.
    #[default]
    Migrate,
    /// Refuses a file that is not up to date.
    Expect,
}

/// How to open a [`crate::SqliteStore`].
#[derive(Clone)]
pub struct Options {
    /// Seals session data, credentials and ticket payloads.
    pub sealing: Arc<KeyRing>,
    /// For the salts of sealing.
    pub entropy: Arc<dyn Entropy>,
    /// For the standing of subjects, which depends on when a service key expires.
    pub clock: Arc<dyn Clock>,
    /// How many connections read at most, at least 1.
    pub readers: u32,
    /// How long an operation waits for a connection, a place in the queue of writes, or another process's lock, before
    /// it fails as unavailable.
    pub busy_timeout: Duration,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// What happens to the schema.
    pub schema: Schema,
    /// How large the file may grow, in bytes; `None` leaves it to the disk. A write that would pass it fails as full
    /// and leaves nothing behind.
    pub most_bytes: Option<u64>,
}

impl Options {
    /// The defaults: 8 readers, 5 seconds, full durability, migrating, no limit of size.
    #[must_use]
    pub fn new(sealing: Arc<KeyRing>, entropy: Arc<dyn Entropy>, clock: Arc<dyn Clock>) -> Self {
        Self {
            sealing,
            entropy,
            clock,
            readers: 8,
            busy_timeout: Duration::from_secs(5),
            durability: Durability::default(),
            schema: Schema::default(),
            most_bytes: None,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sealing: _, entropy: _, clock: _, readers, busy_timeout, durability, schema, most_bytes } = self;
        f.debug_struct("Options")
            .field("readers", readers)
            .field("busy_timeout", busy_timeout)
            .field("durability", durability)
            .field("schema", schema)
            .field("most_bytes", most_bytes)
            .finish_non_exhaustive()
    }
}
