//! The master keys, newest first, and every key that is derived from them.
//!
//! One key per line, `#` begins a comment:
//!
//! ```text
//! 2 wlk1_<base64url of 32 random bytes and the CRC-32 of prefix and bytes>
//! 1 wlk1_...
//! ```
//!
//! A line `next 3 wlk1_...` is a key that opens already and seals nothing yet: so every server knows a key before any seals
//! with it.
//!
//! 64 hexadecimal digits, as `openssl rand -hex 32` prints them, are taken as well; a single key may come without its
//! number and is then key 1. Derivation is HKDF-SHA256 with a label of its own for every purpose (R006).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;
use wayleave_core::ports::{Entropy, EntropyFailure};
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::{DuplicateKey, KeyId, KeyRing, SealingKey};
use zeroize::Zeroizing;

use super::weak::{Weakness, weakness};

/// Most keys in one file.
pub const MAX_KEYS: usize = 16;

const PREFIX: &str = "wlk1_";
const LENGTH: usize = 32;
const HEAD: &str = "# The master key of this Wayleave deployment. Whoever has it can open everything that is sealed.\n\
                    # Newest first. The last line must stay for ever; others, as long as anything is sealed with them.\n\
                    # `next` stands before a key that opens already, and seals once every server has it.\n";
/// Begins the line of a key that does not seal yet.
const NEXT: &str = "next";

/// What a derived key is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Slots and routing fields of tokens and ids.
    Routing,
    /// Sealing at rest.
    Sealing,
    /// CSRF tokens of sessions.
    Csrf,
    /// CSRF tokens and state from before there is a session.
    PreSession,
    /// Names of counters, so that the store shows no identifier.
    Counters,
    /// The chain of the audit log and its signed heads.
    Audit,
    /// References to sessions in logs.
    SessionReference,
    /// The short assertions of forward-auth.
    Assertion,
    /// Messages between servers on one store.
    Bus,
    /// What the OPAQUE keys of people are derived from, beside the server's secrets.
    CredentialIdentifier,
    /// Fingerprints of clients.
    Fingerprint,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 11] = [
        Self::Routing,
        Self::Sealing,
        Self::Csrf,
        Self::PreSession,
        Self::Counters,
        Self::Audit,
        Self::SessionReference,
        Self::Assertion,
        Self::Bus,
        Self::CredentialIdentifier,
        Self::Fingerprint,
    ];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::Routing => b"wayleave master: routing v1",
            Self::Sealing => b"wayleave master: sealing v1",
            Self::Csrf => b"wayleave master: csrf v1",
            Self::PreSession => b"wayleave master: pre-session v1",
            Self::Counters => b"wayleave master: counters v1",
            Self::Audit => b"wayleave master: audit chain v1",
            Self::SessionReference => b"wayleave master: session reference v1",
            Self::Assertion => b"wayleave master: assertion v1",
            Self::Bus => b"wayleave master: bus v1",
            Self::CredentialIdentifier => b"wayleave master: credential identifier v1",
            Self::Fingerprint => b"wayleave master: fingerprint v1",
        }
    }

    /// Whether it stays with the oldest key when a new one is put in front. These are keys whose values are in use all
    /// over: another routing key would lose every session, another counter key would forgive every failed sign-in, and
    /// with another audit key the rows from before would look forged, and with another bus key servers of before and after a
    /// rotation would not understand each other. Another key of credential identifiers would show which names have no
    /// account, since only theirs would change, and with another key of fingerprints every client would look like another one.
    const fn is_lasting(self) -> bool {
        match self {
            Self::Routing
            | Self::Counters
            | Self::Audit
            | Self::SessionReference
            | Self::Bus
            | Self::CredentialIdentifier
            | Self::Fingerprint => true,
            Self::Sealing | Self::Csrf | Self::PreSession | Self::Assertion => false,
        }
    }
}

/// The keys of a file: at least one, each with a number of its own. Wiped when dropped, never shown.
pub struct MasterKeys {
    /// Opens, and does not seal yet.
    next: Option<MasterKey>,
    newest: MasterKey,
    older: Vec<MasterKey>,
}

