//! The signing keys of JWT access tokens: made once, kept sealed in the store, rotated without signing anybody out.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wayleave::SessionManager;
use wayleave::jwt::{KeyLife, KeySet, SigningKey};
use wayleave_core::ports::{Clock, Entropy, SetSetting, Settings, StoreError};
use wayleave_core::record::Revision;
use wayleave_core::seal::{KeyRing, Place};
use wayleave_core::time::Timestamp;
use zeroize::{Zeroize as _, Zeroizing};

/// The name of the document in the store.
const NAME: &str = "signing-keys";
const PLACE: Place<'static> = Place { purpose: "signing keys", name: b"jwt" };

/// How long a replaced key still verifies: longer than any token it signed can live.
pub const OVERLAP: Duration = Duration::from_secs(2 * 3600);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    seed: String,
    created_at: i64,
    signs_from: i64,
    retired_at: Option<i64>,
}

impl Drop for StoredKey {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

/// Keeps the signing keys.
pub struct SigningKeys {
    store: Arc<dyn Settings>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    published_before_signing: Duration,
    in_force: Mutex<Option<Revision>>,
}

impl SigningKeys {
    /// Keeps keys in `store`, sealed with `ring`. A new key is published for `published_before_signing` before it
    /// signs, so that whoever caches the key set has it by then (R061).
    #[must_use]
    pub fn new(
        store: Arc<dyn Settings>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        published_before_signing: Duration,
    ) -> Self {
        Self { store, ring, clock, entropy, published_before_signing, in_force: Mutex::default() }
    }

    /// Puts keys into force, unless later ones are: who read them may have been slow.
    pub fn put_in_force(&self, manager: &SessionManager, keys: KeySet, revision: Revision) {
        let mut in_force = self.in_force.lock();
        if *in_force < Some(revision) {
            manager.set_signing_keys(keys);
            *in_force = Some(revision);
        }
    }

    /// The keys, newest first; the first one is made now if there is none. With them comes the revision they are
    /// stored under, so that a change can be noticed cheaply.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer, or holds keys that the ring does not open.
    pub async fn load(&self) -> Result<(KeySet, Revision), StoreError> {
        loop {
            if let Some((keys, revision)) = self.read().await? {
                return Ok((keys, revision));
            }
            let first = vec![self.make(Duration::ZERO)?];
            match self.write(&first, None).await? {
                SetSetting::Done(revision) => return Ok((key_set(first)?, revision)),
                // Another process made the first one at the same time.
                SetSetting::Conflict => {}
            }
        }
    }

    /// Makes and publishes a new key, which signs once everybody can know it; the one before verifies for [`OVERLAP`]
    /// more from then on.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn rotate(&self) -> Result<(KeySet, Revision), StoreError> {
        loop {
            let (old, revision) = self.load().await?;
            let now = self.clock.now();
            let mut keys = vec![self.make(self.published_before_signing)?];
            let replaced_at = now.plus(self.published_before_signing);
            for key in old.keys() {
                let retired_at = key.life().retired_at.unwrap_or_else(|| replaced_at.plus(OVERLAP));
                if now < retired_at {
                    let life = KeyLife { retired_at: Some(retired_at), ..key.life() };
                    keys.push(SigningKey::from_seed(&key.seed(), life));
                }
            }
            keys.truncate(16);
            match self.write(&keys, Some(revision)).await? {
                SetSetting::Done(revision) => return Ok((key_set(keys)?, revision)),
                SetSetting::Conflict => {}
            }
        }
    }

    fn make(&self, published_before_signing: Duration) -> Result<SigningKey, StoreError> {
        let mut seed = Zeroizing::new([0; 32]);
        self.entropy.fill(seed.as_mut()).map_err(StoreError::unavailable)?;
        let created_at = self.clock.now();
        let life = KeyLife { created_at, signs_from: created_at.plus(published_before_signing), retired_at: None };
        Ok(SigningKey::from_seed(&seed, life))
    }

    async fn read(&self) -> Result<Option<(KeySet, Revision)>, StoreError> {
        let Some(setting) = self.store.get(NAME).await? else {
            return Ok(None);
        };
        let plain = self.ring.open(PLACE, &setting.value).map_err(StoreError::corrupt)?;
        let stored: Stored = serde_json::from_slice(&plain).map_err(StoreError::corrupt)?;
        let mut keys = Vec::with_capacity(stored.keys.len());
        for key in &stored.keys {
            let mut seed = Zeroizing::new([0; 32]);
            let length =
                URL_SAFE_NO_PAD.decode_slice(&key.seed, seed.as_mut()).map_err(|_| StoreError::Corrupt(None))?;
            if length != seed.len() {
                return Err(StoreError::Corrupt(None));
            }
            let life = KeyLife {
                created_at: Timestamp::from_millis(key.created_at),
                signs_from: Timestamp::from_millis(key.signs_from),
                retired_at: key.retired_at.map(Timestamp::from_millis),
            };
            keys.push(SigningKey::from_seed(&seed, life));
        }
        Ok(Some((key_set(keys)?, setting.revision)))
    }

    async fn write(&self, keys: &[SigningKey], expected: Option<Revision>) -> Result<SetSetting, StoreError> {
        let stored = Stored {
            keys: keys
                .iter()
                .map(|key| StoredKey {
                    seed: URL_SAFE_NO_PAD.encode(key.seed().as_ref()),
                    created_at: key.life().created_at.as_millis(),
                    signs_from: key.life().signs_from.as_millis(),
                    retired_at: key.life().retired_at.map(Timestamp::as_millis),
                })
                .collect(),
        };
        let plain = Zeroizing::new(serde_json::to_vec(&stored).map_err(StoreError::corrupt)?);
        let mut salt = [0; wayleave_core::seal::SALT];
        self.entropy.fill(&mut salt).map_err(StoreError::unavailable)?;
        self.store.set(NAME, &self.ring.seal(PLACE, &plain, salt), expected).await
    }
}

fn key_set(keys: Vec<SigningKey>) -> Result<KeySet, StoreError> {
    KeySet::new(keys).map_err(StoreError::corrupt)
}
