//! Public identifiers: of sessions, of refresh families, and the partition (slot) that a subject's records share.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::routing::RoutingKey;

/// The partition that holds every record of one subject, so that a store can keep them together (a memory shard, a
/// Redis hash slot) and change them in one step.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// The readable beginning of a session id (`sess`, `web`, ...): 1 to 7 lower-case letters, chosen by the kind.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdPrefix {
    letters: [u8; 7],
    length: u8,
}

impl IdPrefix {
    /// `sess`, for kinds that name none.
    pub const FALLBACK: Self = Self { letters: *b"sess\0\0\0", length: 4 };

    /// Checks and keeps `text`.
    ///
    /// # Errors
    /// [`InvalidId`] unless `text` is 1 to 7 lower-case ASCII letters.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 7 || !bytes.iter().all(u8::is_ascii_lowercase) {
            return Err(InvalidId);
        }
        let mut letters = [0; 7];
        for (to, from) in letters.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(Self { letters, length: u8::try_from(bytes.len()).map_err(|_| InvalidId)? })
    }

    /// The letters, without the underscore that follows them in an id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let letters = self.letters.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(letters).unwrap_or_default()
    }
}

impl fmt::Debug for IdPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A session's public handle: `<prefix>_` + base64url of 128 random bits and the masked slot (24 characters).
///
/// It names a session in listings and revocations and opens nothing by itself (R022). The two routing bytes are
/// masked with a key of the deployment, so two ids of one person share no more than the prefix (R004).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId {
    prefix: IdPrefix,
    random: [u8; 16],
    routing: [u8; 2],
}

impl SessionId {
    /// A new id from 16 bytes of entropy, routed to `slot`.
    #[must_use]
    pub fn new(prefix: IdPrefix, random: [u8; 16], slot: Slot, routing: &RoutingKey) -> Self {
        Self { prefix, random, routing: routing.mask(slot, &random) }
    }

    /// The slot that this id leads to under the deployment's key. A forged id leads to an arbitrary one.
    #[must_use]
    pub fn slot(&self, routing: &RoutingKey) -> Slot {
        routing.unmask(self.routing, &self.random)
    }

    /// The prefix that the kind gave it.
    #[must_use]
    pub const fn prefix(&self) -> IdPrefix {
        self.prefix
    }

    /// The random part and the routing bytes: what makes the id unique, in 18 bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; 18] {
        let mut bytes = [0; 18];
        let (random, routing) = bytes.split_at_mut(16);
        random.copy_from_slice(&self.random);
        routing.copy_from_slice(&self.routing);
        bytes
    }

    /// Puts an id together again from a store's columns.
    #[must_use]
    pub fn from_bytes(prefix: IdPrefix, bytes: &[u8; 18]) -> Self {
        let mut random = [0; 16];
        let mut routing = [0; 2];
        let (left, right) = bytes.split_at(16);
        random.copy_from_slice(left);
        routing.copy_from_slice(right);
        Self { prefix, random, routing }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut encoded = [0; 24];
        let length = URL_SAFE_NO_PAD.encode_slice(self.bytes(), &mut encoded).map_err(|_| fmt::Error)?;
        let text = encoded.get(..length).and_then(|text| std::str::from_utf8(text).ok()).ok_or(fmt::Error)?;
        for part in [self.prefix.as_str(), "_", text] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() > 32 {
            return Err(InvalidId);
        }
        let (prefix, rest) = text.split_once('_').ok_or(InvalidId)?;
        if rest.len() != 24 {
            return Err(InvalidId);
        }
        let mut bytes = [0; 18];
        let length = URL_SAFE_NO_PAD.decode_slice(rest, &mut bytes).map_err(|_| InvalidId)?;
        if length != bytes.len() {
            return Err(InvalidId);
        }
        Ok(Self::from_bytes(IdPrefix::new(prefix)?, &bytes))
    }
}

/// The lineage of a session: kept through refresh and re-authentication, so that a token of any earlier generation
/// that is presented again ends whatever the lineage has become.
///
/// When a session is replaced by another one of its lineage, the refresh token that it had not used yet becomes
/// unknown, as if it had never been: presenting it opens nothing and ends nothing. The ones that it had spent go on to
/// end the lineage, until the last session of that is gone.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyId(pub [u8; 16]);

impl fmt::Debug for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fam_{}", URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// The text is not an identifier of this product.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RoutingKey {
        RoutingKey::new([7; 16])
    }

    #[test]
    fn id_round_trips_and_leads_to_its_slot() {
        let prefix = IdPrefix::new("sess").unwrap();
        let id = SessionId::new(prefix, [9; 16], Slot(513), &key());
        let text = id.to_string();
        assert_eq!(text.len(), 5 + 24);
        let back: SessionId = text.parse().unwrap();
        assert_eq!(back, id);
        assert_eq!(back.slot(&key()), Slot(513));
        assert_ne!(back.slot(&RoutingKey::new([8; 16])), Slot(513));
    }

    #[test]
    fn hostile_ids_are_refused() {
        for text in [
            "",
            "sess",
            "sess_",
            "_AAAAAAAAAAAAAAAAAAAAAAAA",
            "SESS_AAAAAAAAAAAAAAAAAAAAAAAA",
            "toolongs_AAAAAAAAAAAAAAAAAAAAAAAA",
            "sess_AAAAAAAAAAAAAAAAAAAAAAA",
            "sess_AAAAAAAAAAAAAAAAAAAAAAAAA",
            "sess_AAAAAAAAAAAAAAAAAAAAAA==",
            "sess_AAAAAAAAAAAA+AAAAAAAAAAA",
            "sess_AAAAAAAAAAAAAAAAAAAAAAA\n",
            "sess_ÄAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(InvalidId), "{text:?}");
        }
    }
}
