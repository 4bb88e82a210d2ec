//! Accounts.

use async_trait::async_trait;
use wayleave_core::ports::{Account, AccountChange, AccountId, Accounts, EmailAddress, InsertAccount, StoreError};
use wayleave_core::record::Revision;
use wayleave_core::stored::{self, Columns as _, Malformed, encode_labels, permissions_text};

use crate::columns::{Columns, integer, is_text};
use crate::statement::Statement;
use crate::store::PostgresStore;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, email, name, role, phone, labels, avatar, permissions, disabled, must_change_password, epoch, \
             created_at, updated_at, last_sign_in_at, revision FROM accounts ",
            $rest
        )
    };
}

pub(crate) const BY_ID: &str = select!("WHERE id = $1");
pub(crate) const BY_EMAIL: &str = select!("WHERE email = $1");
pub(crate) const LIST: &str = select!("WHERE id > $1 ORDER BY id LIMIT $2");
// In the locale of the columns, "C", which knows ASCII only, as the port wants it.
const SEARCH: &str = select!(
    "WHERE id > $1 AND (strpos(lower(email), lower($3 COLLATE \"C\")) > 0 \
     OR strpos(lower(name), lower($3 COLLATE \"C\")) > 0) ORDER BY id LIMIT $2"
);
// Not EXISTS, for which the planner would read the table in the hope of an early hit; who is asked for here is rare.
pub(crate) const ANYBODY_HOLDS: &str =
    "SELECT count(*) > 0 AS held FROM accounts WHERE NOT disabled AND holds @> ARRAY[$1]";
const COUNT: &str = "SELECT count(*) AS accounts FROM accounts";
const INSERT: &str = "INSERT INTO accounts (id, email, name, role, phone, labels, avatar, permissions, disabled, \
     must_change_password, epoch, updated_at, last_sign_in_at, revision, created_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING RETURNING 1";
const UPDATE: &str = "SELECT account_update($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS outcome";

#[async_trait]
impl Accounts for PostgresStore {
    async fn insert(&self, account: &Account) -> Result<InsertAccount, StoreError> {
        let insert = bind(Statement::new(INSERT), account)?.bind(account.created_at.as_millis());
        Ok(if self.write_one(&insert).await?.is_some() { InsertAccount::Done } else { InsertAccount::Exists })
    }

    async fn by_id(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let row = self.read_one(&Statement::new(BY_ID).bind(id.as_str())).await?;
        row.map(|row| stored::account(Columns(&row))).transpose()
    }

    async fn by_email(&self, email: &EmailAddress) -> Result<Option<Account>, StoreError> {
        let row = self.read_one(&Statement::new(BY_EMAIL).bind(email.as_str())).await?;
        row.map(|row| stored::account(Columns(&row))).transpose()
    }

    async fn update(&self, account: &Account) -> Result<AccountChange, StoreError> {
        let row = self.write_one(&bind(Statement::new(UPDATE), account)?).await?.ok_or(Malformed("outcome"))?;
        match Columns(&row).text("outcome")? {
            "done" => Ok(AccountChange::Done(account.revision.next())),
            "conflict" => Ok(AccountChange::Conflict),
            "missing" => Ok(AccountChange::Missing),
            "email" => Ok(AccountChange::EmailTaken),
            _ => Err(Malformed("outcome").into()),
        }
    }

    async fn list(
        &self,
        search: Option<&str>,
        after: Option<&AccountId>,
        most: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let page = |statement| {
            let after = after.map_or("", AccountId::as_str);
            Statement::new(statement).bind(after).bind(i64::from(most.clamp(1, 1000)))
        };
        let rows = match search {
            Some(search) if !is_text(search) => Vec::new(),
            Some(search) => self.read(&page(SEARCH).bind(search)).await?,
            None => self.read(&page(LIST)).await?,
        };
        rows.iter().map(|row| stored::account(Columns(row))).collect()
    }

    async fn anybody_holds(&self, permission: &str) -> Result<bool, StoreError> {
        if !is_text(permission) {
            return Ok(false);
        }
        let row = self.read_one(&Statement::new(ANYBODY_HOLDS).bind(permission)).await?;
        Columns(&row.ok_or(Malformed("held"))?).flag("held")
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let row = self.read_one(&Statement::new(COUNT)).await?;
        Columns(&row.ok_or(Malformed("accounts"))?).number("accounts")
    }
}

/// Binds everything but `created_at`, in the order of both statements. An update expects the revision that it is given.
fn bind(statement: Statement, account: &Account) -> Result<Statement, StoreError> {
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
        revision: Revision(revision),
    } = account;
    Ok(statement
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
        .bind(integer(*revision)?))
}
