//! Values that many records share, kept once: kinds, sets of permissions, device labels and lists of keys.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, Hash};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::id::IdPrefix;
use crate::permission::Permissions;
use crate::policy::KindName;

/// Most kinds, each with each prefix it had. They come from the configuration and stay until the store is dropped.
const MOST_KINDS: u16 = 4096;
/// Most values of one table. What does not fit is written into the record itself.
const MOST_SHARED: usize = 4096;

/// All that records share. The lock round it is only ever taken inside a shard's.
#[derive(Default)]
pub(super) struct Interned {
    pub(super) kinds: Kinds,
    pub(super) permissions: Shared<Permissions>,
    /// Device labels, and the keys of data and context in their packed form.
    pub(super) texts: Shared<Box<[u8]>>,
}

impl Interned {
    /// Bytes on the heap.
    pub(super) fn footprint(&self) -> usize {
        self.kinds.by_name.allocation_size()
            + self.kinds.kinds.capacity() * size_of::<(KindName, IdPrefix)>()
            + self.permissions.footprint()
            + self.texts.footprint()
            + self.permissions.values().map(|set| set.iter().map(|name| name.len() + 32).sum::<usize>()).sum::<usize>()
            + self.texts.values().map(|text| text.len() + super::MALLOC).sum::<usize>()
    }
}

#[cfg(test)]
impl Interned {
    /// How many shared values there are.
    pub(super) fn in_use(&self) -> usize {
        self.permissions.values().count() + self.texts.values().count()
    }
}

/// A kind, as a number.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct KindRef(u16);

/// Kinds with the prefix of their ids, by number.
#[derive(Default)]
pub(super) struct Kinds {
    kinds: Vec<(KindName, IdPrefix)>,
    by_name: HashMap<(KindName, IdPrefix), KindRef>,
}

impl Kinds {
    /// The number of a kind; `None` when there are too many.
    pub(super) fn intern(&mut self, kind: &KindName, prefix: IdPrefix) -> Option<KindRef> {
        let key = (kind.clone(), prefix);
        if let Some(known) = self.by_name.get(&key) {
            return Some(*known);
        }
        let next = u16::try_from(self.kinds.len()).ok().filter(|next| *next < MOST_KINDS).map(KindRef)?;
        self.kinds.push(key.clone());
        self.by_name.insert(key, next);
        Some(next)
    }

    pub(super) fn get(&self, kind: KindRef) -> Option<(&KindName, IdPrefix)> {
        self.kinds.get(usize::from(kind.0)).map(|(name, prefix)| (name, *prefix))
    }
}

/// Values of one type by number, each with how often it is in use.
pub(super) struct Shared<T> {
    values: Vec<Option<(T, usize)>>,
    free: Vec<u32>,
    by_value: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new(), by_value: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }
}

impl Shared<Box<[u8]>> {
    pub(super) fn intern_bytes(&mut self, value: &[u8]) -> Option<u32> {
        self.intern(value, |value| value.into())
    }
}

impl<T: Hash + Eq> Shared<T> {
    /// The number of `value`, used once more; `None` when the table is full.
    pub(super) fn intern<Q>(&mut self, value: &Q, own: impl FnOnce(&Q) -> T) -> Option<u32>
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Self { values, free, by_value, hasher } = self;
        let hash = hasher.hash_one(value);
        let known = by_value.find(hash, |at| slot(values, *at).is_some_and(|(held, _)| held.borrow() == value));
        if let Some(at) = known.copied() {
            let (_, uses) = slot_mut(values, at)?;
            *uses += 1;
            return Some(at);
        }
        let at = if let Some(at) = free.pop() {
            *values.get_mut(usize::try_from(at).ok()?)? = Some((own(value), 1));
            at
        } else if values.len() < MOST_SHARED {
            values.push(Some((own(value), 1)));
            u32::try_from(values.len() - 1).ok()?
        } else {
            return None;
        };
        by_value.insert_unique(hash, at, |at| slot(values, *at).map_or(0, |(held, _)| hasher.hash_one(held.borrow())));
        Some(at)
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        slot(&self.values, at).map(|(value, _)| value)
    }

    /// Gives back one use; the last one removes the value.
    pub(super) fn release(&mut self, at: u32) {
        let Some((_, uses)) = slot_mut(&mut self.values, at) else {
            return;
        };
        *uses -= 1;
        if *uses > 0 {
            return;
        }
        let entry = usize::try_from(at).ok().and_then(|at| self.values.get_mut(at)).and_then(Option::take);
        if let Some((value, _)) = entry {
            if let Ok(entry) = self.by_value.find_entry(self.hasher.hash_one(&value), |held| *held == at) {
                entry.remove();
            }
            self.free.push(at);
        }
    }

    fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten().map(|(value, _)| value)
    }

    fn footprint(&self) -> usize {
        self.values.capacity() * size_of::<Option<(T, usize)>>()
            + self.free.capacity() * size_of::<u32>()
            + self.by_value.allocation_size()
    }
}

fn slot<T>(values: &[Option<(T, usize)>], at: u32) -> Option<&(T, usize)> {
    values.get(usize::try_from(at).ok()?)?.as_ref()
}

fn slot_mut<T>(values: &mut [Option<(T, usize)>], at: u32) -> Option<&mut (T, usize)> {
    values.get_mut(usize::try_from(at).ok()?)?.as_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_once_and_as_long_as_it_is_used() {
        let mut texts = Shared::<Box<[u8]>>::default();
        let first = texts.intern_bytes(b"a").unwrap();
        assert_eq!(texts.intern_bytes(b"a"), Some(first));
        let second = texts.intern_bytes(b"b").unwrap();
        assert_ne!(first, second);
        texts.release(first);
        assert_eq!(texts.get(first).map(AsRef::as_ref), Some(&b"a"[..]));
        texts.release(first);
        assert_eq!(texts.get(first), None);
        assert_eq!(texts.intern_bytes(b"c"), Some(first));
        assert_eq!(texts.get(second).map(AsRef::as_ref), Some(&b"b"[..]));
    }

    /// The tables are bounded.
    #[test]
    fn a_full_table_takes_no_more() {
        let mut texts = Shared::<Box<[u8]>>::default();
        for n in 0..MOST_SHARED {
            assert!(texts.intern_bytes(n.to_string().as_bytes()).is_some());
        }
        assert_eq!(texts.intern_bytes(b"one more"), None);
        assert!(texts.intern_bytes(b"7").is_some());
        let mut kinds = Kinds::default();
        for n in 0..MOST_KINDS {
            assert!(kinds.intern(&format!("k{n}").parse().unwrap(), IdPrefix::FALLBACK).is_some());
        }
        assert_eq!(kinds.intern(&"other".parse().unwrap(), IdPrefix::FALLBACK), None);
        assert_eq!(kinds.intern(&"k7".parse().unwrap(), IdPrefix::FALLBACK), Some(KindRef(7)));
    }
}
