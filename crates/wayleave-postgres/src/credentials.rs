//! Credentials, sealed under the account and the method that they are for.

use async_trait::async_trait;
use wayleave_core::authentication::Method;
use wayleave_core::ports::{AccountId, Credential, Credentials, StoreError};
use wayleave_core::stored::Columns as _;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;

pub(crate) const FIND: &str = "SELECT secret, changed_at FROM credentials WHERE account = $1 AND method = $2";
const SET: &str = "INSERT INTO credentials (account, method, secret, changed_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (account, method) DO UPDATE SET secret = excluded.secret, changed_at = excluded.changed_at";
pub(crate) const REPLACE: &str =
    "UPDATE credentials SET secret = $3 WHERE account = $1 AND method = $2 AND changed_at = $4 RETURNING 1";
pub(crate) const EXCHANGE: &str = "UPDATE credentials SET secret = $3, changed_at = $4 \
     WHERE account = $1 AND method = $2 AND changed_at = $5 RETURNING 1";
const ADD: &str = "INSERT INTO credentials (account, method, secret, changed_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (account, method) DO NOTHING RETURNING 1";
const REMOVE: &str = "DELETE FROM credentials WHERE account = $1 AND method = $2 RETURNING 1";

#[async_trait]
impl Credentials for PostgresStore {
    async fn find(&self, account: &AccountId, method: Method) -> Result<Option<Credential>, StoreError> {
        let Some(row) = self.read_one(&of(FIND, account, method)).await? else {
            return Ok(None);
        };
        let row = Columns(&row);
        let secret = self.sealing.open_secret(account, method, row.blob("secret")?)?;
        Ok(Some(Credential { secret, changed_at: row.time("changed_at")? }))
    }

    async fn set(&self, account: &AccountId, method: Method, credential: &Credential) -> Result<(), StoreError> {
        let secret = self.sealing.seal_secret(account, method, &credential.secret)?;
        let set = of(SET, account, method).bind(&*secret).bind(credential.changed_at.as_millis());
        self.write(&set).await.map(drop)
    }

    async fn replace(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Timestamp,
        secret: &[u8],
    ) -> Result<bool, StoreError> {
        let secret = self.sealing.seal_secret(account, method, secret)?;
        let replace = of(REPLACE, account, method).bind(&*secret).bind(set_at.as_millis());
        Ok(self.write_one(&replace).await?.is_some())
    }

    async fn exchange(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Option<Timestamp>,
        credential: &Credential,
    ) -> Result<bool, StoreError> {
        let secret = self.sealing.seal_secret(account, method, &credential.secret)?;
        let set = |statement| of(statement, account, method).bind(&*secret).bind(credential.changed_at.as_millis());
        let exchange = match set_at {
            Some(set_at) => set(EXCHANGE).bind(set_at.as_millis()),
            None => set(ADD),
        };
        Ok(self.write_one(&exchange).await?.is_some())
    }

    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError> {
        Ok(self.write_one(&of(REMOVE, account, method)).await?.is_some())
    }
}

fn of(statement: &'static str, account: &AccountId, method: Method) -> Statement {
    Statement::new(statement).bind(account.as_str()).bind(method.as_str())
}
