//! The audit log: rows chained by MACs, so that none can be removed, changed or cut off unseen.

use async_trait::async_trait;

use super::StoreError;
use crate::time::Timestamp;

/// Longest `detail` of a row, in bytes.
pub const MAX_AUDIT_DETAIL: usize = 2048;

/// Where a row stands in its node's chain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ChainLink {
    /// 1 for the first row of a node, then without gaps.
    pub sequence: u64,
    /// MAC over the row and the MAC before it.
    pub mac: [u8; 32],
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Which node wrote it; every node has a chain of its own.
    pub node: Box<str>,
    /// Its place in the chain.
    pub link: ChainLink,
    /// When it happened.
    pub at: Timestamp,
    /// What happened: `session.created`, `login.failure`, ...
    pub event: Box<str>,
    /// Keyed hash of the session's id.
    pub session: Option<Box<str>>,
    /// Whom it concerns.
    pub subject: Option<Box<str>>,
    /// Who did it, if somebody else: an administrator, a service.
    pub actor: Option<Box<str>>,
    /// Where it came from: a coarse network.
    pub source: Option<Box<str>>,
    /// Why, as a code.
    pub reason: Option<Box<str>>,
    /// The request that it belongs to.
    pub request: Option<Box<str>>,
    /// How many of the same kind this row stands for.
    pub count: u32,
    /// More, as JSON without secrets; at most [`MAX_AUDIT_DETAIL`] bytes.
    pub detail: Option<Box<str>>,
}

/// Which rows to read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Only of this node.
    pub node: Option<Box<str>>,
    /// Only of this event, or of all that begin with it when it ends in `.`.
    pub event: Option<Box<str>>,
    /// Only about this subject.
    pub subject: Option<Box<str>>,
    /// Only from then on.
    pub since: Option<Timestamp>,
    /// Only what stands before this cursor, as a page before gave it.
    pub before: Option<u64>,
    /// At most this many, 1 to 1000.
    pub most: u32,
}

/// Keeps audit rows. Nothing changes or removes one but retention, behind a checkpoint.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Adds rows of one node, all or none. A sequence number that exists is an error: two processes write as one node.
    /// A detail over [`MAX_AUDIT_DETAIL`] is [`StoreError::Full`].
    async fn append(&self, rows: &[AuditRow]) -> Result<(), StoreError>;

    /// The last link of a node's chain.
    async fn head(&self, node: &str) -> Result<Option<ChainLink>, StoreError>;

    /// The nodes that have rows.
    async fn nodes(&self) -> Result<Vec<Box<str>>, StoreError>;

    /// Rows of a node in the order of the chain, from `from` on, at most `most`: for verification.
    async fn chain(&self, node: &str, from: u64, most: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// Rows, newest first, with the cursor of the next page.
    async fn query(&self, query: &AuditQuery) -> Result<(Vec<AuditRow>, Option<u64>), StoreError>;
}
