//! What a server stores for a registered client: the record, and what it was made with.
//!
//! ```text
//! version 0x01 | iterations (4) | memory in KiB (4) | parallelism (4) | credential identifier (32) | record (192)
//! ```

use zeroize::Zeroizing;

use crate::key_stretching::{KeyStretching, StretchingCost};
use crate::registration::Record;
use crate::suite::{CREDENTIAL_IDENTIFIER, CredentialIdentifier};

const VERSION: u8 = 1;
const LENGTH: usize = 1 + 3 * 4 + CREDENTIAL_IDENTIFIER + Record::LENGTH;

/// A registered client.
#[derive(Debug)]
pub struct Enrolment {
    /// What the client's key-stretching function cost when it registered, and costs at every login.
    pub key_stretching: KeyStretching,
    /// What its OPRF key is derived from: also after what is typed to sign in was changed.
    pub identifier: CredentialIdentifier,
    /// The record.
    pub record: Record,
}

impl Enrolment {
    /// The bytes, to be sealed before they are stored.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let Self { key_stretching, identifier, record } = self;
        let StretchingCost { iterations, memory_kib, parallelism } = key_stretching.cost();
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH));
        bytes.push(VERSION);
        for figure in [iterations, memory_kib, parallelism] {
            bytes.extend_from_slice(&figure.to_be_bytes());
        }
        bytes.extend_from_slice(&identifier.0);
        bytes.extend_from_slice(record.as_bytes());
        bytes
    }

    /// Reads them back.
    ///
    /// # Errors
    /// [`UnreadableEnrolment`]: somebody changed the store.
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadableEnrolment> {
        let Some((&[VERSION], rest)) = bytes.split_first_chunk() else { return Err(UnreadableEnrolment) };
        let (iterations, rest) = figure(rest)?;
        let (memory_kib, rest) = figure(rest)?;
        let (parallelism, rest) = figure(rest)?;
        let cost = StretchingCost { iterations, memory_kib, parallelism };
        let (identifier, record) = rest.split_first_chunk().ok_or(UnreadableEnrolment)?;
        Ok(Self {
            key_stretching: KeyStretching::new(cost).map_err(|_| UnreadableEnrolment)?,
            identifier: CredentialIdentifier(*identifier),
            record: Record::parse(record).map_err(|_| UnreadableEnrolment)?,
        })
    }
}

fn figure(bytes: &[u8]) -> Result<(u32, &[u8]), UnreadableEnrolment> {
    let (figure, rest) = bytes.split_first_chunk().ok_or(UnreadableEnrolment)?;
    Ok((u32::from_be_bytes(*figure), rest))
}

/// The bytes are no enrolment of this version.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an OPAQUE enrolment of this version")]
pub struct UnreadableEnrolment;
