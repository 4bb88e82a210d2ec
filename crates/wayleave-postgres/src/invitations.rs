//! Invitations. Expired ones go when new ones come.

use async_trait::async_trait;
use wayleave_core::ports::{AccountId, Invitation, Invitations, StoreError};
use wayleave_core::stored::{self, permissions_text};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;

macro_rules! columns {
    () => {
        "key, email, permissions, created_by, created_at, expires_at"
    };
}

pub(crate) const LIST: &str =
    concat!("SELECT ", columns!(), " FROM invitations WHERE expires_at > $1 ORDER BY created_at DESC, key LIMIT $2");
pub(crate) const FIND: &str = concat!("SELECT ", columns!(), " FROM invitations WHERE key = $1");
// A few at a time keeps the table at what is alive.
pub(crate) const INSERT: &str = concat!(
    "WITH dropped AS (DELETE FROM invitations WHERE key = ANY (ARRAY(SELECT key FROM invitations \
     WHERE expires_at <= $5 AND key <> $1 ORDER BY expires_at LIMIT 16 FOR UPDATE SKIP LOCKED))) INSERT INTO \
     invitations (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING RETURNING 1"
);
pub(crate) const TAKE: &str = concat!("DELETE FROM invitations WHERE key = $1 RETURNING ", columns!());

#[async_trait]
impl Invitations for PostgresStore {
    async fn insert(&self, invitation: &Invitation) -> Result<bool, StoreError> {
        let Invitation { key, email, permissions, created_by, created_at, expires_at } = invitation;
        let insert = Statement::new(INSERT)
            .bind(*key)
            .bind(email.as_ref().map(|email| email.as_str()))
            .bind(permissions_text(permissions))
            .bind(created_by.as_ref().map(AccountId::as_str))
            .bind(created_at.as_millis())
            .bind(expires_at.as_millis());
        Ok(self.write_one(&insert).await?.is_some())
    }

    async fn find(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        let row = self.read_one(&Statement::new(FIND).bind(key)).await?;
        let found = row.map(|row| stored::invitation(Columns(&row))).transpose()?;
        Ok(found.filter(|invitation| now < invitation.expires_at))
    }

    async fn take(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        let row = self.write_one(&Statement::new(TAKE).bind(key)).await?;
        let taken = row.map(|row| stored::invitation(Columns(&row))).transpose()?;
        Ok(taken.filter(|invitation| now < invitation.expires_at))
    }

    async fn list(&self, now: Timestamp, most: u32) -> Result<Vec<Invitation>, StoreError> {
        let list = Statement::new(LIST).bind(now.as_millis()).bind(i64::from(most.clamp(1, 1000)));
        self.read(&list).await?.iter().map(|row| stored::invitation(Columns(row))).collect()
    }

    async fn withdraw(&self, key: [u8; 32]) -> Result<bool, StoreError> {
        Ok(self.write_one(&Statement::new(TAKE).bind(key)).await?.is_some())
    }
}
