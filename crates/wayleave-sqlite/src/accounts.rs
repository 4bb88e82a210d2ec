//! Accounts.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{Account, AccountChange, AccountId, Accounts, EmailAddress, InsertAccount, StoreError};
use wayleave_core::record::Revision;
use wayleave_core::stored::{self, Columns as _, encode_labels, permissions_text};

use crate::columns::{Columns, integer};
use crate::error::failed;
use crate::store::{Query, SqliteStore};
use crate::writer::Write;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, email, name, role, phone, labels, avatar, permissions, disabled, must_change_password, epoch, \
             created_at, updated_at, last_sign_in_at, revision FROM accounts ",
            $rest
        )
    };
}

pub(crate) const BY_ID: &str = select!("WHERE id = ?1");
pub(crate) const BY_EMAIL: &str = select!("WHERE email = ?1");
const LIST: &str = select!("WHERE id > ?1 ORDER BY id LIMIT ?2");
// SQLite's `lower` knows ASCII only, as the port wants it.
const SEARCH: &str = select!(
    "WHERE id > ?1 AND (instr(lower(email), lower(?3)) > 0 OR instr(lower(name), lower(?3)) > 0) ORDER BY id LIMIT ?2"
);
pub(crate) const ANYBODY_HOLDS: &str = "SELECT EXISTS (SELECT 1 FROM account_permissions AS held \
     JOIN accounts ON accounts.id = held.account WHERE held.permission = ?1 AND accounts.disabled = 0)";
const INSERT: &str = "INSERT INTO accounts (id, email, name, role, phone, labels, avatar, permissions, disabled, \
     must_change_password, epoch, updated_at, last_sign_in_at, revision, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE accounts SET email = ?2, name = ?3, role = ?4, phone = ?5, labels = ?6, avatar = ?7, \
     permissions = ?8, disabled = ?9, must_change_password = ?10, epoch = max(epoch, ?11), updated_at = ?12, \
     last_sign_in_at = ?13, revision = ?14 WHERE id = ?1";

#[async_trait]
impl Accounts for SqliteStore {
    async fn insert(&self, account: &Account) -> Result<InsertAccount, StoreError> {
        self.write(Insert(account.clone())).await
    }

    async fn by_id(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let row = self.read_one(sqlx::query(BY_ID).bind(id.as_str())).await?;
        row.map(|row| stored::account(Columns(&row))).transpose()
    }

    async fn by_email(&self, email: &EmailAddress) -> Result<Option<Account>, StoreError> {
        let row = self.read_one(sqlx::query(BY_EMAIL).bind(email.as_str())).await?;
        row.map(|row| stored::account(Columns(&row))).transpose()
    }

    async fn update(&self, account: &Account) -> Result<AccountChange, StoreError> {
        self.write(Update(account.clone())).await
    }

    async fn list(
        &self,
        search: Option<&str>,
        after: Option<&AccountId>,
        most: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let (after, most) = (after.map_or("", AccountId::as_str), most.clamp(1, 1000));
        let rows = match search {
            Some(search) => self.read_all(sqlx::query(SEARCH).bind(after).bind(most).bind(search)).await?,
            None => self.read_all(sqlx::query(LIST).bind(after).bind(most)).await?,
        };
        rows.iter().map(|row| stored::account(Columns(row))).collect()
    }

    async fn anybody_holds(&self, permission: &str) -> Result<bool, StoreError> {
        let held = sqlx::query_scalar(ANYBODY_HOLDS).bind(permission).fetch_one(&self.readers);
        held.await.map_err(failed)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM accounts").fetch_one(&self.readers).await.map_err(failed)?;
        Ok(count.unsigned_abs())
    }
}

struct Insert(Account);

#[async_trait]
impl Write for Insert {
    type Output = InsertAccount;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<InsertAccount, StoreError> {
        let Self(account) = self;
        let statement = bind(sqlx::query(INSERT), account, account.revision)?.bind(account.created_at.as_millis());
        if statement.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
            return Ok(InsertAccount::Exists);
        }
        write_permissions(connection, account).await?;
        Ok(InsertAccount::Done)
    }
}

struct Update(Account);

#[async_trait]
impl Write for Update {
    type Output = AccountChange;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<AccountChange, StoreError> {
        let Self(account) = self;
        let id = account.id.as_str();
        let held = sqlx::query("SELECT revision, permissions FROM accounts WHERE id = ?1").bind(id);
        let Some(held) = held.fetch_optional(&mut *connection).await.map_err(failed)? else {
            return Ok(AccountChange::Missing);
        };
        if Columns(&held).number::<u64>("revision")? != account.revision.0 {
            return Ok(AccountChange::Conflict);
        }
        let taken: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM accounts WHERE email = ?1 AND id <> ?2)")
            .bind(account.email.as_str())
            .bind(id)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if taken {
            return Ok(AccountChange::EmailTaken);
        }
        let revision = account.revision.next();
        bind(sqlx::query(UPDATE), account, revision)?.execute(&mut *connection).await.map_err(failed)?;
        if Columns(&held).text("permissions")? != permissions_text(&account.permissions) {
            let all = sqlx::query("DELETE FROM account_permissions WHERE account = ?1").bind(id);
            all.execute(&mut *connection).await.map_err(failed)?;
            write_permissions(connection, account).await?;
        }
        Ok(AccountChange::Done(revision))
    }
}

async fn write_permissions(connection: &mut SqliteConnection, account: &Account) -> Result<(), StoreError> {
    for permission in account.permissions.iter() {
        sqlx::query("INSERT INTO account_permissions (permission, account) VALUES (?1, ?2)")
            .bind(permission)
            .bind(account.id.as_str())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// Binds everything but `created_at`, in the order of [`UPDATE`].
fn bind(query: Query, account: &Account, revision: Revision) -> Result<Query, StoreError> {
    let Account {
        id,
        email,
        name,
        role,
        phone,
        labels,
        avatar,
        permissions,
        disabled,
        must_change_password,
        epoch,
        created_at: _,
        updated_at,
        last_sign_in_at,
        revision: _,
    } = account;
    Ok(query
        .bind(id.as_str())
        .bind(email.as_str())
        .bind(name.as_ref())
        .bind(role.as_ref())
        .bind(phone.as_deref())
        .bind(encode_labels(labels))
        .bind(avatar.as_deref())
        .bind(permissions_text(permissions))
        .bind(*disabled)
        .bind(*must_change_password)
        .bind(integer(*epoch)?)
        .bind(updated_at.as_millis())
        .bind(last_sign_in_at.map(|at| at.as_millis()))
        .bind(integer(revision.0)?))
}
