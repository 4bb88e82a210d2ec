//! What a blob of the vault is called, and what tells its versions apart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name, in bytes.
pub const MAX_BLOB_NAME: usize = 128;

/// 1 to [`MAX_BLOB_NAME`] letters, digits, dots, hyphens and underscores of ASCII; the first is no dot. So no name is
/// a path, needs an escape in a URL, or is written in two ways.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(Arc<str>);

impl BlobName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BlobName {
    type Err = InvalidBlobName;

    fn from_str(text: &str) -> Result<Self, InvalidBlobName> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let fits = (1..=MAX_BLOB_NAME).contains(&text.len());
        if fits && plain && !text.starts_with('.') { Ok(Self(text.into())) } else { Err(InvalidBlobName) }
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of a blob.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a blob's name is 1 to 128 letters, digits, dots, hyphens and underscores, and does not begin with a dot")]
pub struct InvalidBlobName;

/// A version: 128 random bits, so that it tells nothing of the content and two versions are never taken for one.
/// Written as 32 hex digits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub [u8; 16]);

impl FromStr for BlobId {
    type Err = InvalidBlobId;

    fn from_str(text: &str) -> Result<Self, InvalidBlobId> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 32 || !digits {
            return Err(InvalidBlobId);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| InvalidBlobId)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a version.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is 32 lower-case hex digits")]
pub struct InvalidBlobId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        let longest = "x".repeat(MAX_BLOB_NAME);
        for text in ["a", "A.b-c_9", "notes.2026", "-", "a.", "a..b", &longest] {
            assert_eq!(text.parse::<BlobName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "x".repeat(MAX_BLOB_NAME + 1);
        for text in ["", ".", "..", ".a", "../a", "a/b", "a\\b", "a b", "a%2e", "a\0", "a\n", "ä", "a;b", &long] {
            assert_eq!(text.parse::<BlobName>(), Err(InvalidBlobName), "{text:?}");
        }
    }

    #[test]
    fn versions_round_trip() {
        let id = BlobId(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(id.to_string().parse(), Ok(id));
        let upper = "0A".repeat(16);
        for text in ["", "00", "+00102030405060708090a0b0c0d0e0f", &upper, &"0".repeat(33)] {
            assert_eq!(text.parse::<BlobId>(), Err(InvalidBlobId), "{text:?}");
        }
    }
}
