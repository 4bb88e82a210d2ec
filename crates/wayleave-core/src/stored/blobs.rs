//! Versions of blobs, and how many there are, as rows.

use super::{Columns, Malformed};
use crate::blob::BlobId;
use crate::ports::{Blob, BlobUsage, StoreError};

/// A current version.
///
/// # Errors
/// Corrupt when a column is not what it should be, as everywhere here.
pub fn blob<'r>(row: impl Columns<'r>) -> Result<Blob, StoreError> {
    Ok(Blob {
        name: row.parsed("name")?,
        id: BlobId(row.bytes("id")?),
        size: row.number("size")?,
        pieces: row.number("pieces")?,
        changed_at: row.time("at")?,
    })
}

/// What an owner has, from a row for each state that some of the versions are in: `state`, `versions` and `bytes`.
///
/// # Errors
/// As [`blob`].
pub fn blob_usage<'r>(rows: impl IntoIterator<Item = impl Columns<'r>>) -> Result<BlobUsage, StoreError> {
    let mut usage = BlobUsage::default();
    for row in rows {
        let (versions, bytes) = (row.number("versions")?, row.number("bytes")?);
        match row.text("state")? {
            "upload" => (usage.uploads, usage.staged_bytes) = (versions, bytes),
            "current" => (usage.blobs, usage.bytes) = (versions, bytes),
            "replaced" => (usage.replaced, usage.replaced_bytes) = (versions, bytes),
            _ => return Err(Malformed("state").into()),
        }
    }
    Ok(usage)
}
