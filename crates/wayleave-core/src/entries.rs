//! Small bounded maps inside a record: key-value data and context.

/// Most entries of one map.
pub const MAX_ENTRIES: usize = 64;
/// Longest key, in bytes.
pub const MAX_KEY: usize = 64;
/// Most bytes of all keys and values of one map.
pub const MAX_BYTES: usize = 16 * 1024;

/// A sorted map from short names to opaque bytes. Never larger than [`MAX_BYTES`].
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Entries(Vec<(Box<str>, Box<[u8]>)>);

impl Entries {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let at = self.position(key).ok()?;
        self.0.get(at).map(|(_, value)| value.as_ref())
    }

    /// Sets `key`, and gives back what it held before.
    ///
    /// # Errors
    /// [`TooLarge`] when the map would pass one of its limits; it is unchanged then.
    pub fn set(&mut self, key: &str, value: &[u8]) -> Result<Option<Box<[u8]>>, TooLarge> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(TooLarge);
        }
        let held = self.get(key).map_or(0, |old| key.len() + old.len());
        if self.bytes() - held + key.len() + value.len() > MAX_BYTES {
            return Err(TooLarge);
        }
        match self.position(key) {
            Ok(at) => Ok(self.0.get_mut(at).map(|(_, old)| std::mem::replace(old, value.into()))),
            Err(_) if self.0.len() >= MAX_ENTRIES => Err(TooLarge),
            Err(at) => {
                self.0.insert(at, (key.into(), value.into()));
                Ok(None)
            }
        }
    }

    /// Removes `key`, and gives back what it held.
    pub fn remove(&mut self, key: &str) -> Option<Box<[u8]>> {
        let at = self.position(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// Keys and values in alphabetical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes keys and values take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| held.as_ref().cmp(key))
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values belong to the application and may be personal; keys are enough to debug with.
        f.debug_set().entries(self.iter().map(|(key, _)| key)).finish()
    }
}

/// A key is empty or too long, or the map would hold too much.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most 64 entries, keys of 1 to 64 bytes, 16 KiB in all")]
pub struct TooLarge;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_within_its_limits() {
        let mut map = Entries::new();
        assert_eq!(map.set("", b"x"), Err(TooLarge));
        assert_eq!(map.set(&"k".repeat(65), b"x"), Err(TooLarge));
        assert_eq!(map.set("big", &vec![0; MAX_BYTES - 3]), Ok(None));
        assert_eq!(map.set("a", b""), Err(TooLarge));
        assert!(map.set("big", b"small").unwrap().is_some());
        for n in 0..63 {
            map.set(&format!("k{n}"), b"v").unwrap();
        }
        assert_eq!(map.set("one-more", b"v"), Err(TooLarge));
        assert_eq!(map.remove("big").as_deref(), Some(&b"small"[..]));
        assert_eq!(map.get("k7"), Some(&b"v"[..]));
        assert_eq!(map.get("big"), None);
    }
}
