//! A key that only its owner can open, kept beside the credential whose secret opens it.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// A key of the client's, wrapped by the client: opaque bytes, never looked into.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(Box<[u8]>);

impl WrappedKey {
    /// Most bytes of one.
    pub const MAX: usize = 1024;

    /// Takes 1 to [`Self::MAX`] bytes.
    ///
    /// # Errors
    /// [`InvalidWrappedKey`] for more or none.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, InvalidWrappedKey> {
        let bytes = bytes.into();
        if (1..=Self::MAX).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidWrappedKey) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What tells it from others.
    #[must_use]
    pub fn tag(&self) -> KeyTag {
        let hash = Sha256::new_with_prefix("wrapped key").chain_update(&self.0).finalize();
        KeyTag(std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default()))
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WrappedKey").field(&self.tag()).finish()
    }
}

/// What tells a wrapped key from others: half of a hash of it. Written as 32 hex digits.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct KeyTag(pub [u8; 16]);

impl fmt::Display for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyTag {
    type Err = InvalidKeyTag;

    fn from_str(text: &str) -> Result<Self, InvalidKeyTag> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| digits && text.len() == 32);
        number.map(|number| Self(number.to_be_bytes())).ok_or(InvalidKeyTag)
    }
}

/// A wrapped key that takes the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// What takes its place.
    pub key: WrappedKey,
    /// The one that is there; `None` for where there is none.
    pub replaces: Option<KeyTag>,
}

/// What became of a wrapped key.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wrap {
    /// It is kept.
    Done,
    /// Another one was there than was said, or none, or one.
    Moved,
    /// There is no credential for it to be kept beside.
    NoCredential,
}

/// The bytes are none, or too many.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a wrapped key is 1 to 1024 bytes long")]
pub struct InvalidWrappedKey;

/// The text is not a tag.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag is 32 lower-case hex digits")]
pub struct InvalidKeyTag;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_told_apart() {
        for length in [0, 1025] {
            assert_eq!(WrappedKey::new(vec![7; length]), Err(InvalidWrappedKey));
        }
        let (one, longest) = (WrappedKey::new([7]).unwrap(), WrappedKey::new(vec![7; 1024]).unwrap());
        assert_ne!(one.tag(), longest.tag());
        assert_eq!(one.tag(), WrappedKey::new([7]).unwrap().tag());
        assert_eq!(one.tag().to_string().parse(), Ok(one.tag()));
        assert_eq!(format!("{one:?}"), format!("WrappedKey({})", one.tag()));
    }

    #[test]
    fn tags_are_written_in_one_way() {
        let tag = KeyTag(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(tag.to_string(), "000102030405060708090a0b0c0d0e0f");
        for text in ["", "00", "+00102030405060708090a0b0c0d0e0f", &"0A".repeat(16), &"0".repeat(33)] {
            assert_eq!(text.parse::<KeyTag>(), Err(InvalidKeyTag), "{text:?}");
        }
    }
}
