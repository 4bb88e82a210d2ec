//! How a running server learns that another process changed its store: a setting that every such change counts up.

use std::sync::Arc;

use wayleave_core::ports::{SetSetting, Settings, StoreError};
use wayleave_core::record::Revision;

/// The setting's name.
const NAME: &str = "changes";

/// Says that something was changed: after every command that changes sessions, accounts, keys or settings while a
/// server may be running.
///
/// # Errors
/// [`StoreError`] when the store cannot answer.
pub async fn announce(settings: &dyn Settings) -> Result<(), StoreError> {
    loop {
        let revision = settings.get(NAME).await?.map(|setting| setting.revision);
        match settings.set(NAME, b"", revision).await? {
            SetSetting::Done(_) => return Ok(()),
            SetSetting::Conflict => {}
        }
    }
}

/// Notices what others announced.
pub struct Watch {
    settings: Arc<dyn Settings>,
    seen: Option<Revision>,
}

impl Watch {
    /// Notices what is announced from now on.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn start(settings: Arc<dyn Settings>) -> Result<Self, StoreError> {
        let seen = settings.get(NAME).await?.map(|setting| setting.revision);
        Ok(Self { settings, seen })
    }

    /// Whether something was announced since the last look.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub async fn changed(&mut self) -> Result<bool, StoreError> {
        let now = self.settings.get(NAME).await?.map(|setting| setting.revision);
        let changed = now != self.seen;
        self.seen = now;
        Ok(changed)
    }
}
