//! A slab: values that keep their index for as long as they stay, in chunks so that growing moves nothing.

/// Slots of one chunk: small enough that a shard with few records wastes little.
const CHUNK: usize = 32;
/// An empty slab with more chunks than this gives its memory back.
const KEPT_CHUNKS: usize = 8;

/// Values by index.
pub(super) struct Slab<T> {
    chunks: Vec<Box<[Option<T>]>>,
    free: Vec<u32>,
    length: usize,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), length: 0 }
    }

    /// How many values there are.
    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// The end of the range of indices.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).unwrap_or(u32::MAX)
    }

    /// Adds a value and gives its index; `None` when 32 bits are not enough to number it.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        if self.free.is_empty() {
            let first = self.end();
            let last = first.checked_add(u32::try_from(CHUNK).ok()?)?;
            self.chunks.push((0..CHUNK).map(|_| None).collect());
            self.free.reserve(CHUNK);
            self.free.extend((first..last).rev());
        }
        let at = self.free.pop()?;
        *self.slot_mut(at)? = Some(value);
        self.length += 1;
        Some(at)
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        let at = usize::try_from(at).ok()?;
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.slot_mut(at)?.as_mut()
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.slot_mut(at)?.take()?;
        self.length -= 1;
        if self.length == 0 && self.chunks.len() > KEPT_CHUNKS {
            *self = Self::new();
        } else {
            self.free.push(at);
        }
        Some(value)
    }

    /// Values with their indices, in the order of these, from `from` on.
    pub(super) fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &T)> {
        (from..self.end()).filter_map(|at| Some((at, self.get(at)?)))
    }

    /// Bytes on the heap, without what the values hold.
    pub(super) fn footprint(&self) -> usize {
        self.chunks.capacity() * size_of::<Box<[Option<T>]>>()
            + self.chunks.len() * (CHUNK * size_of::<Option<T>>() + super::MALLOC)
            + self.free.capacity() * size_of::<u32>()
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Option<T>> {
        let at = usize::try_from(at).ok()?;
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_stay_and_are_used_again() {
        let mut slab = Slab::new();
        let indices: Vec<u32> = (0..100).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(indices, (0..100).collect::<Vec<_>>());
        assert_eq!(slab.remove(40), Some(40));
        assert_eq!(slab.remove(40), None);
        assert_eq!((slab.get(40), slab.get(41), slab.get(u32::MAX)), (None, Some(&41), None));
        assert_eq!(slab.iter_from(39).take(2).map(|(at, _)| at).collect::<Vec<_>>(), [39, 41]);
        assert_eq!(slab.insert(1000), Some(40));
        assert_eq!(slab.len(), 100);
    }

    #[test]
    fn an_empty_slab_gives_its_memory_back() {
        let mut slab = Slab::new();
        for n in 0..10_000 {
            slab.insert(n).unwrap();
        }
        for n in 0..10_000 {
            slab.remove(n).unwrap();
        }
        assert_eq!((slab.footprint(), slab.end()), (0, 0));
        assert_eq!(slab.insert(7), Some(0));
    }
}
