//! One shard: records in a slab, the indices that lead to them, and nothing that locks.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::intern::Interned;
use super::lineage::{Family, Lineages};
use super::packed::Packed;
use super::slab::Slab;
use crate::id::{SessionId, Slot};
use crate::ports::{Gone, StoreError};
use crate::record::Record;
use crate::subject::Subject;
use crate::time::Timestamp;
use crate::token::{TokenHash, TokenKey};

mod upkeep;

use upkeep::Round;

/// What all shards together hold. Counted up before a shard takes something in, and down when it let go of it.
#[derive(Default)]
pub(super) struct Books {
    pub(super) records: AtomicUsize,
    pub(super) spent_tokens: AtomicUsize,
}

impl Books {
    /// Counts one more, unless there are `most` already.
    pub(super) fn reserve(counter: &AtomicUsize, most: usize) -> bool {
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| (held < most).then_some(held + 1)).is_ok()
    }
}

/// What an entry of a B-tree takes, whose nodes are half empty at worst.
const SEALED_ENTRY: usize = 2 * size_of::<(Timestamp, u32)>();

/// All records of some slots. Refresh tokens are indexed only for sessions that have them.
pub(super) struct Shard {
    records: Slab<Packed>,
    by_token: HashTable<u32>,
    by_id: HashTable<u32>,
    by_subject: HashTable<u32>,
    by_refresh: HashTable<u32>,
    by_family: HashTable<u32>,
    /// Records that keep a sealed pair, by when it was sealed.
    sealed: BTreeSet<(Timestamp, u32)>,
    lineages: Lineages,
    hasher: DefaultHashBuilder,
    books: Arc<Books>,
    round: Round,
}

/// What a presented refresh token is to the shard.
pub(super) enum Presented {
    /// The current one of this record.
    Current(u32),
    /// A spent one of this family.
    Spent(Family),
}

impl Shard {
    pub(super) fn new(hasher: DefaultHashBuilder, books: Arc<Books>) -> Self {
        Self {
            records: Slab::new(),
            by_token: HashTable::new(),
            by_id: HashTable::new(),
            by_subject: HashTable::new(),
            by_refresh: HashTable::new(),
            by_family: HashTable::new(),
            sealed: BTreeSet::new(),
            lineages: Lineages::new(hasher.clone()),
            hasher,
            books,
            round: Round::default(),
        }
    }

    /// The end of the range of places.
    pub(super) fn places(&self) -> u32 {
        self.records.end()
    }

    pub(super) fn get(&self, at: u32) -> Option<&Packed> {
        self.records.get(at)
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut Packed> {
        self.records.get_mut(at)
    }

    pub(super) fn unpack(&self, at: u32, interned: &Interned) -> Result<Record, StoreError> {
        self.records.get(at).ok_or(StoreError::Corrupt(None))?.unpack(interned)
    }

    /// Records with their indices, in the order of these, from `from` on.
    pub(super) fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &Packed)> {
        self.records.iter_from(from)
    }

    pub(super) fn by_token(&self, key: TokenKey) -> Option<u32> {
        let at = self.token_holder(&key.hash)?;
        self.records.get(at).is_some_and(|held| held.slot() == key.slot).then_some(at)
    }

    pub(super) fn by_id(&self, slot: Slot, id: &SessionId, interned: &Interned) -> Option<u32> {
        let at = self.id_holder(id)?;
        let held = self.records.get(at)?;
        // The index knows ids by what makes them unique; a made-up prefix in front of that names no session.
        let same = held.slot() == slot && interned.kinds.get(held.kind())?.1 == id.prefix();
        same.then_some(at)
    }

    /// The slot of the record with this id, if it is in this shard.
    pub(super) fn slot_of(&self, id: &SessionId) -> Option<Slot> {
        self.records.get(self.id_holder(id)?).map(Packed::slot)
    }

    pub(super) fn by_refresh(&self, key: TokenKey) -> Option<Presented> {
        let current = self.refresh_holder(&key.hash);
        match current.filter(|at| self.records.get(*at).is_some_and(|held| held.slot() == key.slot)) {
            Some(at) => Some(Presented::Current(at)),
            None => self.lineages.find(key).map(Presented::Spent),
        }
    }

