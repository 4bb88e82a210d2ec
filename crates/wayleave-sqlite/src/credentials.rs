//! Credentials, sealed under the account and the method that they are for.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::authentication::Method;
use wayleave_core::ports::{AccountId, Credential, Credentials, StoreError};
use wayleave_core::stored::Columns as _;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

pub(crate) const FIND: &str = "SELECT secret, changed_at FROM credentials WHERE account = ?1 AND method = ?2";
const SET: &str = "INSERT INTO credentials (account, method, secret, changed_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (account, method) DO UPDATE SET secret = excluded.secret, changed_at = excluded.changed_at";
pub(crate) const REPLACE: &str =
    "UPDATE credentials SET secret = ?4 WHERE account = ?1 AND method = ?2 AND changed_at = ?3";
pub(crate) const EXCHANGE: &str = "UPDATE credentials SET secret = ?3, changed_at = ?4 \
     WHERE account = ?1 AND method = ?2 AND changed_at = ?5";
const ADD: &str = "INSERT INTO credentials (account, method, secret, changed_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (account, method) DO NOTHING";
const REMOVE: &str = "DELETE FROM credentials WHERE account = ?1 AND method = ?2";

#[async_trait]
impl Credentials for SqliteStore {
    async fn find(&self, account: &AccountId, method: Method) -> Result<Option<Credential>, StoreError> {
        let query = sqlx::query(FIND).bind(account.as_str()).bind(method.as_str());
        let Some(row) = self.read_one(query).await? else {
            return Ok(None);
        };
        let row = Columns(&row);
        let secret = self.sealing.open_secret(account, method, row.blob("secret")?)?;
        Ok(Some(Credential { secret, changed_at: row.time("changed_at")? }))
    }

    async fn set(&self, account: &AccountId, method: Method, credential: &Credential) -> Result<(), StoreError> {
        let Credential { secret, changed_at } = credential;
        let secret = self.sealing.seal_secret(account, method, secret)?;
        self.write(Set { account: account.clone(), method, secret, changed_at: changed_at.as_millis() }).await
    }

    async fn replace(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Timestamp,
        secret: &[u8],
    ) -> Result<bool, StoreError> {
        let secret = self.sealing.seal_secret(account, method, secret)?;
        self.write(Replace { account: account.clone(), method, set_at: set_at.as_millis(), secret }).await
    }

    async fn exchange(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Option<Timestamp>,
        credential: &Credential,
    ) -> Result<bool, StoreError> {
        let Credential { secret, changed_at } = credential;
        let secret = self.sealing.seal_secret(account, method, secret)?;
        let set = Set { account: account.clone(), method, secret, changed_at: changed_at.as_millis() };
        self.write(Exchange { set_at: set_at.map(|at| at.as_millis()), set }).await
    }

    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError> {
        self.write(Remove { account: account.clone(), method }).await
    }
}

struct Set {
    account: AccountId,
    method: Method,
    secret: Box<[u8]>,
    changed_at: i64,
}

#[async_trait]
impl Write for Set {
    type Output = ();

    async fn run(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Self { account, method, secret, changed_at } = self;
        let set = sqlx::query(SET).bind(account.as_str()).bind(method.as_str()).bind(secret.as_ref()).bind(*changed_at);
        set.execute(connection).await.map_err(failed)?;
        Ok(())
    }
}

struct Replace {
    account: AccountId,
    method: Method,
    set_at: i64,
    secret: Box<[u8]>,
}

#[async_trait]
impl Write for Replace {
    type Output = bool;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let Self { account, method, set_at, secret } = self;
        let replace =
            sqlx::query(REPLACE).bind(account.as_str()).bind(method.as_str()).bind(*set_at).bind(secret.as_ref());
        Ok(replace.execute(connection).await.map_err(failed)?.rows_affected() > 0)
    }
}

struct Exchange {
    set_at: Option<i64>,
    set: Set,
}

#[async_trait]
impl Write for Exchange {
    type Output = bool;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let Self { set_at, set: Set { account, method, secret, changed_at } } = self;
        let query = sqlx::query(if set_at.is_some() { EXCHANGE } else { ADD })
            .bind(account.as_str())
            .bind(method.as_str())
            .bind(secret.as_ref())
            .bind(*changed_at);
        let query = match set_at {
            Some(at) => query.bind(*at),
            None => query,
        };
        Ok(query.execute(connection).await.map_err(failed)?.rows_affected() > 0)
    }
}

struct Remove {
    account: AccountId,
    method: Method,
}

#[async_trait]
impl Write for Remove {
    type Output = bool;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let remove = sqlx::query(REMOVE).bind(self.account.as_str()).bind(self.method.as_str());
        Ok(remove.execute(connection).await.map_err(failed)?.rows_affected() > 0)
    }
}
