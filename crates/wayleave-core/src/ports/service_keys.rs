//! Service keys: what trusted backends open sessions of their own users with.

use async_trait::async_trait;

use super::StoreError;
use crate::permission::Permissions;
use crate::time::Timestamp;

/// A trusted backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceKey {
    /// Its name, which becomes part of its subjects: `ext:<name>:...`. Unique for ever, so that a later key cannot
    /// speak for an earlier one's subjects.
    pub name: Box<str>,
    /// The SHA-256 of the secret.
    pub key: [u8; 32],
    /// The most that its sessions may do.
    pub permissions: Permissions,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it opens nothing.
    pub expires_at: Timestamp,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
}

impl ServiceKey {
    /// Whether it may be used at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// What became of a new key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum InsertServiceKey {
    /// It is in.
    Done,
    /// The name or the secret exists already, revoked or not.
    Exists,
}

/// Keeps service keys.
#[async_trait]
pub trait ServiceKeys: Send + Sync {
    /// Adds one. Never overwrites.
    async fn insert(&self, key: &ServiceKey) -> Result<InsertServiceKey, StoreError>;

    /// The one with this secret's hash, live or not.
    async fn by_key(&self, key: [u8; 32]) -> Result<Option<ServiceKey>, StoreError>;

    /// The one with this name, live or not.
    async fn by_name(&self, name: &str) -> Result<Option<ServiceKey>, StoreError>;

    /// All, in the order of their names, at most `most` (1 to 1000).
    async fn list(&self, most: u32) -> Result<Vec<ServiceKey>, StoreError>;

    /// Withdraws one; whether a live one was there.
    async fn revoke(&self, name: &str, now: Timestamp) -> Result<bool, StoreError>;
}
