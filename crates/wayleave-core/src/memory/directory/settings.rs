//! Settings in memory.

use async_trait::async_trait;

use super::{MemoryDirectory, room};
use crate::ports::{SetSetting, Setting, Settings, StoreError};
use crate::record::Revision;

#[async_trait]
impl Settings for MemoryDirectory {
    async fn get(&self, name: &str) -> Result<Option<Setting>, StoreError> {
        Ok(self.state().settings.get(name).cloned())
    }

    async fn set(&self, name: &str, value: &[u8], expected: Option<Revision>) -> Result<SetSetting, StoreError> {
        if name.len().saturating_add(value.len()) > self.limits.setting_bytes {
            return Err(StoreError::Full);
        }
        let mut state = self.state();
        let held = state.settings.get(name).map(|setting| setting.revision);
        if held != expected {
            return Ok(SetSetting::Conflict);
        }
        if held.is_none() {
            room(state.settings.len(), self.limits.settings)?;
        }
        let revision = held.unwrap_or_default().next();
        state.settings.insert(name.into(), Setting { value: value.into(), revision });
        Ok(SetSetting::Done(revision))
    }
}
