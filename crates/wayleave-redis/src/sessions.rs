//! Sessions: the store port. A file for each operation; what is one step is the script of the same name.

use std::sync::Arc;

use async_trait::async_trait;
use wayleave_core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Swept, Touch, Update,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use crate::keys::Place;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{digits, id_bytes, optional_record};

mod census;
mod everywhere;
mod insert;
mod list;
mod revoke;
mod rotate;
mod sweep;
mod touch;
mod update;

#[async_trait]
impl SessionStore for RedisStore {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        self.insert_record(record, limit, replaces, now).await
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        let (slot, by, name, prefix) = match lookup {
            Lookup::Token(key) => (key.slot, "t", key.hash.0.to_vec(), String::new()),
            Lookup::Id(slot, id) => (slot, "i", id_bytes(id), id.prefix().as_str().to_owned()),
            Lookup::Refresh(key) => (key.slot, "r", key.hash.0.to_vec(), String::new()),
        };
        let arguments = vec![by.into(), name, digits(slot.0), prefix.into()];
        let found = self.at(Place::of(slot), &scripts::FIND, arguments).await?;
        Ok(optional_record(found, &self.sealing)?.map(Arc::new))
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        self.update_record(record, expected).await
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        self.rotate_record(rotation).await
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        self.deposit_ticket(ticket, most, now).await
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        self.take_ticket(purpose, key, now).await
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        self.revoke_scope(scope).await
    }

    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        match &listing.subject {
            Some((slot, subject)) => self.list_subject(*slot, subject, listing).await,
            None => self.list_everybody(listing).await,
        }
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        self.touch_records(touches).await
    }

    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.erase_sealed_pairs(before, most).await
    }

    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        self.sweep_ended(before, most).await
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        self.count_sessions(now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.write_nothing().await
    }
}