    /// Everything of a subject.
    pub(super) fn of_subject<'a>(&'a self, slot: Slot, subject: &'a Subject) -> impl Iterator<Item = u32> + 'a {
        self.by_subject.iter_hash(self.hasher.hash_one(subject.as_str())).copied().filter(move |at| {
            let held = self.records.get(*at);
            held.is_some_and(|held| held.slot() == slot && held.subject() == Some(subject.as_str()))
        })
    }

    /// Everything of a family.
    pub(super) fn of_family(&self, family: Family) -> impl Iterator<Item = u32> + '_ {
        let hash = self.hasher.hash_one(family.id);
        self.by_family.iter_hash(hash).copied().filter(move |at| self.is_of(*at, family))
    }

    /// Whether a record's id, session token or refresh token is taken.
    pub(super) fn collides(&self, record: &Record) -> bool {
        self.id_holder(&record.id).is_some()
            || self.token_holder(&record.token).is_some()
            || record.refresh.as_ref().is_some_and(|refresh| self.knows_refresh(record.slot, &refresh.current))
    }

    /// Whether a pair of hashes that a rotation brings is taken.
    pub(super) fn pair_collides(&self, slot: Slot, token: &TokenHash, refresh: &TokenHash) -> bool {
        self.token_holder(token).is_some() || self.knows_refresh(slot, refresh)
    }

    /// Takes in a record that was counted in the books; `None` when no more can be numbered.
    pub(super) fn add(&mut self, packed: Packed) -> Option<u32> {
        let ends_at = packed.ends_at();
        let (rotates, sealed_at) = (packed.current_refresh().is_some(), packed.sealed_at());
        let has_subject = packed.subject().is_some();
        let at = self.records.insert(packed)?;
        self.sealed.extend(sealed_at.map(|sealed_at| (sealed_at, at)));
        let Self { records, by_token, by_id, by_subject, by_family, hasher, .. } = self;
        put(by_token, records, at, |held| hasher.hash_one(held.token()));
        put(by_id, records, at, |held| hasher.hash_one(held.id()));
        if has_subject {
            put(by_subject, records, at, |held| hasher.hash_one(held.subject().unwrap_or_default()));
        }
        put(by_family, records, at, |held| held.family().map_or(0, |family| hasher.hash_one(family)));
        if rotates {
            self.index_refresh(at);
        }
        self.ends(ends_at);
        Some(at)
    }

    /// Puts another form of the same record in the place of one. Its session and refresh tokens are the same.
    pub(super) fn replace(&mut self, at: u32, packed: Packed, interned: &mut Interned) {
        self.ends(packed.ends_at());
        if let Some(held) = self.records.get_mut(at) {
            std::mem::replace(held, packed).release(interned);
        }
    }

    /// Puts the next form of a record in the place of one, with other tokens, and remembers the refresh token that it
    /// had as spent. Room for that was counted in the books, if the family grows by it.
    pub(super) fn rotate(&mut self, at: u32, packed: Packed, spent: TokenHash, interned: &mut Interned) {
        let family = packed.family().map(|id| Family { slot: packed.slot(), id });
        self.unindex_tokens(at);
        self.unseal(at);
        self.sealed.extend(packed.sealed_at().map(|sealed_at| (sealed_at, at)));
        self.replace(at, packed, interned);
        let Self { records, by_token, hasher, .. } = self;
        put(by_token, records, at, |held| hasher.hash_one(held.token()));
        self.index_refresh(at);
        if let Some(family) = family {
            self.lineages.remember(family, spent);
        }
    }

    /// Whether the next spent token of a family needs to be counted in the books.
    pub(super) fn spending_grows(&self, family: Family) -> bool {
        self.lineages.grows(family)
    }

    /// Removes a record, and the spent tokens of its family with the last that they could lead to.
    pub(super) fn remove(&mut self, at: u32, interned: &mut Interned) {
        let Some(slot) = self.records.get(at).map(Packed::slot) else {
            return;
        };
        self.unindex_tokens(at);
        self.unseal(at);
        let Some(packed) = self.records.get(at) else {
            return;
        };
        cut(&mut self.by_id, self.hasher.hash_one(packed.id()), at);
        if let Some(subject) = packed.subject() {
            cut(&mut self.by_subject, self.hasher.hash_one(subject), at);
        }
        let family = packed.family().map(|id| Family { slot, id });
        if let Some(family) = family {
            cut(&mut self.by_family, self.hasher.hash_one(family.id), at);
            if self.lineages.knows(family) && self.of_family(family).next().is_none() {
                let forgotten = self.lineages.forget(family);
                self.books.spent_tokens.fetch_sub(forgotten, Ordering::Relaxed);
            }
        }
        if let Some(packed) = self.records.remove(at) {
            packed.release(interned);
            self.books.records.fetch_sub(1, Ordering::Relaxed);
        }
        if self.records.len() == 0 {
            self.give_back();
        }
    }

    /// Removes a record and says what is left to say of it.
    pub(super) fn end(&mut self, at: u32, interned: &mut Interned) -> Option<Gone> {
        let gone = self.unpack(at, interned).ok().map(|record| Gone::from_record(&record));
        self.remove(at, interned);
        gone
    }

    /// Bytes on the heap.
    pub(super) fn footprint(&self) -> usize {
        let tables = [&self.by_token, &self.by_id, &self.by_subject, &self.by_refresh, &self.by_family];
        self.records.footprint()
            + self.records.iter_from(0).map(|(_, held)| held.footprint()).sum::<usize>()
            + tables.into_iter().map(HashTable::allocation_size).sum::<usize>()
            + self.sealed.len() * SEALED_ENTRY
            + self.lineages.footprint()
    }

    /// How many records, entries of each index, sealed pairs and spent tokens there are.
    #[cfg(test)]
    pub(super) fn entries(&self) -> [usize; 8] {
        [
            self.records.len(),
            self.by_token.len(),
            self.by_id.len(),
            self.by_subject.len(),
            self.by_refresh.len(),
            self.by_family.len(),
            self.sealed.len(),
            self.lineages.len(),
        ]
    }

    fn unseal(&mut self, at: u32) {
        if let Some(sealed_at) = self.records.get(at).and_then(Packed::sealed_at) {
            self.sealed.remove(&(sealed_at, at));
        }
    }

    fn is_of(&self, at: u32, family: Family) -> bool {
        // The slot lies in the slab, the family in the block beside it: most records are told apart by the first.
        self.records.get(at).is_some_and(|held| held.slot() == family.slot && held.family() == Some(family.id))
    }

    fn token_holder(&self, token: &TokenHash) -> Option<u32> {
        let is = |at: &u32| self.records.get(*at).is_some_and(|held| held.token() == token);
        self.by_token.find(self.hasher.hash_one(token), is).copied()
    }

    fn id_holder(&self, id: &SessionId) -> Option<u32> {
        let bytes = id.bytes();
        let is = |at: &u32| self.records.get(*at).is_some_and(|held| *held.id() == bytes);
        self.by_id.find(self.hasher.hash_one(bytes), is).copied()
    }

    fn refresh_holder(&self, token: &TokenHash) -> Option<u32> {
        let is = |at: &u32| self.records.get(*at).and_then(Packed::current_refresh) == Some(*token);
        self.by_refresh.find(self.hasher.hash_one(token), is).copied()
    }

    fn knows_refresh(&self, slot: Slot, token: &TokenHash) -> bool {
        self.refresh_holder(token).is_some() || self.lineages.find(TokenKey { slot, hash: *token }).is_some()
    }

    fn index_refresh(&mut self, at: u32) {
        let Self { records, by_refresh, hasher, .. } = self;
        put(by_refresh, records, at, |held| held.current_refresh().map_or(0, |token| hasher.hash_one(token)));
    }

    fn unindex_tokens(&mut self, at: u32) {
        let Some(packed) = self.records.get(at) else {
            return;
        };
        cut(&mut self.by_token, self.hasher.hash_one(packed.token()), at);
        if let Some(refresh) = packed.current_refresh() {
            cut(&mut self.by_refresh, self.hasher.hash_one(refresh), at);
        }
    }

    /// An empty shard keeps no large tables.
    fn give_back(&mut self) {
        for table in
            [&mut self.by_token, &mut self.by_id, &mut self.by_subject, &mut self.by_refresh, &mut self.by_family]
        {
            if table.capacity() > 1024 {
                *table = HashTable::new();
            }
        }
    }
}

fn put(table: &mut HashTable<u32>, records: &Slab<Packed>, at: u32, hash: impl Fn(&Packed) -> u64) {
    let hash_of = |at: &u32| records.get(*at).map_or(0, &hash);
    table.insert_unique(hash_of(&at), at, hash_of);
}

fn cut(table: &mut HashTable<u32>, hash: u64, at: u32) {
    if let Ok(entry) = table.find_entry(hash, |held| *held == at) {
        entry.remove();
    }
}
