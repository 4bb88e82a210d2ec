//! Stores in process memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use hashbrown::DefaultHashBuilder;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use crate::id::Slot;
use crate::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Swept, Touch, Update,
};
use crate::record::{Record, Revision};
use crate::ticket::{Purpose, Ticket};
use crate::time::Timestamp;
use crate::token::TokenKey;

mod blobs;
mod bytes;
mod change;
mod directory;
mod insert;
mod intern;
mod lineage;
mod list;
mod packed;
mod rotate;
mod shard;
mod slab;
mod sweep;
mod tickets;

pub use blobs::{BlobLimits, MemoryBlobs};
pub use directory::{DirectoryLimits, MemoryDirectory};

use intern::Interned;
use shard::{Books, Shard};
use tickets::{MostTickets, Tickets};

/// How many shards there are. With forty, the tables of a million records are three quarters full; with sixty-four
/// they would be half empty.
const SHARDS: usize = 40;
/// What an allocation costs beyond its length, at most: the allocator's header and rounding.
const MALLOC: usize = 16;

/// How much a [`MemoryStore`] holds at most.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Records, ended ones included until they are swept. One more is [`StoreError::Full`], unless a record of the
    /// same shard has ended and can go.
    pub most_records: usize,
    /// Spent refresh tokens of all families. A rotation that needs one more is [`StoreError::Full`], with the same
    /// exception: a spent token that were forgotten would be a theft that goes unnoticed (R064).
    pub most_spent_tokens: usize,
    /// Tickets of all purposes. One more is [`Deposit::Full`].
    pub most_tickets: usize,
}

impl Default for MemoryOptions {
    /// Two million records (about 600 MB), four million spent tokens (about 400 MB), 100 000 tickets.
    fn default() -> Self {
        Self { most_records: 2_000_000, most_spent_tokens: 4_000_000, most_tickets: 100_000 }
    }
}

/// Sessions in process memory: bounded, gone with the process, seen by nobody else.
///
/// Records lie packed in shards by slot, each behind a lock of its own, and are unpacked when they are asked for. A
/// session without a refresh side takes less than 300 bytes, indices included, as long as permissions, keys of data
/// and most device labels are shared with other sessions.
///
/// Work under one lock is bounded by what one subject or one family has.
pub struct MemoryStore {
    options: MemoryOptions,
    shards: [RwLock<Shard>; SHARDS],
    interned: RwLock<Interned>,
    tickets: Mutex<Tickets>,
    books: Arc<Books>,
    /// The shard that the next sweep starts with.
    sweep_from: AtomicUsize,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Self {
        let hasher = DefaultHashBuilder::default();
        let books = Arc::new(Books::default());
        Self {
            options,
            shards: std::array::from_fn(|_| RwLock::new(Shard::new(hasher.clone(), Arc::clone(&books)))),
            interned: RwLock::default(),
            tickets: Mutex::default(),
            books,
            sweep_from: AtomicUsize::new(0),
        }
    }

    /// How many bytes the store takes, as an estimate from above: the capacities of all tables and the lengths of all
    /// blocks, with 16 bytes of the allocator's own for each. Goes through all records, one shard at a time.
    #[must_use]
    pub fn footprint(&self) -> usize {
        size_of::<Self>()
            + self.shards.iter().map(|shard| shard.read().footprint()).sum::<usize>()
            + self.interned.read().footprint()
            + self.tickets.lock().footprint()
    }

    /// The place of a slot's shard.
    const fn place(slot: Slot) -> usize {
        slot.0 as usize % SHARDS
    }

    fn shard(&self, slot: Slot) -> Result<&RwLock<Shard>, StoreError> {
        self.shard_at(Self::place(slot))
    }

    fn shard_at(&self, place: usize) -> Result<&RwLock<Shard>, StoreError> {
        self.shards.get(place).ok_or(StoreError::Unavailable(None))
    }

    /// Locks one or two shards, always the one with the lower number first.
    fn lock_two(&self, one: usize, other: Option<usize>) -> Result<TwoShards<'_>, StoreError> {
        let Some(other) = other.filter(|other| *other != one) else {
            return Ok((self.shard_at(one)?.write(), None));
        };
        if one < other {
            let first = self.shard_at(one)?.write();
            Ok((first, Some(self.shard_at(other)?.write())))
        } else {
            let first = self.shard_at(other)?.write();
            Ok((self.shard_at(one)?.write(), Some(first)))
        }
    }

    fn find_now(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        let (Lookup::Token(TokenKey { slot, .. }) | Lookup::Id(slot, _) | Lookup::Refresh(TokenKey { slot, .. })) =
            lookup;
        let shard = self.shard(slot)?.read();
        let interned = self.interned.read();
        let at = match lookup {
            Lookup::Token(key) => shard.by_token(key),
            Lookup::Id(slot, id) => shard.by_id(slot, &id, &interned),
            Lookup::Refresh(key) => rotate::holder(&shard, key, &interned)?,
        };
        at.map(|at| shard.unpack(at, &interned).map(Arc::new)).transpose()
    }
}

/// The shard that was asked for first, and the other one.
type TwoShards<'a> = (RwLockWriteGuard<'a, Shard>, Option<RwLockWriteGuard<'a, Shard>>);

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("options", &self.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        self.insert_now(record, limit, replaces, now)
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        self.find_now(lookup)
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        self.update_now(record, expected)
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        self.rotate_now(rotation)
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        if !ticket.fits() {
            return Err(StoreError::Full);
        }
        let of_purpose = usize::try_from(most).unwrap_or(usize::MAX);
        let most = MostTickets { of_purpose, in_all: self.options.most_tickets };
        Ok(self.tickets.lock().deposit(ticket, most, now))
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        Ok(self.tickets.lock().take(purpose, key, now))
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        self.revoke_now(scope)
    }

    /// All records come in the order of their places in the store. A record that is there from the first page to the
    /// last is listed exactly once, whatever comes and goes meanwhile. A page may be shorter than asked for and still
    /// have a next one: no more than 65 536 places are looked at for it.
    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        self.list_now(listing)
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        self.touch_now(touches)
    }

    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.erase_pairs_now(before, most)
    }

    /// Locks a shard for a few dozen records at a time, and looks at no more than 65 536 places for records.
    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        self.sweep_now(before, most)
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        Ok(self.census_now(now))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
