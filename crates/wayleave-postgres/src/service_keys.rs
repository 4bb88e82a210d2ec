//! Service keys. Revoked ones stay, so that their names are never given out again.

use async_trait::async_trait;
use wayleave_core::ports::{InsertServiceKey, ServiceKey, ServiceKeys, StoreError};
use wayleave_core::stored::{self, Columns as _, permissions_text};
use wayleave_core::time::Timestamp;

use crate::columns::{Columns, is_text};
use crate::statement::Statement;
use crate::store::PostgresStore;

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT name, key, permissions, created_at, expires_at, revoked_at FROM service_keys ", $rest)
    };
}

pub(crate) const BY_KEY: &str = select!("WHERE key = $1");
const BY_NAME: &str = select!("WHERE name = $1");
const LIST: &str = select!("ORDER BY name LIMIT $1");
const INSERT: &str = "INSERT INTO service_keys (name, key, permissions, created_at, expires_at, revoked_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING 1";
const REVOKE: &str = "UPDATE service_keys SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL \
     RETURNING expires_at";

#[async_trait]
impl ServiceKeys for PostgresStore {
    async fn insert(&self, key: &ServiceKey) -> Result<InsertServiceKey, StoreError> {
        let ServiceKey { name, key, permissions, created_at, expires_at, revoked_at } = key;
        let insert = Statement::new(INSERT)
            .bind(name.as_ref())
            .bind(*key)
            .bind(permissions_text(permissions))
            .bind(created_at.as_millis())
            .bind(expires_at.as_millis())
            .bind(revoked_at.map(|at| at.as_millis()));
        Ok(if self.write_one(&insert).await?.is_some() { InsertServiceKey::Done } else { InsertServiceKey::Exists })
    }

    async fn by_key(&self, key: [u8; 32]) -> Result<Option<ServiceKey>, StoreError> {
        let row = self.read_one(&Statement::new(BY_KEY).bind(key)).await?;
        row.map(|row| stored::service_key(Columns(&row))).transpose()
    }

    async fn by_name(&self, name: &str) -> Result<Option<ServiceKey>, StoreError> {
        if !is_text(name) {
            return Ok(None);
        }
        let row = self.read_one(&Statement::new(BY_NAME).bind(name)).await?;
        row.map(|row| stored::service_key(Columns(&row))).transpose()
    }

    async fn list(&self, most: u32) -> Result<Vec<ServiceKey>, StoreError> {
        let rows = self.read(&Statement::new(LIST).bind(i64::from(most.clamp(1, 1000)))).await?;
        rows.iter().map(|row| stored::service_key(Columns(row))).collect()
    }

    async fn revoke(&self, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        if !is_text(name) {
            return Ok(false);
        }
        match self.write_one(&Statement::new(REVOKE).bind(name).bind(now.as_millis())).await? {
            Some(row) => Ok(now < Columns(&row).time("expires_at")?),
            None => Ok(false),
        }
    }
}
