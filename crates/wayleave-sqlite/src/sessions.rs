//! Sessions: the store port over the file. Everything that changes something is one write of `writer`.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use wayleave_core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Swept, Touch, Update,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::stored;
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::store::{Query, SqliteStore};
use crate::stored::select_records;

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

pub(crate) const BY_TOKEN: &str = select_records!("WHERE token = ?1 AND slot = ?2");
pub(crate) const BY_ID: &str = select_records!("WHERE id = ?1 AND slot = ?2 AND prefix = ?3");
// Of several sessions of a family, a spent token leads to the one that it was exchanged in, else to the newest.
pub(crate) const BY_REFRESH: &str = select_records!(
    "WHERE id = coalesce((SELECT id FROM sessions WHERE refresh = ?1 AND slot = ?2), \
     (SELECT held.id FROM spent_refresh_tokens AS spent JOIN sessions AS held ON held.family = spent.family \
     WHERE spent.hash = ?1 AND held.slot = ?2 \
     ORDER BY held.rotation_predecessor IS ?1 DESC, held.created_at DESC, held.id DESC LIMIT 1))"
);

#[async_trait]
impl SessionStore for SqliteStore {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        self.write(insert::InsertRecord::new(record, limit, replaces, now, &self.sealing)?).await
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        let row = self.read_one(by(lookup)).await?;
        row.map(|row| Ok(Arc::new(stored::record(Columns(&row), &self.sealing)?))).transpose()
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        self.write(update::UpdateRecord::new(record, expected, &self.sealing)?).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        self.write(rotate::RotateRecord::new(rotation, &self.sealing)?).await
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        self.deposit_ticket(ticket, most, now).await
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        self.take_ticket(purpose, key, now).await
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        self.write(revoke::Revoke(scope.clone())).await
    }

    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        let rows = self.read_all(list::statement(listing)).await?;
        Ok(list::page(&rows, listing, &self.sealing))
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        if touches.is_empty() {
            return Ok(0);
        }
        self.write(touch::TouchRecords(touches.into())).await
    }

    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.write(rotate::ErasePairs { before, most }).await
    }

    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        self.write(sweep::Sweep { before, most }).await
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        let rows = self.read_all(census::statement(now)).await?;
        census::count(&rows)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read_one(sqlx::query("SELECT 1 FROM sessions LIMIT 1")).await?;
        // Signing in and out need the write lock, so a store that cannot get it does not serve.
        self.write(census::Nothing).await
    }
}

/// The statement of a lookup. All give at most one row of [`select_records`].
pub(crate) fn by(lookup: Lookup) -> Query {
    match lookup {
        Lookup::Token(key) => sqlx::query(BY_TOKEN).bind(key.hash.0.to_vec()).bind(key.slot.0),
        Lookup::Id(slot, id) => sqlx::query(BY_ID).bind(id.bytes().to_vec()).bind(slot.0).bind(id.prefix().as_str()),
        Lookup::Refresh(key) => sqlx::query(BY_REFRESH).bind(key.hash.0.to_vec()).bind(key.slot.0),
    }
}

/// What is left of deleted rows. One that cannot be read was deleted all the same, and no cache can have held it.
pub(crate) fn gone(rows: &[SqliteRow]) -> Vec<Gone> {
    let decoded = rows.iter().map(|row| stored::gone(Columns(row)));
    decoded
        .filter_map(|gone| {
            gone.inspect_err(|error| {
                tracing::warn!(error = error as &dyn std::error::Error, "ended a session that cannot be read");
            })
            .ok()
        })
        .collect()
}
