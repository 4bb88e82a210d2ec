//! Credentials, sealed under the account and the method that they are for.

use async_trait::async_trait;
use wayleave_core::authentication::Method;
use wayleave_core::ports::{
    AccountId, Credential, Credentials, Exchange, Exchanged, Rewrapped, StoreError, Wrap, WrappedKey,
};
use wayleave_core::stored::Columns as _;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;

pub(crate) const FIND: &str = "SELECT secret, changed_at FROM credentials WHERE account = $1 AND method = $2";
const SET: &str = "INSERT INTO credentials (account, method, secret, changed_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (account, method) DO UPDATE SET secret = excluded.secret, changed_at = excluded.changed_at, \
     wrapped_key = NULL, wrapped_key_tag = NULL";
pub(crate) const REPLACE: &str =
    "UPDATE credentials SET secret = $3 WHERE account = $1 AND method = $2 AND changed_at = $4 RETURNING 1";
const EXCHANGE: &str = "SELECT credential_exchange($1, $2, $3, $4, $5, $6, $7, $8, $9) AS told";
const REMOVE: &str = "DELETE FROM credentials WHERE account = $1 AND method = $2 RETURNING 1";
pub(crate) const WRAPPED_KEY: &str = "SELECT wrapped_key FROM credentials WHERE account = $1 AND method = $2";
const WRAP: &str = "SELECT credential_wrap($1, $2, $3, $4, $5) AS told";

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

    async fn exchange(&self, account: &AccountId, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let Exchange { method, set_at, credential, supersedes, wrapped_key } = exchange;
        let secret = self.sealing.seal_secret(account, *method, &credential.secret)?;
        let key = wrapped_key.as_ref().map(|rewrapped| &rewrapped.key);
        let sealed = key.map(|key| self.sealing.seal_wrapped_key(account, *method, key)).transpose()?;
        let statement = of(EXCHANGE, account, *method)
            .bind(&*secret)
            .bind(credential.changed_at.as_millis())
            .bind(set_at.map(Timestamp::as_millis))
            .bind(supersedes.map(Method::as_str))
            .bind(sealed.as_deref())
            .bind(key.map(|key| key.tag().0))
            .bind(exchange.expected_key().map(|tag| tag.0));
        match self.told(&statement).await?.as_deref() {
            Some("done") => Ok(Exchanged::Done),
            Some("moved") => Ok(Exchanged::Moved),
            Some("key") => Ok(Exchanged::KeyMoved),
            Some(_) | None => Err(StoreError::Corrupt(None)),
        }
    }

    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError> {
        Ok(self.write_one(&of(REMOVE, account, method)).await?.is_some())
    }

    async fn wrapped_key(&self, account: &AccountId, method: Method) -> Result<Option<WrappedKey>, StoreError> {
        let Some(row) = self.read_one(&of(WRAPPED_KEY, account, method)).await? else {
            return Ok(None);
        };
        self.sealing.open_wrapped_key(account, method, Columns(&row).optional_blob("wrapped_key")?)
    }

    async fn wrap(&self, account: &AccountId, method: Method, key: &Rewrapped) -> Result<Wrap, StoreError> {
        let sealed = self.sealing.seal_wrapped_key(account, method, &key.key)?;
        let statement =
            of(WRAP, account, method).bind(&*sealed).bind(key.key.tag().0).bind(key.replaces.map(|tag| tag.0));
        match self.told(&statement).await?.as_deref() {
            Some("done") => Ok(Wrap::Done),
            Some("moved") => Ok(Wrap::Moved),
            Some("none") => Ok(Wrap::NoCredential),
            Some(_) | None => Err(StoreError::Corrupt(None)),
        }
    }
}

impl PostgresStore {
    /// The word that a function tells.
    async fn told(&self, statement: &Statement) -> Result<Option<String>, StoreError> {
        let row = self.write_one(statement).await?;
        row.map(|row| Columns(&row).text("told").map(str::to_owned)).transpose()
    }
}

fn of(statement: &'static str, account: &AccountId, method: Method) -> Statement {
    Statement::new(statement).bind(account.as_str()).bind(method.as_str())
}