struct MasterKey {
    id: KeyId,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl MasterKeys {
    /// One new key.
    pub(super) fn generate(id: KeyId, entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        Ok(Self { next: None, newest: draw(id, entropy)?, older: Vec::new() })
    }

    /// These and a new one that opens and does not seal yet, unless there is one.
    pub(super) fn announced(mut self, entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        if self.next.is_none() {
            let highest = self.ids().map(|KeyId(id)| id).max().unwrap_or_default();
            self.next = Some(draw(KeyId(highest.saturating_add(1)), entropy)?);
        }
        Ok(self)
    }

    /// The same with the next one in front, if there is one.
    pub(super) fn advanced(mut self) -> Self {
        if let Some(next) = self.next.take() {
            let before = std::mem::replace(&mut self.newest, next);
            self.older.insert(0, before);
        }
        self
    }

    /// Reads the text of a file. Errors name the line from 1, or none when there is no key.
    pub(super) fn parse(text: &str) -> Result<Self, (Option<usize>, KeyProblem)> {
        let lines = text.lines().enumerate().map(|(number, line)| {
            let line = line.split_once('#').map_or(line, |(before, _)| before);
            (number + 1, line.trim())
        });
        let lines: Vec<_> = lines.filter(|(_, line)| !line.is_empty()).take(MAX_KEYS + 1).collect();
        let mut keys: Vec<MasterKey> = Vec::with_capacity(lines.len());
        let mut next = None;
        for (number, line) in &lines {
            let problem = |problem| (Some(*number), problem);
            let after = line.strip_prefix(NEXT).filter(|rest| rest.starts_with(char::is_whitespace));
            let line = after.map_or(*line, str::trim);
            if after.is_some() && (next.is_some() || !keys.is_empty()) {
                return Err(problem(KeyProblem::NextNotFirst));
            }
            let (id, encoded) = match line.split_once(char::is_whitespace) {
                Some((id, encoded)) => (id.parse().map_err(|_| problem(KeyProblem::NoNumber))?, encoded.trim()),
                None if lines.len() == 1 => (1, line),
                None => return Err(problem(KeyProblem::NoNumber)),
            };
            if id == 0 {
                return Err(problem(KeyProblem::NoNumber));
            }
            if keys.len() + usize::from(next.is_some()) == MAX_KEYS {
                return Err(problem(KeyProblem::TooMany));
            }
            if keys.iter().chain(&next).any(|key| key.id == KeyId(id)) {
                return Err(problem(KeyProblem::Duplicate));
            }
            let bytes = decode(encoded).map_err(problem)?;
            let key = MasterKey { id: KeyId(id), bytes };
            if after.is_some() {
                next = Some(key);
            } else {
                keys.push(key);
            }
        }
        let mut keys = keys.into_iter();
        let newest = keys.next().ok_or((None, KeyProblem::Malformed))?;
        Ok(Self { next, newest, older: keys.collect() })
    }

    /// The text of a file.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(HEAD.len() + 80 * (2 + self.older.len())));
        text.push_str(HEAD);
        for MasterKey { id: KeyId(id), bytes } in self.iter() {
            let mut payload = Zeroizing::new([0; LENGTH + 4]);
            let (secret, check) = payload.split_at_mut(LENGTH);
            secret.copy_from_slice(bytes.as_ref());
            check.copy_from_slice(&checksum(bytes.as_ref()));
            if self.next() == Some(KeyId(*id)) {
                text.push_str(NEXT);
                text.push(' ');
            }
            text.push_str(&id.to_string());
            text.push(' ');
            text.push_str(PREFIX);
            URL_SAFE_NO_PAD.encode_string(payload.as_ref(), &mut text);
            text.push('\n');
        }
        text
    }

    /// The number of the key that is known and does not seal yet.
    #[must_use]
    pub fn next(&self) -> Option<KeyId> {
        self.next.as_ref().map(|key| key.id)
    }

