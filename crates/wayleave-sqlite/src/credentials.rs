//! Credentials, sealed under the account and the method that they are for.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::authentication::Method;
use wayleave_core::ports::{
    AccountId, Credential, Credentials, Exchange, Exchanged, KeyTag, Rewrapped, StoreError, Wrap, WrappedKey,
};
use wayleave_core::stored::Columns as _;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

pub(crate) const FIND: &str = "SELECT secret, changed_at FROM credentials WHERE account = ?1 AND method = ?2";
const SET: &str = "INSERT INTO credentials (account, method, secret, changed_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (account, method) DO UPDATE SET secret = excluded.secret, changed_at = excluded.changed_at, \
     wrapped_key = NULL, wrapped_key_tag = NULL";
pub(crate) const REPLACE: &str =
    "UPDATE credentials SET secret = ?4 WHERE account = ?1 AND method = ?2 AND changed_at = ?3";
pub(crate) const HELD: &str = "SELECT changed_at, wrapped_key_tag FROM credentials WHERE account = ?1 AND method = ?2";
const EXCHANGE: &str = "INSERT INTO credentials (account, method, secret, changed_at, wrapped_key, wrapped_key_tag) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (account, method) DO UPDATE SET secret = excluded.secret, \
     changed_at = excluded.changed_at, wrapped_key = excluded.wrapped_key, wrapped_key_tag = excluded.wrapped_key_tag";
pub(crate) const WRAPPED_KEY: &str = "SELECT wrapped_key FROM credentials WHERE account = ?1 AND method = ?2";
pub(crate) const WRAP: &str =
    "UPDATE credentials SET wrapped_key = ?3, wrapped_key_tag = ?4 WHERE account = ?1 AND method = ?2";
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

    async fn exchange(&self, account: &AccountId, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let Exchange { method, set_at, credential, supersedes, wrapped_key } = exchange;
        let wrapped_key = wrapped_key.as_ref().map(|key| self.sealed_key(account, *method, key)).transpose()?;
        self.write(Swap {
            account: account.clone(),
            method: *method,
            set_at: set_at.map(Timestamp::as_millis),
            secret: self.sealing.seal_secret(account, *method, &credential.secret)?,
            changed_at: credential.changed_at.as_millis(),
            supersedes: *supersedes,
            expected_key: exchange.expected_key(),
            wrapped_key,
        })
        .await
    }

    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError> {
        self.write(Remove { account: account.clone(), method }).await
    }

    async fn wrapped_key(&self, account: &AccountId, method: Method) -> Result<Option<WrappedKey>, StoreError> {
        let query = sqlx::query(WRAPPED_KEY).bind(account.as_str()).bind(method.as_str());
        let Some(row) = self.read_one(query).await? else {
            return Ok(None);
        };
        self.sealing.open_wrapped_key(account, method, Columns(&row).optional_blob("wrapped_key")?)
    }

    async fn wrap(&self, account: &AccountId, method: Method, key: &Rewrapped) -> Result<Wrap, StoreError> {
        let sealed = self.sealed_key(account, method, key)?;
        self.write(WrapKey { account: account.clone(), method, expected: key.replaces, key: sealed }).await
    }
}

impl SqliteStore {
    fn sealed_key(&self, account: &AccountId, method: Method, key: &Rewrapped) -> Result<SealedKey, StoreError> {
        let envelope = self.sealing.seal_wrapped_key(account, method, &key.key)?;
        Ok(SealedKey { envelope, tag: key.key.tag() })
    }
}

struct SealedKey {
    envelope: Box<[u8]>,
    tag: KeyTag,
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

/// When a credential was set, and the key beside it.
async fn held(
    connection: &mut SqliteConnection,
    account: &AccountId,
    method: Method,
) -> Result<Option<(i64, Option<KeyTag>)>, StoreError> {
    let query = sqlx::query(HELD).bind(account.as_str()).bind(method.as_str());
    let Some(row) = query.fetch_optional(connection).await.map_err(failed)? else {
        return Ok(None);
    };
    let row = Columns(&row);
    Ok(Some((row.time("changed_at")?.as_millis(), row.optional_bytes("wrapped_key_tag")?.map(KeyTag))))
}

struct Swap {
    account: AccountId,
    method: Method,
    set_at: Option<i64>,
    secret: Box<[u8]>,
    changed_at: i64,
    supersedes: Option<Method>,
    expected_key: Option<KeyTag>,
    wrapped_key: Option<SealedKey>,
}

#[async_trait]
impl Write for Swap {
    type Output = Exchanged;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Exchanged, StoreError> {
        let Self { account, method, set_at, secret, changed_at, supersedes, expected_key, wrapped_key } = self;
        let held = held(connection, account, *method).await?;
        if held.map(|(changed_at, _)| changed_at) != *set_at {
            return Ok(Exchanged::Moved);
        }
        if held.and_then(|(_, key)| key) != *expected_key {
            return Ok(Exchanged::KeyMoved);
        }
        sqlx::query(EXCHANGE)
            .bind(account.as_str())
            .bind(method.as_str())
            .bind(secret.as_ref())
            .bind(*changed_at)
            .bind(wrapped_key.as_ref().map(|key| key.envelope.as_ref()))
            .bind(wrapped_key.as_ref().map(|key| key.tag.0.as_slice()))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        if let Some(superseded) = supersedes {
            let remove = sqlx::query(REMOVE).bind(account.as_str()).bind(superseded.as_str());
            remove.execute(connection).await.map_err(failed)?;
        }
        Ok(Exchanged::Done)
    }
}

struct WrapKey {
    account: AccountId,
    method: Method,
    expected: Option<KeyTag>,
    key: SealedKey,
}

#[async_trait]
impl Write for WrapKey {
    type Output = Wrap;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Wrap, StoreError> {
        let Self { account, method, expected, key: SealedKey { envelope, tag } } = self;
        match held(connection, account, *method).await? {
            None => return Ok(Wrap::NoCredential),
            Some((_, key)) if key != *expected => return Ok(Wrap::Moved),
            Some(_) => {}
        }
        let wrap = sqlx::query(WRAP).bind(account.as_str()).bind(method.as_str());
        wrap.bind(envelope.as_ref()).bind(tag.0.as_slice()).execute(connection).await.map_err(failed)?;
        Ok(Wrap::Done)
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
