//! One shard: records in a slab, the indices that lead to them, and nothing that locks.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

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

/// Most ended records that make room for a new one at once.
const DROPPED_AT_ONCE: u32 = 1024;

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

/// All records of some slots.
///
/// Refresh tokens are indexed only for sessions that have them. So are families: a session without refresh joins that
/// index only when its family has spent tokens, and is otherwise found by going through the slab.
pub(super) struct Shard {
    records: Slab<Packed>,
    by_token: HashTable<u32>,
    by_id: HashTable<u32>,
    by_subject: HashTable<u32>,
    by_refresh: HashTable<u32>,
    by_family: HashTable<u32>,
    lineages: Lineages,
    hasher: DefaultHashBuilder,
    books: Arc<Books>,
    round: Round,
}

/// Where a sweep through the slab stands.
struct Round {
    /// No record of the shard ends before this.
    earliest: Timestamp,
    /// Where the round goes on.
    position: u32,
    /// No record that this round passed, or that came in since it began, ends before this.
    passed: Timestamp,
}

/// What a presented refresh token is to the shard.
pub(super) enum Presented {
    /// The current one of this record.
    Current(u32),
    /// A spent one of this family.
    Spent(Family),
}

/// What one stride of a sweep did.
pub(super) struct Stride {
    pub(super) removed: u32,
    pub(super) looked_at: u32,
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
            lineages: Lineages::new(hasher.clone()),
            hasher,
            books,
            round: Round { earliest: Timestamp::MAX, position: 0, passed: Timestamp::MAX },
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

    /// The indexed records of a family: all that its refresh tokens may lead to.
    pub(super) fn rotating(&self, family: Family) -> impl Iterator<Item = u32> + '_ {
        let hash = self.hasher.hash_one(family.id);
        self.by_family.iter_hash(hash).copied().filter(move |at| self.is_of(*at, family))
    }

    /// Every record of a family, by going through the shard.
    pub(super) fn of_family(&self, family: Family) -> Vec<u32> {
        self.records.iter_from(0).map(|(at, _)| at).filter(|at| self.is_of(*at, family)).collect()
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
        let (slot, ends_at) = (packed.slot(), packed.ends_at());
        let family = packed.family().map(|id| Family { slot, id });
        let rotates = packed.current_refresh().is_some();
        let has_subject = packed.subject().is_some();
        let at = self.records.insert(packed)?;
        let Self { records, by_token, by_id, by_subject, by_family, hasher, lineages, .. } = self;
        put(by_token, records, at, |held| hasher.hash_one(held.token()));
        put(by_id, records, at, |held| hasher.hash_one(held.id()));
        if has_subject {
            put(by_subject, records, at, |held| hasher.hash_one(held.subject().unwrap_or_default()));
        }
        if rotates || family.is_some_and(|family| lineages.knows(family)) {
            put(by_family, records, at, |held| held.family().map_or(0, |family| hasher.hash_one(family)));
        }
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
        let Some(packed) = self.records.get(at) else {
            return;
        };
        cut(&mut self.by_id, self.hasher.hash_one(packed.id()), at);
        if let Some(subject) = packed.subject() {
            cut(&mut self.by_subject, self.hasher.hash_one(subject), at);
        }
        let family = packed.family().filter(|_| !self.by_family.is_empty()).map(|id| Family { slot, id });
        if let Some(family) = family {
            cut(&mut self.by_family, self.hasher.hash_one(family.id), at);
            if self.lineages.knows(family) && self.rotating(family).next().is_none() {
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

    /// Remembers that some record now ends at `time`.
    pub(super) fn ends(&mut self, time: Timestamp) {
        self.round.earliest = self.round.earliest.min(time);
        self.round.passed = self.round.passed.min(time);
    }

    /// Whether something here may have ended before `before`.
    pub(super) fn may_hold_ended(&self, before: Timestamp) -> bool {
        self.round.earliest < before
    }

    /// Goes on with the round through the shard: looks at no more than `look_at` slots and removes no more than
    /// `most` records that ended before `before`.
    pub(super) fn sweep(&mut self, before: Timestamp, most: u32, look_at: u32, interned: &mut Interned) -> Stride {
        let from = self.round.position;
        if from == 0 {
            self.round.passed = Timestamp::MAX;
        }
        let last = from.saturating_add(look_at).min(self.records.end());
        let mut removed = 0;
        let mut at = from;
        while at < last && removed < most {
            match self.records.get(at).map(Packed::ends_at) {
                Some(ends_at) if ends_at < before => {
                    self.remove(at, interned);
                    removed += 1;
                }
                Some(ends_at) => self.round.passed = self.round.passed.min(ends_at),
                None => {}
            }
            at += 1;
        }
        if at >= self.records.end() {
            self.round = Round { earliest: self.round.passed, position: 0, passed: Timestamp::MAX };
        } else {
            self.round.position = at;
        }
        Stride { removed, looked_at: at.saturating_sub(from) }
    }

    /// Removes some of what ended by `now`, wherever it is. Says whether there was anything.
    pub(super) fn drop_ended(&mut self, now: Timestamp, interned: &mut Interned) -> bool {
        let before = now.plus(Duration::from_millis(1));
        // The first round may have begun behind what there is to find.
        (0..2)
            .any(|_| self.may_hold_ended(before) && self.sweep(before, DROPPED_AT_ONCE, u32::MAX, interned).removed > 0)
    }

    /// Bytes on the heap.
    pub(super) fn footprint(&self) -> usize {
        let tables = [&self.by_token, &self.by_id, &self.by_subject, &self.by_refresh, &self.by_family];
        self.records.footprint()
            + self.records.iter_from(0).map(|(_, held)| held.footprint()).sum::<usize>()
            + tables.into_iter().map(HashTable::allocation_size).sum::<usize>()
            + self.lineages.footprint()
    }

    /// How many records, entries of each index, and spent tokens there are.
    #[cfg(test)]
    pub(super) fn entries(&self) -> [usize; 7] {
        [
            self.records.len(),
            self.by_token.len(),
            self.by_id.len(),
            self.by_subject.len(),
            self.by_refresh.len(),
            self.by_family.len(),
            self.lineages.len(),
        ]
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
