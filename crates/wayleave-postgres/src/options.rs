//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::ports::{Clock, Entropy};
use wayleave_core::seal::KeyRing;

/// What opening does about the schema of the database.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Schema {
    /// Brings it up to date, in one transaction; of several nodes that start together one does it and the others wait.
    #[default]
    Migrate,
    /// Refuses a database that is not up to date.
    Expect,
}

/// How to open a [`crate::PostgresStore`].
#[derive(Clone)]
pub struct Options {
    /// Seals session data, credentials and ticket payloads.
    pub sealing: Arc<KeyRing>,
    /// For the salts of sealing.
    pub entropy: Arc<dyn Entropy>,
    /// For the standing of subjects, which depends on when a service key expires.
    pub clock: Arc<dyn Clock>,
    /// How many connections there are at most for operations, at least 1. Besides them there are those for blobs, one for
    /// each listener on the bus and at most two for publishing.
    pub connections: u32,
    /// How many connections there are at most for blobs, at least 1, so that uploads take none from the others. None is
    /// made before the first blob.
    pub vault_connections: u32,
    /// How long an operation waits for a connection, a new one included, before it fails as unavailable.
    pub acquire_timeout: Duration,
    /// How long a statement may take, waits for locks included, before it is given up and fails as unavailable.
    pub statement_timeout: Duration,
    /// What happens to the schema.
    pub schema: Schema,
    /// The PostgreSQL schema that everything is in, and the name of the bus: a lower-case letter followed by at most 47
    /// lower-case letters, digits or underscores.
    pub namespace: Box<str>,
}

impl Options {
    /// The defaults: 10 connections and 4 for blobs, 5 seconds each for a connection and a statement, migrating, in `wayleave`.
    #[must_use]
    pub fn new(sealing: Arc<KeyRing>, entropy: Arc<dyn Entropy>, clock: Arc<dyn Clock>) -> Self {
        Self {
            sealing,
            entropy,
            clock,
            connections: 10,
            vault_connections: 4,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            schema: Schema::default(),
            namespace: "wayleave".into(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            sealing: _,
            entropy: _,
            clock: _,
            connections,
            vault_connections,
            acquire_timeout,
            statement_timeout,
            schema,
            namespace,
        } = self;
        f.debug_struct("Options")
            .field("connections", connections)
            .field("vault_connections", vault_connections)
            .field("acquire_timeout", acquire_timeout)
            .field("statement_timeout", statement_timeout)
            .field("schema", schema)
            .field("namespace", namespace)
            .finish_non_exhaustive()
    }
}
