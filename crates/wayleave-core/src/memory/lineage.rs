//! Spent refresh tokens by family, so that presenting any of them again is noticed.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::slab::Slab;
use crate::id::{FamilyId, Slot};
use crate::ports::Rotation;
use crate::token::{TokenHash, TokenKey};

/// The spent tokens of one shard, at most [`Rotation::SPENT_KEPT`] of a family.
pub(super) struct Lineages {
    tokens: Slab<Spent>,
    by_hash: HashTable<u32>,
    families: HashMap<Family, Line>,
    hasher: DefaultHashBuilder,
}

/// A family, in the slot where its records are.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(super) struct Family {
    pub(super) slot: Slot,
    pub(super) id: FamilyId,
}

struct Spent {
    hash: TokenHash,
    family: Family,
    next: Option<u32>,
}

/// The ends of a family's chain of spent tokens, and its length.
struct Line {
    oldest: u32,
    newest: u32,
    length: usize,
}

impl Lineages {
    pub(super) fn new(hasher: DefaultHashBuilder) -> Self {
        Self { tokens: Slab::new(), by_hash: HashTable::new(), families: HashMap::new(), hasher }
    }

    /// The family that a spent token is of.
    pub(super) fn find(&self, key: TokenKey) -> Option<Family> {
        let spent = |at: &u32| self.tokens.get(*at).filter(|spent| spent.hash == key.hash);
        let at = self.by_hash.find(self.hasher.hash_one(key.hash), |at| spent(at).is_some())?;
        spent(at).map(|spent| spent.family).filter(|family| family.slot == key.slot)
    }

    /// Whether anything of this family is remembered.
    pub(super) fn knows(&self, family: Family) -> bool {
        self.families.contains_key(&family)
    }

    /// Whether one more token of this family needs room that it does not have yet.
    pub(super) fn grows(&self, family: Family) -> bool {
        self.families.get(&family).is_none_or(|line| line.length < Rotation::SPENT_KEPT)
    }

    /// Remembers a token, and forgets the family's oldest when it has too many.
    pub(super) fn remember(&mut self, family: Family, hash: TokenHash) {
        if !self.grows(family) {
            self.forget_oldest(family);
        }
        let Some(at) = self.tokens.insert(Spent { hash, family, next: None }) else {
            return;
        };
        let Self { tokens, by_hash, families, hasher } = self;
        by_hash.insert_unique(hasher.hash_one(hash), at, |at| {
            tokens.get(*at).map_or(0, |spent| hasher.hash_one(spent.hash))
        });
        let line = families.entry(family).or_insert(Line { oldest: at, newest: at, length: 0 });
        line.length += 1;
        let before = std::mem::replace(&mut line.newest, at);
        if before != at
            && let Some(spent) = tokens.get_mut(before)
        {
            spent.next = Some(at);
        }
    }

    /// Forgets a family, and says how many tokens it had.
    pub(super) fn forget(&mut self, family: Family) -> usize {
        let Some(line) = self.families.remove(&family) else {
            return 0;
        };
        let mut next = Some(line.oldest);
        while let Some(at) = next {
            next = self.drop_token(at);
        }
        if self.families.is_empty() {
            self.families = HashMap::new();
            self.by_hash = HashTable::new();
        }
        line.length
    }

    /// How many tokens are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Bytes on the heap.
    pub(super) fn footprint(&self) -> usize {
        self.tokens.footprint() + self.by_hash.allocation_size() + self.families.allocation_size()
    }

    fn forget_oldest(&mut self, family: Family) {
        let Some(oldest) = self.families.get(&family).map(|line| line.oldest) else {
            return;
        };
        let next = self.drop_token(oldest);
        if let Some(line) = self.families.get_mut(&family) {
            line.length -= 1;
            line.oldest = next.unwrap_or(line.newest);
        }
    }

    fn drop_token(&mut self, at: u32) -> Option<u32> {
        let spent = self.tokens.remove(at)?;
        if let Ok(entry) = self.by_hash.find_entry(self.hasher.hash_one(spent.hash), |held| *held == at) {
            entry.remove();
        }
        spent.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: usize) -> TokenHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        TokenHash(bytes)
    }

    /// R064: a family's spent tokens are remembered up to the limit, oldest forgotten first.
    #[test]
    fn the_oldest_of_a_family_is_forgotten_first() {
        let mut lineages = Lineages::new(DefaultHashBuilder::default());
        let ours = Family { slot: Slot(1), id: FamilyId([1; 16]) };
        let other = Family { slot: Slot(1), id: FamilyId([2; 16]) };
        lineages.remember(other, hash(usize::MAX));
        for n in 0..Rotation::SPENT_KEPT {
            assert!(lineages.grows(ours));
            lineages.remember(ours, hash(n));
        }
        assert!(!lineages.grows(ours));
        lineages.remember(ours, hash(Rotation::SPENT_KEPT));
        let find = |lineages: &Lineages, n| lineages.find(TokenKey { slot: Slot(1), hash: hash(n) });
        assert!(find(&lineages, 0).is_none());
        for n in 1..=Rotation::SPENT_KEPT {
            assert!(find(&lineages, n) == Some(ours), "{n}");
        }
        assert!(lineages.find(TokenKey { slot: Slot(2), hash: hash(5) }).is_none());
        assert_eq!(lineages.forget(ours), Rotation::SPENT_KEPT);
        assert!(find(&lineages, 5).is_none());
        assert!(!lineages.knows(ours));
        assert!(find(&lineages, usize::MAX) == Some(other));
    }
}
