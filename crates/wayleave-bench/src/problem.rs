//! What keeps a figure from being measured.

use std::path::PathBuf;

use wayleave::{OpenError, RefreshError, ValidateError};
use wayleave_core::ports::StoreError;

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program could not be started or talked to.
    #[error("cannot run `{name}`: {source}")]
    Program {
        /// Which.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A program is not installed.
    #[error("`{name}` is not installed (`apt-get install {name}`)")]
    Missing {
        /// Which; also the name of its Debian package.
        name: &'static str,
    },
    /// A program ran and failed, or printed what nobody expected.
    #[error("`{name}` failed: {said}")]
    Failed {
        /// Which.
        name: &'static str,
        /// The end of what it printed.
        said: Box<str>,
    },
    /// There is no server to measure.
    #[error("there is no server at {}", .0.display())]
    NoServer(PathBuf),
    /// The server answered something else than it should.
    #[error("{path} was answered with {status}: {body}")]
    Answer {
        /// What was asked.
        path: &'static str,
        /// The answer's status.
        status: u16,
        /// The beginning of its body.
        body: Box<str>,
    },
    /// A request of a load failed, so the load measured something else.
    #[error("{failed} of {all} requests failed")]
    Load {
        /// How many.
        failed: u64,
        /// Of how many.
        all: u64,
    },
    /// The server's connection broke.
    #[error("talking to the server: {0}")]
    Connection(#[source] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The SQLite file could not be opened.
    #[error(transparent)]
    Sqlite(#[from] wayleave_sqlite::OpenError),
    /// The Redis server could not be used.
    #[error(transparent)]
    Redis(#[from] wayleave_redis::OpenError),
    /// A session could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A session did not validate.
    #[error(transparent)]
    Validate(#[from] ValidateError),
    /// A session could not be refreshed.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// Argon2 failed.
    #[error("Argon2: {0}")]
    Argon2(argon2::Error),
    /// A thread or task of the benchmark ended early.
    #[error("a thread of the benchmark ended early")]
    Thread,
    /// The benchmark's own values do not fit together.
    #[error("the benchmark is wrong: {0}")]
    Defect(&'static str),
}
