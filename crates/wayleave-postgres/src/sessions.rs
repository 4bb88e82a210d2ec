//! Sessions: the store port over the database. Every operation is one statement; see `migrations` for the functions.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use wayleave_core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Swept, Touch, Update,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::stored;
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;
use crate::stored::{record, select_records};

mod census;
mod insert;
mod list;
mod revoke;
mod rotate;
mod sweep;
mod touch;
mod update;

#[cfg(test)]
mod plans;

pub(crate) const BY_TOKEN: &str = select_records!("WHERE token = $1 AND slot = $2");
pub(crate) const BY_ID: &str = select_records!("WHERE id = $1 AND slot = $2 AND prefix = $3");
pub(crate) const BY_REFRESH: &str = select_records!("WHERE id = session_by_refresh($1, $2)");

#[async_trait]
impl SessionStore for PostgresStore {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        let insert = insert::statement(self, record, limit, replaces, now)?;
        insert::outcome(&self.write(&insert).await?)
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        let row = self.read_one(&by(lookup)).await?;
        row.map(|row| record(&row, &self.sealing)).transpose()
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        let update = update::statement(record, expected, &self.sealing)?;
        update::outcome(self.write_one(&update).await?.as_ref(), &self.sealing)
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        let rotate = rotate::statement(self, rotation)?;
        rotate::outcome(&self.write(&rotate).await?, &self.sealing)
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        self.deposit_ticket(ticket, most, now).await
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        self.take_ticket(purpose, key, now).await
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        Ok(gone(&self.write(&revoke::statement(self, scope)).await?))
    }

    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        Ok(list::page(&self.read(&list::statement(listing)).await?, listing, &self.sealing))
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        let mut written = 0;
        for statement in touch::statements(touches) {
            written += touch::written(self.write_one(&statement).await?.as_ref())?;
        }
        Ok(written)
    }

    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        rotate::erased(self.write_one(&rotate::erase_pairs(before, most)).await?.as_ref())
    }

    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        sweep::swept(self.write_one(&sweep::statement(before, most)).await?.as_ref())
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        census::count(&self.read(&census::statement(now)).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        census::answers(self.read_one(&census::ping()).await?.as_ref())
    }
}

/// The statement of a lookup. All give at most one row of whole records.
pub(crate) fn by(lookup: Lookup) -> Statement {
    match lookup {
        Lookup::Token(key) => Statement::new(BY_TOKEN).bind(key.hash.0).bind(i64::from(key.slot.0)),
        Lookup::Id(slot, id) => {
            Statement::new(BY_ID).bind(id.bytes()).bind(i64::from(slot.0)).bind(id.prefix().as_str())
        }
        Lookup::Refresh(key) => Statement::new(BY_REFRESH).bind(key.hash.0).bind(i64::from(key.slot.0)),
    }
}

/// What is left of deleted rows. One that cannot be read was deleted all the same, and no cache can have held it.
pub(crate) fn gone<'r>(rows: impl IntoIterator<Item = &'r PgRow>) -> Vec<Gone> {
    let decoded = rows.into_iter().map(|row| stored::gone(Columns(row)));
    decoded
        .filter_map(|gone| {
            gone.inspect_err(|error| {
                tracing::warn!(error = error as &dyn std::error::Error, "ended a session that cannot be read");
            })
            .ok()
        })
        .collect()
}
