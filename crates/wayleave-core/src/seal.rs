//! Authenticated encryption at rest: one envelope for every sealed thing, and the ring of keys that opens it.
//!
//! ```text
//! version 0x01 | algorithm 0x01 | key id (4) | salt (32) | commitment (32) | ciphertext | tag (16)
//! ```
//!
//! Algorithm 1 derives `key (32) | nonce (12) | commitment (32)` by HKDF-SHA256 from the ring's key with the envelope's
//! random salt, and encrypts with AES-256-GCM. A key of its own for every envelope lifts GCM's limit of 2^32 messages
//! (R152, R153); the commitment makes an envelope open under one key only. Header, purpose and name are
//! authenticated, so an envelope moved to another place does not open (R154). Nothing is compressed (R157).

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes of entropy that each sealing takes.
pub const SALT: usize = 32;
/// How much longer an envelope is than its plaintext.
pub const OVERHEAD: usize = HEADER + COMMITMENT + TAG;

const VERSION: u8 = 1;
const AES_256_GCM: u8 = 1;
const HEADER: usize = 2 + 4 + SALT;
const COMMITMENT: usize = 32;
const TAG: usize = 16;
const NONCE: usize = 12;
const KEY: usize = 32;

/// Names a key of a ring.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// A key for sealing. Wiped when dropped, never shown.
pub struct SealingKey {
    id: KeyId,
    key: Zeroizing<[u8; KEY]>,
}

impl SealingKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub fn new(id: KeyId, key: [u8; KEY]) -> Self {
        Self { id, key: Zeroizing::new(key) }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

/// What an envelope is for and whose it is: authenticated, not stored. Two envelopes with different places never open
/// for each other.
#[derive(Copy, Clone, Debug)]
pub struct Place<'a> {
    /// The kind of thing: `session data`, `credential`, ...
    pub purpose: &'a str,
    /// Which one: the id of the record it belongs to.
    pub name: &'a [u8],
}

/// The keys that open sealed things; the first one seals new ones. Rotation puts a new key in front and keeps the old
/// ones for opening (R155).
pub struct KeyRing {
    keys: Vec<SealingKey>,
}

impl KeyRing {
    /// A ring that seals with `newest` and also opens with `older`.
    ///
    /// # Errors
    /// [`DuplicateKey`] when two keys bear one id.
    pub fn new(newest: SealingKey, older: impl IntoIterator<Item = SealingKey>) -> Result<Self, DuplicateKey> {
        let mut keys = vec![newest];
        for key in older {
            if keys.iter().any(|held| held.id == key.id) {
                return Err(DuplicateKey);
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn newest(&self) -> KeyId {
        self.keys.first().map_or(KeyId(0), SealingKey::id)
    }

    /// Seals `plain` for `place`. `salt` must be fresh from the operating system's generator each time.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, plain: &[u8], salt: [u8; SALT]) -> Box<[u8]> {
        match self.keys.first() {
            Some(newest) => seal(newest, &place.context(), plain, salt),
            // `new` always puts one in; an empty envelope opens for nobody.
            None => Box::default(),
        }
    }

    /// Opens an envelope of `place`.
    ///
    /// # Errors
    /// [`CannotOpen`], one and the same for a wrong key, a wrong place, a changed byte or a truncated envelope (R156).
    pub fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let id = key_id(envelope)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(CannotOpen)?;
        open(key, &place.context(), envelope)
    }
}

impl Place<'_> {
    fn context(&self) -> Vec<u8> {
        let purpose = self.purpose.as_bytes();
        let length = u32::try_from(purpose.len()).unwrap_or(u32::MAX).to_be_bytes();
        [length.as_slice(), purpose, self.name].concat()
    }
}

/// Which key an envelope names.
///
/// # Errors
/// [`CannotOpen`] when it is no envelope of this version.
pub fn key_id(envelope: &[u8]) -> Result<KeyId, CannotOpen> {
    match envelope {
        [VERSION, AES_256_GCM, a, b, c, d, ..] if envelope.len() >= OVERHEAD => {
            Ok(KeyId(u32::from_be_bytes([*a, *b, *c, *d])))
        }
        _ => Err(CannotOpen),
    }
}

