//! Service keys. Revoked ones stay, so that their names are never given out again.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{InsertServiceKey, ServiceKey, ServiceKeys, StoreError};
use wayleave_core::stored::{self, Columns as _, permissions_text};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT name, key, permissions, created_at, expires_at, revoked_at FROM service_keys ", $rest)
    };
}

pub(crate) const BY_KEY: &str = select!("WHERE key = ?1");
const BY_NAME: &str = select!("WHERE name = ?1");
const LIST: &str = select!("ORDER BY name LIMIT ?1");
const INSERT: &str = "INSERT INTO service_keys (name, key, permissions, created_at, expires_at, revoked_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
const REVOKE: &str = "UPDATE service_keys SET revoked_at = ?2 WHERE name = ?1 AND revoked_at IS NULL \
     RETURNING expires_at";

#[async_trait]
impl ServiceKeys for SqliteStore {
    async fn insert(&self, key: &ServiceKey) -> Result<InsertServiceKey, StoreError> {
        self.write(Insert(key.clone())).await
    }

    async fn by_key(&self, key: [u8; 32]) -> Result<Option<ServiceKey>, StoreError> {
        let row = self.read_one(sqlx::query(BY_KEY).bind(key.to_vec())).await?;
        row.map(|row| stored::service_key(Columns(&row))).transpose()
    }

    async fn by_name(&self, name: &str) -> Result<Option<ServiceKey>, StoreError> {
        let row = self.read_one(sqlx::query(BY_NAME).bind(name)).await?;
        row.map(|row| stored::service_key(Columns(&row))).transpose()
    }

    async fn list(&self, most: u32) -> Result<Vec<ServiceKey>, StoreError> {
        let rows = self.read_all(sqlx::query(LIST).bind(most.clamp(1, 1000))).await?;
        rows.iter().map(|row| stored::service_key(Columns(row))).collect()
    }

    async fn revoke(&self, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.write(Revoke { name: name.into(), now }).await
    }
}

struct Insert(ServiceKey);

#[async_trait]
impl Write for Insert {
    type Output = InsertServiceKey;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<InsertServiceKey, StoreError> {
        let Self(ServiceKey { name, key, permissions, created_at, expires_at, revoked_at }) = self;
        let insert = sqlx::query(INSERT)
            .bind(name.as_ref())
            .bind(key.to_vec())
            .bind(permissions_text(permissions))
            .bind(created_at.as_millis())
            .bind(expires_at.as_millis())
            .bind(revoked_at.map(|at| at.as_millis()));
        let done = insert.execute(connection).await.map_err(failed)?.rows_affected() > 0;
        Ok(if done { InsertServiceKey::Done } else { InsertServiceKey::Exists })
    }
}

struct Revoke {
    name: Box<str>,
    now: Timestamp,
}

#[async_trait]
impl Write for Revoke {
    type Output = bool;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let revoke = sqlx::query(REVOKE).bind(self.name.as_ref()).bind(self.now.as_millis());
        let rows = revoke.fetch_all(connection).await.map_err(failed)?;
        match rows.first() {
            Some(row) => Ok(self.now < Columns(row).time("expires_at")?),
            None => Ok(false),
        }
    }
}
