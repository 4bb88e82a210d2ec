//! Signing keys: the newest signs, older ones verify until the last token they signed has ended.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wayleave_core::time::Timestamp;
use zeroize::Zeroizing;

/// Most keys of one set.
const MAX_KEYS: usize = 16;

/// Characters of a `kid`: it stands in every token, and a set holds 16 keys at most, no two of one name.
const NAME: usize = 11;

/// The `kid`: the beginning of the public key's RFC 7638 thumbprint. An opaque map key, never a path or a
/// query (R056).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(public: &ed25519_dalek::VerifyingKey) -> Self {
        // RFC 7638 section 3.2, RFC 8037 section 2: the required members in alphabetical order.
        let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let mut thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
        thumbprint.truncate(NAME);
        Self(thumbprint.into())
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Ed25519 key pair. Wiped when dropped, never shown (R062).
pub struct SigningKey {
    name: KeyName,
    secret: ed25519_dalek::SigningKey,
    life: KeyLife,
}

/// From when to when a key does what.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct KeyLife {
    /// When it was made, and published.
    pub created_at: Timestamp,
    /// From then on it signs: late enough for everybody to have fetched it.
    pub signs_from: Timestamp,
    /// From then on nothing that it signed is accepted; `None` while no newer key replaces it.
    pub retired_at: Option<Timestamp>,
}

impl SigningKey {
    /// A key from its 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32], life: KeyLife) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        Self { name: KeyName::of(&secret.verifying_key()), secret, life }
    }

    /// The `kid`.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// From when to when it does what.
    #[must_use]
    pub const fn life(&self) -> KeyLife {
        self.life
    }

    /// The seed, to be sealed and stored.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    pub(super) const fn secret(&self) -> &ed25519_dalek::SigningKey {
        &self.secret
    }
}

/// The keys of a deployment, newest first.
#[derive(Default)]
pub struct KeySet(Vec<SigningKey>);

impl KeySet {
    /// Takes keys, newest first.
    ///
    /// # Errors
    /// [`InvalidKeySet`] when two are the same or there are more than 16.
    pub fn new(keys: Vec<SigningKey>) -> Result<Self, InvalidKeySet> {
        let mut names: Vec<_> = keys.iter().map(SigningKey::name).collect();
        names.sort();
        names.dedup();
        if names.len() != keys.len() || keys.len() > MAX_KEYS { Err(InvalidKeySet) } else { Ok(Self(keys)) }
    }

    /// The keys, newest first.
    #[must_use]
    pub fn keys(&self) -> &[SigningKey] {
        &self.0
    }

    /// The one that signs: the newest that everybody can know, or the oldest while none can be. Never a retired one.
    #[must_use]
    pub fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        self.good(now).find(|key| key.life.signs_from <= now).or_else(|| self.good(now).last())
    }

    /// The key called `name`, unless it is retired.
    pub(super) fn verifying(&self, name: &str, now: Timestamp) -> Option<&SigningKey> {
        self.good(now).find(|key| key.name.as_str() == name)
    }

    fn good(&self, now: Timestamp) -> impl Iterator<Item = &SigningKey> {
        self.0.iter().filter(move |key| key.life.retired_at.is_none_or(|end| now < end))
    }

    /// The JWK set to publish (RFC 7517): public members only (R061).
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> Value {
        let keys: Vec<_> = self
            .good(now)
            .map(|key| {
                json!({
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": key.name.as_str(),
                    "x": URL_SAFE_NO_PAD.encode(key.secret.verifying_key().as_bytes()),
                })
            })
            .collect();
        json!({ "keys": keys })
    }
}

/// Two keys are the same, or there are too many.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key set holds at most 16 distinct keys")]
pub struct InvalidKeySet;
