//! Invitations to make an account.

use async_trait::async_trait;

use super::StoreError;
use super::accounts::{AccountId, EmailAddress};
use crate::permission::Permissions;
use crate::time::Timestamp;

/// An invitation. Good for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The SHA-256 of the secret in the link.
    pub key: [u8; 32],
    /// The only address that may use it, if it is bound to one.
    pub email: Option<EmailAddress>,
    /// What the new account may do.
    pub permissions: Permissions,
    /// Who made it; `None` for the command line.
    pub created_by: Option<AccountId>,
    /// When.
    pub created_at: Timestamp,
    /// From then on it is void.
    pub expires_at: Timestamp,
}

/// Keeps invitations.
#[async_trait]
pub trait Invitations: Send + Sync {
    /// Adds one. `false` when its key exists already.
    async fn insert(&self, invitation: &Invitation) -> Result<bool, StoreError>;

    /// Looks at one and leaves it; none from its expiry on.
    async fn find(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError>;

    /// Takes one: of any number of callers exactly one gets it, and none from its expiry on.
    async fn take(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError>;

    /// Those that are still good, newest first, at most `most` (1 to 1000).
    async fn list(&self, now: Timestamp, most: u32) -> Result<Vec<Invitation>, StoreError>;

    /// Withdraws one; whether it was there.
    async fn withdraw(&self, key: [u8; 32]) -> Result<bool, StoreError>;
}
