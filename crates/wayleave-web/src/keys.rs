//! The deployment's secret keys: 64 bytes each, written as 128 hex characters.

use std::fmt;

use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use wayleave_core::ports::{Entropy, EntropyFailure};
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::{DuplicateKey, KeyId, KeyRing, SealingKey};
use zeroize::Zeroizing;

use crate::csrf::CsrfKey;

#[cfg(test)]
mod tests;

/// Bytes of a key.
pub const KEY_BYTES: usize = 64;
/// Most keys of one ring.
pub const MAX_KEYS: usize = 16;

/// One secret key. Wiped when dropped, never shown.
///
/// Make one with `openssl rand -hex 64`.
pub struct SessionKey(Zeroizing<[u8; KEY_BYTES]>);

impl SessionKey {
    /// Reads 128 hex characters, in either case.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else, and for keys that nobody drew: one byte over and over.
    pub fn from_hex(text: &str) -> Result<Self, InvalidKey> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidKey::Missing);
        }
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidKey::NotHex);
        }
        if text.len() != KEY_BYTES * 2 {
            return Err(InvalidKey::Length { characters: text.len() });
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        for (to, [high, low]) in key.iter_mut().zip(pairs) {
            *to = digit(*high) << 4 | digit(*low);
        }
        Self::from_bytes(key)
    }

    /// A new random key. What was sealed under it is lost with it.
    ///
    /// # Errors
    /// [`EntropyFailure`] when there is no randomness.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(&mut *key)?;
        Self::from_bytes(key).map_err(|_| EntropyFailure)
    }

    fn from_bytes(key: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, InvalidKey> {
        let mut seen = [false; 256];
        for byte in key.iter() {
            if let Some(seen) = seen.get_mut(usize::from(*byte)) {
                *seen = true;
            }
        }
        // 64 random bytes hold about 57 different ones.
        if seen.iter().filter(|seen| **seen).count() < LEAST_DIFFERENT {
            Err(InvalidKey::Repeated)
        } else {
            Ok(Self(key))
        }
    }

    /// A key for one use, derived so that none tells of another (R006).
    fn derive<const N: usize>(&self, purpose: &str) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        let hkdf = Hkdf::<Sha256>::new(None, &*self.0);
        // Fails for more than 8160 bytes only.
        let _ = hkdf.expand_multi_info(&[b"wayleave session key v1 ", purpose.as_bytes()], &mut *out);
        out
    }

    /// Names the key in envelopes; tells nothing of it.
    fn id(&self) -> KeyId {
        let digest = Sha256::digest(self.derive::<32>("name").as_slice());
        KeyId(digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes)))
    }

    fn sealing(&self) -> SealingKey {
        SealingKey::new(self.id(), *self.derive("sealing"))
    }

    /// The half that the `cookie` crate's private jar encrypts with.
    pub(crate) fn second_half(&self) -> Zeroizing<[u8; 32]> {
        let mut half = Zeroizing::new([0; 32]);
        for (to, from) in half.iter_mut().zip(self.0.iter().skip(32)) {
            *to = *from;
        }
        half
    }
}

/// `0123456789abcdef` eight times over has 8 different bytes and is in every example.
const LEAST_DIFFERENT: usize = 8;

const fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        b'a'..=b'f' => hex - b'a' + 10,
        _ => hex.wrapping_sub(b'A').wrapping_add(10),
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// All keys of a deployment: the newest seals, every one opens. Rotation puts a new key in front and leaves the old
/// ones until nothing lives any more that they sealed; it signs nobody out (R155).
pub struct SessionKeys {
    keys: Vec<SessionKey>,
    routing: Zeroizing<[u8; 16]>,
}

impl SessionKeys {
    /// A ring of one key.
    #[must_use]
    pub fn new(key: SessionKey) -> Self {
        let routing = key.derive("routing");
        Self { keys: vec![key], routing }
    }

