//! Settings, changed by compare-and-set.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{SetSetting, Setting, Settings, StoreError};
use wayleave_core::record::Revision;
use wayleave_core::stored::Columns as _;

use crate::columns::{Columns, integer};
use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

/// Most bytes of one setting's name and value together.
const MOST_BYTES: usize = 64 * 1024;

#[async_trait]
impl Settings for SqliteStore {
    async fn get(&self, name: &str) -> Result<Option<Setting>, StoreError> {
        let query = sqlx::query("SELECT value, revision FROM settings WHERE name = ?1").bind(name);
        let Some(row) = self.read_one(query).await? else {
            return Ok(None);
        };
        let row = Columns(&row);
        Ok(Some(Setting { value: row.blob("value")?.into(), revision: Revision(row.number("revision")?) }))
    }

    async fn set(&self, name: &str, value: &[u8], expected: Option<Revision>) -> Result<SetSetting, StoreError> {
        if name.len().saturating_add(value.len()) > MOST_BYTES {
            return Err(StoreError::Full);
        }
        self.write(Set { name: name.into(), value: value.into(), expected }).await
    }
}

struct Set {
    name: Box<str>,
    value: Box<[u8]>,
    expected: Option<Revision>,
}

#[async_trait]
impl Write for Set {
    type Output = SetSetting;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<SetSetting, StoreError> {
        let Self { name, value, expected } = self;
        let revision = expected.unwrap_or_default().next();
        let (name, value, next) = (name.as_ref(), value.as_ref(), integer(revision.0)?);
        let statement = match expected {
            None => sqlx::query(
                "INSERT INTO settings (name, value, revision) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
            )
            .bind(name)
            .bind(value)
            .bind(next),
            Some(expected) => {
                sqlx::query("UPDATE settings SET value = ?2, revision = ?3 WHERE name = ?1 AND revision = ?4")
                    .bind(name)
                    .bind(value)
                    .bind(next)
                    .bind(integer(expected.0)?)
            }
        };
        let done = statement.execute(connection).await.map_err(failed)?.rows_affected() > 0;
        Ok(if done { SetSetting::Done(revision) } else { SetSetting::Conflict })
    }
}
