//! Verification of the whole log: no row removed, changed, moved or cut off.

use std::collections::BTreeMap;

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
    let mut signed: BTreeMap<&str, BTreeMap<u64, &Head>> = BTreeMap::new();
    for head in heads {
        signed.entry(&head.node).or_default().insert(head.sequence, head);
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

async fn walk(
    log: &dyn AuditLog,
    key: &ChainKey,
    node: &str,
    signed: Option<&BTreeMap<u64, &Head>>,
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
            if let Some(head) = signed.and_then(|heads| heads.get(&sequence))
                && head.mac_bytes() != Some(row.link.mac)
            {
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