    /// Reads keys in a list: the newest first, separated by commas.
    ///
    /// Ids of server-side sessions are routed by the oldest key of the list. To take that one away without signing
    /// anybody out, give [`Self::with_routing_key`] what [`Self::routing_key_hex`] had said before.
    ///
    /// # Errors
    /// [`InvalidKey`] of the first key that is none, or [`InvalidKey::Twice`].
    pub fn from_hex(list: &str) -> Result<Self, InvalidKey> {
        let mut keys = list.split(',').map(SessionKey::from_hex).collect::<Result<Vec<_>, _>>()?;
        if keys.len() > MAX_KEYS {
            return Err(InvalidKey::TooMany);
        }
        let oldest = keys.pop().ok_or(InvalidKey::Missing)?;
        keys.into_iter().rev().try_fold(Self::new(oldest), Self::rotated_to)
    }

    /// The same ring with a new key in front.
    ///
    /// # Errors
    /// [`InvalidKey::Twice`] when it is there already, [`InvalidKey::TooMany`] beyond [`MAX_KEYS`].
    pub fn rotated_to(self, newest: SessionKey) -> Result<Self, InvalidKey> {
        if self.keys.iter().any(|key| key.id() == newest.id()) {
            return Err(InvalidKey::Twice);
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(InvalidKey::TooMany);
        }
        let mut keys = vec![newest];
        keys.extend(self.keys);
        Ok(Self { keys, routing: self.routing })
    }

    /// The same ring with another routing key: 32 hex characters.
    ///
    /// # Errors
    /// [`InvalidKey::Routing`] for anything else.
    pub fn with_routing_key(self, hex: &str) -> Result<Self, InvalidKey> {
        let (pairs, []) = hex.trim().as_bytes().as_chunks::<2>() else { return Err(InvalidKey::Routing) };
        let mut routing = Zeroizing::new([0; 16]);
        if pairs.len() != routing.len() || !pairs.as_flattened().iter().all(u8::is_ascii_hexdigit) {
            return Err(InvalidKey::Routing);
        }
        for (to, [high, low]) in routing.iter_mut().zip(pairs) {
            *to = digit(*high) << 4 | digit(*low);
        }
        Ok(Self { routing, ..self })
    }

    /// The routing key in hex, to be kept as secret as the keys.
    #[must_use]
    pub fn routing_key_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(self.routing.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The key of ids and tokens of server-side sessions.
    #[must_use]
    pub fn routing_key(&self) -> RoutingKey {
        RoutingKey::new(*self.routing)
    }

    /// The ring that seals: cookies here, columns in a store.
    ///
    /// # Errors
    /// [`DuplicateKey`] when two keys happen to bear one name, once in four thousand million.
    pub fn ring(&self) -> Result<KeyRing, DuplicateKey> {
        let mut keys = self.keys.iter().map(SessionKey::sealing);
        keys.next().map_or(Err(DuplicateKey), |newest| KeyRing::new(newest, keys))
    }

    /// What CSRF tokens are signed with. Taking the oldest key away makes those of open pages invalid; the page's next one
    /// is good.
    #[must_use]
    pub fn csrf_key(&self) -> CsrfKey {
        // The oldest, so that a rotation spares open pages as long as it spares their sessions.
        self.keys.last().map_or_else(|| CsrfKey::new([0; 32]), |key| CsrfKey::new(*key.derive("csrf")))
    }

    /// The keys, newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SessionKey> {
        self.keys.iter()
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeys").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

/// Why something is no key. The text itself is never repeated.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// There is none.
    #[error("sessions require an encryption key; make one with: openssl rand -hex 64")]
    Missing,
    /// It has other characters than hex digits.
    #[error("the encryption key is not hex; make one with: openssl rand -hex 64")]
    NotHex,
    /// It has another length.
    #[error(
        "the encryption key must be 64 bytes (128 hex characters), not {characters} characters; make one with: openssl rand -hex 64"
    )]
    Length {
        /// How many characters it has.
        characters: usize,
    },
    /// It repeats a few bytes.
    #[error("the encryption key repeats a few bytes, so nobody drew it at random; make one with: openssl rand -hex 64")]
    Repeated,
    /// It is in the list twice.
    #[error("the list of encryption keys holds one key twice")]
    Twice,
    /// There are more than [`MAX_KEYS`].
    #[error("the list of encryption keys holds more than 16")]
    TooMany,
    /// The routing key is not 32 hex characters.
    #[error("the routing key must be 16 bytes (32 hex characters)")]
    Routing,
}
