//! Settings that administrators change while the server runs, and small sealed documents such as signing keys.

use async_trait::async_trait;

use super::StoreError;
use crate::record::Revision;

/// A setting's value.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value, as its owner encodes it; sealed by the owner where it is secret.
    pub value: Box<[u8]>,
    /// Counts changes.
    pub revision: Revision,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("revision", &self.revision).finish_non_exhaustive()
    }
}

/// What became of a change.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum SetSetting {
    /// It was made; the revision now.
    Done(Revision),
    /// Somebody else was first.
    Conflict,
}

/// Keeps settings by name.
#[async_trait]
pub trait Settings: Send + Sync {
    /// The setting called `name`.
    async fn get(&self, name: &str) -> Result<Option<Setting>, StoreError>;

    /// Sets it if its revision is still `expected`; `None` expects that there is none.
    async fn set(&self, name: &str, value: &[u8], expected: Option<Revision>) -> Result<SetSetting, StoreError>;
}
