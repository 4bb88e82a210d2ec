//! What SQLite's errors come to for the ports, and why a file cannot be opened.

use std::path::PathBuf;

use wayleave_core::ports::StoreError;

/// Why a file cannot be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be made or read.
    #[error("cannot reach {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A newer version of the product wrote it. Opening it would lose what this version does not know.
    #[error(
        "the database has schema {found}, this version knows {known}: use the version that wrote it, or a newer one"
    )]
    NewerSchema {
        /// The file's schema.
        found: i64,
        /// This version's.
        known: i64,
    },
    /// It has to be migrated first, and the options say not to.
    #[error("the database has schema {found}, this version needs {known}: migrate it first")]
    OlderSchema {
        /// The file's schema; 0 for an empty file.
        found: i64,
        /// This version's.
        known: i64,
    },
    /// The migration failed and changed nothing.
    #[error("the database cannot be migrated")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// SQLite cannot open it.
    #[error("the database cannot be opened")]
    Store(#[from] StoreError),
}

/// What an error of the driver means to a port.
pub(crate) fn failed(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) => match primary_code(database.as_ref()) {
            Some(SQLITE_FULL) => StoreError::Full,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => StoreError::corrupt(error),
            Some(_) | None => StoreError::unavailable(error),
        },
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::Decode(_) => StoreError::corrupt(error),
        // The driver's enum is open; whatever else goes wrong, the store did not answer.
        _ => StoreError::unavailable(error),
    }
}

/// Whether somebody else holds a lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(primary_code) == Some(SQLITE_BUSY)
}

/// <https://www.sqlite.org/rescode.html>
const SQLITE_BUSY: i32 = 5;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

fn primary_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    // The driver gives extended codes; the primary one is their low byte.
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

/// Why an operation was not even tried.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// More writes wait than the queue holds.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The write lock was not to be had.
    #[error("no transaction could be begun")]
    NoTransaction,
    /// The store was closed, or its runtime is gone.
    #[error("the store is closed")]
    Closed,
    /// A number does not fit into SQLite's 64 signed bits.
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
