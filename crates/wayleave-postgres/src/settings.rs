//! Settings, changed by compare-and-set.

use async_trait::async_trait;
use wayleave_core::ports::{SetSetting, Setting, Settings, StoreError};
use wayleave_core::record::Revision;
use wayleave_core::stored::Columns as _;

use crate::columns::{Columns, integer, is_text};
use crate::statement::Statement;
use crate::store::PostgresStore;

/// Most bytes of one setting's name and value together.
const MOST_BYTES: usize = 64 * 1024;

pub(crate) const GET: &str = "SELECT value, revision FROM settings WHERE name = $1";
const ADD: &str = "INSERT INTO settings (name, value, revision) VALUES ($1, $2, $3) \
     ON CONFLICT (name) DO NOTHING RETURNING 1";
const CHANGE: &str = "UPDATE settings SET value = $2, revision = $3 WHERE name = $1 AND revision = $4 RETURNING 1";

#[async_trait]
impl Settings for PostgresStore {
    async fn get(&self, name: &str) -> Result<Option<Setting>, StoreError> {
        if !is_text(name) {
            return Ok(None);
        }
        let Some(row) = self.read_one(&Statement::new(GET).bind(name)).await? else {
            return Ok(None);
        };
        let row = Columns(&row);
        Ok(Some(Setting { value: row.blob("value")?.into(), revision: Revision(row.number("revision")?) }))
    }

    async fn set(&self, name: &str, value: &[u8], expected: Option<Revision>) -> Result<SetSetting, StoreError> {
        if name.len().saturating_add(value.len()) > MOST_BYTES {
            return Err(StoreError::Full);
        }
        let revision = expected.unwrap_or_default().next();
        let next = integer(revision.0)?;
        let set = |statement| Statement::new(statement).bind(name).bind(value).bind(next);
        let set = match expected {
            None => set(ADD),
            Some(expected) => set(CHANGE).bind(integer(expected.0)?),
        };
        let done = self.write_one(&set).await?.is_some();
        Ok(if done { SetSetting::Done(revision) } else { SetSetting::Conflict })
    }
}
