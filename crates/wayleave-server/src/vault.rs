//! The vault as sessions hold it: who may read or write what is in it, until when, and what puts an end to that.
//!
//! A session holds its account's vault open in an entry of its context ([`context`]). Routes of the vault ask
//! [`VaultAccess`] first, which answers from the session's record: so it is right on every server within the bound in
//! which sessions are.

mod access;
pub mod blobs;
pub mod context;
mod lock;

pub use access::{VaultAccess, note_opened, open};
pub use context::{Right, VaultContext};
pub use lock::{lock, lock_all};