    /// The numbers of the keys, newest first: first the one that does not seal yet, if there is one.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.iter().map(|key| key.id)
    }

    /// The number of the key that seals.
    #[must_use]
    pub const fn newest(&self) -> KeyId {
        self.newest.id
    }

    /// The key for `purpose`: of the newest master key, except for what has to outlast rotation, which stays with the
    /// oldest.
    #[must_use]
    pub fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        let from = if purpose.is_lasting() { self.older.last().unwrap_or(&self.newest) } else { &self.newest };
        from.derive(purpose)
    }

    /// The keys that `purpose` has under every master key, in the order of [`Self::ids`]: to verify what servers with
    /// other keys in front made.
    pub fn derive_all(&self, purpose: Purpose) -> impl Iterator<Item = Zeroizing<[u8; 32]>> {
        self.iter().map(move |key| key.derive(purpose))
    }

    /// The deployment's routing key.
    #[must_use]
    pub fn routing(&self) -> RoutingKey {
        let derived = self.derive(Purpose::Routing);
        let mut key = [0; 16];
        key.copy_from_slice(derived.split_at(16).0);
        RoutingKey::new(key)
    }

    /// The ring that seals with the newest master key and opens with all, the next one included.
    ///
    /// # Errors
    /// [`DuplicateKey`] never happens for keys that were read from a file, since numbers are checked there.
    pub fn key_ring(&self) -> Result<KeyRing, DuplicateKey> {
        let sealing = |key: &MasterKey| SealingKey::new(key.id, *key.derive(Purpose::Sealing));
        KeyRing::new(sealing(&self.newest), self.next.iter().chain(&self.older).map(sealing))
    }

    fn iter(&self) -> impl Iterator<Item = &MasterKey> {
        self.next.iter().chain([&self.newest]).chain(&self.older)
    }
}

impl fmt::Debug for MasterKeys {
    /// Numbers only (R062).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl MasterKey {
    fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let expanded = Hkdf::<Sha256>::new(None, self.bytes.as_ref()).expand(purpose.label(), key.as_mut());
        // HKDF refuses more than 255 blocks only; this asks for one.
        debug_assert!(expanded.is_ok());
        key
    }
}

fn draw(id: KeyId, entropy: &dyn Entropy) -> Result<MasterKey, EntropyFailure> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    entropy.fill(bytes.as_mut())?;
    // A generator that gives a weak key is broken, and what else it gives is no better.
    if weakness(&bytes).is_some() { Err(EntropyFailure) } else { Ok(MasterKey { id, bytes }) }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(PREFIX.as_bytes());
    crc.update(bytes);
    crc.finalize().to_be_bytes()
}

fn decode(encoded: &str) -> Result<Zeroizing<[u8; LENGTH]>, KeyProblem> {
    let mut key = Zeroizing::new([0; LENGTH]);
    if let Some(encoded) = encoded.strip_prefix(PREFIX) {
        let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| KeyProblem::Malformed)?);
        let (bytes, check) = payload.split_at_checked(LENGTH).ok_or(KeyProblem::Short)?;
        if check != checksum(bytes) {
            return Err(KeyProblem::Checksum);
        }
        key.copy_from_slice(bytes);
    } else {
        let hexadecimal = encoded.bytes().all(|byte| byte.is_ascii_hexdigit());
        match encoded.len() {
            _ if !hexadecimal => return Err(KeyProblem::Malformed),
            length if length < 2 * LENGTH => return Err(KeyProblem::Short),
            length if length > 2 * LENGTH => return Err(KeyProblem::Malformed),
            _ => {}
        }
        for (byte, digits) in key.iter_mut().zip(encoded.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| KeyProblem::Malformed)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| KeyProblem::Malformed)?;
        }
    }
    match weakness(&key) {
        Some(weakness) => Err(KeyProblem::Weak(weakness)),
        None => Ok(key),
    }
}

/// Why a line is not a key that can be used.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// It is no key.
    #[error(
        "not a key; a line is a number and a key as `wayleave key rotate master` or `openssl rand -hex 32` makes it"
    )]
    Malformed,
    /// It has fewer than 32 bytes.
    #[error("the key is shorter than 32 bytes; make one with `openssl rand -hex 32`")]
    Short,
    /// It was damaged in copying.
    #[error("the checksum is wrong: a character was lost or changed in copying")]
    Checksum,
    /// Somebody could guess it.
    #[error("the key is not random: {0}; make one with `openssl rand -hex 32`")]
    Weak(Weakness),
    /// Among several keys, it has no number.
    #[error("a line is a number from 1 and a key, with a blank between them")]
    NoNumber,
    /// Another line has its number.
    #[error("another line has the same number")]
    Duplicate,
    /// The key that does not seal yet is not the first, or there are two.
    #[error("`next` stands before one key, in the first line")]
    NextNotFirst,
    /// There are more than [`MAX_KEYS`].
    #[error("there are more than {MAX_KEYS} keys")]
    TooMany,
}
