//! For authors of stores: the stored forms of what has one. What is sealed and where, what a sealed column holds, and
//! how a row of a database becomes a value of the domain again.
//!
//! Every persistent store keeps the same forms, so that what is sealed in one place opens in no other, whichever store
//! holds it.

mod blobs;
mod columns;
mod cursor;
mod directory;
mod encoding;
mod records;
mod sealing;

pub use blobs::{blob, blob_usage};
pub use columns::{Columns, permissions_text};
pub use cursor::Cursor;
pub use directory::{
    account, account_standing, audit_row, chain_link, counter, invitation, nobody, service_key, service_standing,
};
pub use encoding::{
    confirmation_bytes, decode_client, decode_confirmation, decode_entries, decode_labels, encode_client,
    encode_entries, encode_labels,
};
pub use records::{gone, record, session_id};
pub use sealing::{SealedColumns, Sealing};

use crate::ports::StoreError;

/// A stored value is not one of ours. Says where, never what.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

impl From<Malformed> for StoreError {
    fn from(malformed: Malformed) -> Self {
        Self::corrupt(malformed)
    }
}
