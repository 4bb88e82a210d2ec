//! Verification of the whole log: no row removed, changed, moved or cut off.

use std::collections::BTreeMap;
use std::fmt;

use wayleave_core::ports::{AuditLog, StoreError};

use super::chain::{ChainKey, GENESIS};
use super::heads::Head;

/// Rows read at once.
const STEP: u32 = 1000;

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A row is missing.
    Gap {
        /// In whose chain.
        node: Box<str>,
        /// Its number.
        sequence: u64,
    },
    /// A row is not what was written, or not where it was written.
    Changed {
        /// In whose chain.
        node: Box<str>,
        /// Its number.
        sequence: u64,
    },
    /// The chain ends before a head that was signed.
    CutOff {
        /// Whose chain.
        node: Box<str>,
        /// Its last row.
        ends_at: u64,
        /// The last row that was signed.
        signed: u64,
    },
    /// A signed head does not fit the row it names.
    HeadMismatch {
        /// In whose chain.
        node: Box<str>,
        /// The row.
        sequence: u64,
    },
}

impl Finding {
    /// What is wrong, as a word for programs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "gap",
            Self::Changed { .. } => "changed",
            Self::CutOff { .. } => "cut_off",
            Self::HeadMismatch { .. } => "head_mismatch",
        }
    }

    /// In whose chain.
    #[must_use]
    pub fn node(&self) -> &str {
        match self {
            Self::Gap { node, .. }
            | Self::Changed { node, .. }
            | Self::CutOff { node, .. }
            | Self::HeadMismatch { node, .. } => node,
        }
    }

    /// The first row that is missing or not as it was.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        match self {
            Self::Gap { sequence, .. } | Self::Changed { sequence, .. } | Self::HeadMismatch { sequence, .. } => {
                *sequence
            }
            Self::CutOff { ends_at, .. } => ends_at.saturating_add(1),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { node, sequence } => write!(f, "row {sequence} of the chain {node} was removed"),
            Self::Changed { node, sequence } => write!(f, "row {sequence} of the chain {node} was changed or moved"),
            Self::CutOff { node, ends_at, signed } => {
                write!(f, "the chain {node} ends at row {ends_at}, and row {signed} was signed: its end was cut off")
            }
            Self::HeadMismatch { node, sequence } => write!(
                f,
                "row {sequence} of the chain {node} is not the one that was signed: the end was cut off and written anew"
            ),
        }
    }
}

/// What a verification saw.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Verification {
    /// Chains read.
    pub nodes: usize,
    /// Rows read.
    pub rows: u64,
    /// Signed heads compared.
    pub heads: usize,
    /// What is wrong, at most one finding per chain: behind a broken link nothing can be said.
    pub findings: Vec<Finding>,
}

/// Reads every chain from its beginning and compares it with the signed heads. `progress` is called with the number
/// of rows read so far.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub async fn verify(
    log: &dyn AuditLog,
    key: &ChainKey,
    heads: &[Head],
    mut progress: impl FnMut(u64) + Send,
) -> Result<Verification, StoreError> {
    let mut signed: BTreeMap<&str, Signed<'_>> = BTreeMap::new();
    for head in heads {
        signed.entry(&head.node).or_default().entry(head.sequence).or_default().push(head);
    }
    let nodes = log.nodes().await?;
    let mut result = Verification { nodes: nodes.len(), heads: heads.len(), ..Verification::default() };
    // A chain that was removed altogether has heads and no rows.
    let vanished = signed.keys().filter(|node| !nodes.iter().any(|known| known.as_ref() == **node)).copied();
    let all: Vec<Box<str>> = nodes.iter().cloned().chain(vanished.map(Into::into)).collect();
    for node in all {
        let own = signed.get(node.as_ref());
        if let Some(finding) = walk(log, key, &node, own, &mut result.rows, &mut progress).await? {
            result.findings.push(finding);
        }
    }
    Ok(result)
}

/// The signed heads of a chain, by row. A row that was written anew may have been signed twice.
type Signed<'a> = BTreeMap<u64, Vec<&'a Head>>;

async fn walk(
    log: &dyn AuditLog,
    key: &ChainKey,
    node: &str,
    signed: Option<&Signed<'_>>,
    rows: &mut u64,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<Option<Finding>, StoreError> {
    let mut previous = GENESIS;
    let mut expected = 1;
    loop {
        let step = log.chain(node, expected, STEP).await?;
        if step.is_empty() {
            break;
        }
        for row in step {
            let sequence = row.link.sequence;
            if sequence != expected {
                return Ok(Some(Finding::Gap { node: node.into(), sequence: expected }));
            }
            if key.mac(&previous, &row) != row.link.mac {
                return Ok(Some(Finding::Changed { node: node.into(), sequence }));
            }
            let heads = signed.and_then(|heads| heads.get(&sequence)).into_iter().flatten();
            if heads.into_iter().any(|head| head.mac_bytes() != Some(row.link.mac)) {
                return Ok(Some(Finding::HeadMismatch { node: node.into(), sequence }));
            }
            previous = row.link.mac;
            expected += 1;
            *rows += 1;
        }
        progress(*rows);
    }
    let ends_at = expected - 1;
    let last_signed = signed.and_then(|heads| heads.keys().next_back()).copied().unwrap_or(0);
    Ok((last_signed > ends_at).then(|| Finding::CutOff { node: node.into(), ends_at, signed: last_signed }))
}