/// Seals under a key that stands for itself, without a ring: one that a token or a handshake yields.
pub(crate) fn seal_under(key: &[u8; KEY], context: &[u8], plain: &[u8], salt: [u8; SALT]) -> Box<[u8]> {
    seal(&SealingKey::new(KeyId(0), *key), context, plain, salt)
}

/// Opens what [`seal_under`] sealed.
pub(crate) fn open_under(key: &[u8; KEY], context: &[u8], envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
    open(&SealingKey::new(KeyId(0), *key), context, envelope)
}

struct Derived {
    cipher: Aes256Gcm,
    nonce: [u8; NONCE],
    commitment: [u8; COMMITMENT],
}

fn derive(key: &SealingKey, salt: &[u8], context: &[u8]) -> Result<Derived, CannotOpen> {
    let hkdf = Hkdf::<Sha256>::new(Some(salt), key.key.as_ref());
    let mut okm = Zeroizing::new([0; KEY + NONCE + COMMITMENT]);
    hkdf.expand_multi_info(&[b"wayleave envelope v1", context], okm.as_mut()).map_err(|_| CannotOpen)?;
    let (secret, rest) = okm.split_at(KEY);
    let (nonce_bytes, commitment_bytes) = rest.split_at(NONCE);
    let mut nonce = [0; NONCE];
    let mut commitment = [0; COMMITMENT];
    nonce.copy_from_slice(nonce_bytes);
    commitment.copy_from_slice(commitment_bytes);
    Ok(Derived { cipher: Aes256Gcm::new_from_slice(secret).map_err(|_| CannotOpen)?, nonce, commitment })
}

fn seal(key: &SealingKey, context: &[u8], plain: &[u8], salt: [u8; SALT]) -> Box<[u8]> {
    let mut envelope = Vec::with_capacity(OVERHEAD + plain.len());
    envelope.extend_from_slice(&[VERSION, AES_256_GCM]);
    envelope.extend_from_slice(&key.id.0.to_be_bytes());
    envelope.extend_from_slice(&salt);
    let aad = [envelope.as_slice(), context].concat();
    let sealed = derive(key, &salt, context).and_then(|Derived { cipher, nonce, commitment }| {
        let mut body = plain.to_vec();
        let tag =
            cipher.encrypt_in_place_detached(Nonce::from_slice(&nonce), &aad, &mut body).map_err(|_| CannotOpen)?;
        Ok((commitment, body, tag))
    });
    match sealed {
        Ok((commitment, body, tag)) => {
            envelope.extend_from_slice(&commitment);
            envelope.extend_from_slice(&body);
            envelope.extend_from_slice(&tag);
            envelope.into()
        }
        // Unreachable below 64 GiB of plaintext; an envelope that opens for nobody fails closed.
        Err(CannotOpen) => Box::default(),
    }
}

fn open(key: &SealingKey, context: &[u8], envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
    if key_id(envelope)? != key.id {
        return Err(CannotOpen);
    }
    let (header, rest) = envelope.split_at_checked(HEADER).ok_or(CannotOpen)?;
    let (_, salt) = header.split_at_checked(HEADER - SALT).ok_or(CannotOpen)?;
    let (commitment, rest) = rest.split_at_checked(COMMITMENT).ok_or(CannotOpen)?;
    let (body, tag) = rest.split_at_checked(rest.len().checked_sub(TAG).ok_or(CannotOpen)?).ok_or(CannotOpen)?;
    let derived = derive(key, salt, context)?;
    if !bool::from(derived.commitment.ct_eq(commitment)) {
        return Err(CannotOpen);
    }
    let aad = [header, context].concat();
    let mut plain = Zeroizing::new(body.to_vec());
    derived
        .cipher
        .decrypt_in_place_detached(Nonce::from_slice(&derived.nonce), &aad, plain.as_mut(), tag.into())
        .map_err(|_| CannotOpen)?;
    Ok(plain)
}

/// The envelope does not open. Says no more, on purpose.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot open the sealed value")]
pub struct CannotOpen;

/// Two keys of one ring bear the same id.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two keys of the ring bear the same id")]
pub struct DuplicateKey;

#[cfg(test)]
mod tests;
