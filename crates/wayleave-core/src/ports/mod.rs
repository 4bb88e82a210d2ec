//! What the product needs from outside: stores, directories, a clock and entropy. Each is a small `dyn` trait without
//! default methods; `wayleave-conformance` holds the tests that every implementation must pass.

mod accounts;
mod ambient;
mod audit;
mod blobs;
mod bus;
mod counters;
mod invitations;
mod service_keys;
mod session_store;
mod settings;
mod subjects;
mod wrapped_key;

pub use accounts::{
    Account, AccountChange, AccountId, Accounts, Credential, Credentials, EmailAddress, Exchange, Exchanged,
    InsertAccount, InvalidEmail, KnownDevice, KnownDevices,
};
pub use ambient::{Clock, Entropy, EntropyFailure, Uptime};
pub use audit::{AuditLog, AuditQuery, AuditRow, ChainLink, MAX_AUDIT_DETAIL};
pub use blobs::{
    Allowance, AppendPiece, BeginUpload, Blob, BlobStore, BlobUsage, BlobsDue, CommitUpload, DeleteBlob, Expected,
    MAX_PIECE, SweptBlobs, Upload,
};
pub use bus::{Bus, Listener, MAX_BUS_MESSAGE};
pub use counters::{CounterKey, Counters};
pub use invitations::{Invitation, Invitations};
pub use service_keys::{InsertServiceKey, ServiceKey, ServiceKeys};
pub use session_store::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, NextPair, Page, Replaces, Rotate, Rotation, Scope,
    SessionStore, Swept, Touch, Update,
};
pub use settings::{SetSetting, Setting, Settings};
pub use subjects::Subjects;
pub use wrapped_key::{InvalidKeyTag, InvalidWrappedKey, KeyTag, Rewrapped, Wrap, WrappedKey};

/// A store could not answer. Whoever sees this fails closed: never "valid", never "absent" (R168).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The backend cannot be reached, is busy beyond its limit, or refused the operation.
    #[error("the store is unavailable")]
    Unavailable(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The backend answered something that cannot be a value of ours.
    #[error("the store holds a value that cannot be read")]
    Corrupt(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// More than may be kept: the store holds as much as it may, or one value is larger than its limit. Nothing was
    /// changed.
    #[error("more than the store may keep")]
    Full,
}

impl StoreError {
    /// The backend cannot be reached.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(Some(source.into()))
    }

    /// A stored value cannot be read.
    pub fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Corrupt(Some(source.into()))
    }
}
