//! What Redis's errors come to for the ports, and why a store cannot be opened.

use redis::{ErrorKind, RedisError, ServerError};
use wayleave_core::ports::StoreError;

use crate::options::InvalidPrefix;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// An address or a certificate cannot be read.
    #[error("an address of a server or a certificate is malformed")]
    Address(#[source] RedisError),
    /// A Cluster without addresses.
    #[error("there is no address of a server")]
    NoAddress,
    /// The prefix of the keys is none.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// A server is not set up as the store needs it.
    #[error("a server cannot be used as it is set up")]
    Unfit(#[from] Unfit),
    /// A server does not answer.
    #[error("a server does not answer")]
    Store(#[from] StoreError),
}

/// Why a server cannot be used. Looked at with every new connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It drops keys when its memory is full. What is dropped may be the only mark that a refresh token was spent.
    #[error("its maxmemory-policy is {policy}, and has to be noeviction: it would drop what must not be forgotten")]
    Evicts {
        /// The policy.
        policy: Box<str>,
    },
    /// Writes are to be acknowledged by a replica, and it would take them without any.
    #[error("min-replicas-to-write has to be at least 1, since writes are to be acknowledged by a replica")]
    WritesAlone,
    /// It is a replica.
    #[error("it is a replica; the address has to be the master's")]
    Replica,
    /// One server was to be used, and this is a node of a Cluster.
    #[error("it is a node of a Cluster, and the options name a single server")]
    ClusterNode,
    /// A Cluster was to be used, and this is none of its nodes.
    #[error("it is not a node of a Cluster, and the options name one")]
    NoClusterNode,
    /// Its version is before 7.0, or unknown.
    #[error("its version is {version}, and has to be at least 7.0")]
    Version {
        /// What it says.
        version: Box<str>,
    },
}

impl From<Unfit> for StoreError {
    fn from(unfit: Unfit) -> Self {
        Self::unavailable(unfit)
    }
}

/// What an answer of a server that is an error means to a port.
pub(crate) fn answered(error: &ServerError) -> StoreError {
    let error = RedisError::from(error.clone());
    match error.code() {
        Some("OOM") => StoreError::Full,
        Some("WRONGTYPE") => StoreError::corrupt(error),
        Some(_) | None => StoreError::unavailable(error),
    }
}

/// Whether an error says that this connection leads to a server that is not, or no longer, the master.
pub(crate) fn is_elsewhere(error: &ServerError) -> bool {
    use redis::ServerErrorKind::{ClusterDown, MasterDown, Moved, ReadOnly};
    matches!(error.kind(), Some(ClusterDown | MasterDown | Moved | ReadOnly))
}

/// Whether an error of the client means that its connection is of no use any more.
pub(crate) fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_timeout() || matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse)
}

/// Why an operation failed on our side of the wire.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Too many operations are on their way.
    #[error("too many operations are on their way")]
    Overloaded,
    /// There was no connection in time.
    #[error("no connection could be had in time")]
    NoConnection,
    /// The last attempt to connect has just failed.
    #[error("the server could not be reached a moment ago")]
    Backoff,
    /// No replica acknowledged the write in time. It may have been made.
    #[error("no replica acknowledged the write in time")]
    NotReplicated,
    /// No master holds a hash slot, as far as is known.
    #[error("no server holds the hash slot")]
    Uncovered,
    /// A hash slot is on its way from one master to another, and either has a part of it.
    #[error("the hash slot is being moved to another master")]
    BeingMoved,
    /// The Cluster sends from one node to another.
    #[error("the cluster redirects without an end")]
    RedirectedTooOften,
    /// The script of another version, or another server, answered.
    #[error("an answer that no script of ours gives")]
    Answer,
    /// A number does not fit into Redis's 64 signed bits.
    #[error("a number is too large to be stored")]
    OutOfRange,
    /// A pair of tokens was brought in that is in use already.
    #[error("the next pair of tokens is in use already")]
    PairTaken,
    /// The listener does not keep up, or its server lost the channel.
    #[error("messages were lost")]
    MessagesLost,
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        Self::unavailable(refused)
    }
}
