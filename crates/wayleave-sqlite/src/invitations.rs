//! Invitations. Expired ones go when new ones come.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{AccountId, Invitation, Invitations, StoreError};
use wayleave_core::stored::{self, permissions_text};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

const LIST: &str = "SELECT key, email, permissions, created_by, created_at, expires_at FROM invitations \
     WHERE expires_at > ?1 ORDER BY created_at DESC, key LIMIT ?2";
const FIND: &str = "SELECT key, email, permissions, created_by, created_at, expires_at FROM invitations WHERE key = ?1";
const INSERT: &str = "INSERT INTO invitations (key, email, permissions, created_by, created_at, expires_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO NOTHING";
// A few at a time keeps the table at what is alive.
const DROP_EXPIRED: &str = "DELETE FROM invitations WHERE key IN \
     (SELECT key FROM invitations WHERE expires_at <= ?1 ORDER BY expires_at LIMIT 16)";
const TAKE: &str = "DELETE FROM invitations WHERE key = ?1 \
     RETURNING key, email, permissions, created_by, created_at, expires_at";

#[async_trait]
impl Invitations for SqliteStore {
    async fn insert(&self, invitation: &Invitation) -> Result<bool, StoreError> {
        self.write(Insert(invitation.clone())).await
    }

    async fn find(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        let row = self.read_one(sqlx::query(FIND).bind(key.to_vec())).await?;
        let found = row.map(|row| stored::invitation(Columns(&row))).transpose()?;
        Ok(found.filter(|invitation| now < invitation.expires_at))
    }

    async fn take(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        Ok(self.write(Take(key)).await?.filter(|invitation| now < invitation.expires_at))
    }

    async fn list(&self, now: Timestamp, most: u32) -> Result<Vec<Invitation>, StoreError> {
        let query = sqlx::query(LIST).bind(now.as_millis()).bind(most.clamp(1, 1000));
        self.read_all(query).await?.iter().map(|row| stored::invitation(Columns(row))).collect()
    }

    async fn withdraw(&self, key: [u8; 32]) -> Result<bool, StoreError> {
        Ok(self.write(Take(key)).await?.is_some())
    }
}

struct Insert(Invitation);

#[async_trait]
impl Write for Insert {
    type Output = bool;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let Self(Invitation { key, email, permissions, created_by, created_at, expires_at }) = self;
        let insert = sqlx::query(INSERT)
            .bind(key.to_vec())
            .bind(email.as_ref().map(|email| email.as_str()))
            .bind(permissions_text(permissions))
            .bind(created_by.as_ref().map(AccountId::as_str))
            .bind(created_at.as_millis())
            .bind(expires_at.as_millis());
        let done = insert.execute(&mut *connection).await.map_err(failed)?.rows_affected() > 0;
        if done {
            let drop = sqlx::query(DROP_EXPIRED).bind(created_at.as_millis());
            drop.execute(connection).await.map_err(failed)?;
        }
        Ok(done)
    }
}

struct Take([u8; 32]);

#[async_trait]
impl Write for Take {
    type Output = Option<Invitation>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<Invitation>, StoreError> {
        let rows = sqlx::query(TAKE).bind(self.0.to_vec()).fetch_all(connection).await.map_err(failed)?;
        rows.first().map(|row| stored::invitation(Columns(row))).transpose()
    }
}
