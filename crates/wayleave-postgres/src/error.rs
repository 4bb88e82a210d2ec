//! What PostgreSQL's errors come to for the ports, and why a database cannot be opened.

use wayleave_core::ports::StoreError;

/// Why a database cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is not one of a PostgreSQL database.
    #[error("not the address of a PostgreSQL database")]
    Address(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The name of the schema is none.
    #[error("the schema's name must be a lower-case letter and at most 47 lower-case letters, digits or underscores")]
    Namespace,
    /// A newer version of the product migrated it, and this version cannot work with what it made.
    #[error(
        "the database has schema {found}, which needs a version that knows schema {needed}; this one knows {known}: \
         use a newer version"
    )]
    NewerSchema {
        /// The database's schema.
        found: i64,
        /// What a version must know to work with it.
        needed: i64,
        /// This version's.
        known: i64,
    },
    /// It has to be migrated first, and the options say not to.
    #[error("the database has schema {found}, this version needs {known}: migrate it first")]
    OlderSchema {
        /// The database's schema; 0 for an empty database.
        found: i64,
        /// This version's.
        known: i64,
    },
    /// The migration failed and changed nothing.
    #[error("the database cannot be migrated")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// PostgreSQL cannot be reached or does not answer.
    #[error("the database cannot be opened")]
    Store(#[from] StoreError),
}

/// What an error of the driver means to a port.
pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    match code(&error).as_deref() {
        Some(DISK_FULL | PROGRAM_LIMIT_EXCEEDED) => return StoreError::Full,
        Some(DATA_CORRUPTED | INDEX_CORRUPTED) => return StoreError::corrupt(error),
        Some(_) | None => {}
    }
    match &error {
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_) => StoreError::corrupt(error),
        // The driver's enum is open; whatever else goes wrong, the store did not answer.
        _ => StoreError::unavailable(error),
    }
}

/// Whether the statement was undone because of somebody else's, and may be run again.
pub(crate) fn lost_a_race(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED))
}

/// Whether the statement was given up because somebody else had the lock for longer than `lock_timeout`.
pub(crate) fn waited_in_vain(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(LOCK_NOT_AVAILABLE)
}

/// Whether it was refused because there is such a row already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(UNIQUE_VIOLATION)
}

/// Whether the connection is as good as before: the server refused the statement and goes on listening.
pub(crate) fn spares_the_connection(error: &sqlx::Error) -> bool {
    match error {
        // Class 57: somebody intervened, and mostly ended the session; 08: the connection is broken.
        sqlx::Error::Database(_) => {
            let code = code(error).unwrap_or_default();
            code == QUERY_CANCELED || !(code.starts_with("57") || code.starts_with("08"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
const UNIQUE_VIOLATION: &str = "23505";
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const LOCK_NOT_AVAILABLE: &str = "55P03";
const DISK_FULL: &str = "53100";
const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
const QUERY_CANCELED: &str = "57014";
const DATA_CORRUPTED: &str = "XX001";
const INDEX_CORRUPTED: &str = "XX002";

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

/// Why an operation was not even tried, or not waited for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// No connection became free in time.
    #[error("too many operations are waiting for a connection")]
    Overloaded,
    /// The server did not accept a connection in time.
    #[error("the server does not accept connections")]
    NoConnection,
    /// The server did not answer in time.
    #[error("the server does not answer")]
    NoAnswer,
    /// The server is a standby, which is behind the primary: a session that has ended there is still in it.
    #[error("the server is a standby; the address has to be the primary's")]
    Standby,
    /// The connection of a listener is gone.
    #[error("the connection to the bus was lost")]
    Lost,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A number does not fit into PostgreSQL's 64 signed bits.
    #[error("a number is too large to be stored")]
    OutOfRange,
    /// Rows of several nodes were appended in one call.
    #[error("the rows are of several nodes")]
    SeveralNodes,
    /// The audit log has a row with that sequence number already.
    #[error("the sequence number exists already: two processes write as one node")]
    SequenceExists,
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        Self::unavailable(refused)
    }
}
