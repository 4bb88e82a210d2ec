//! The server's OPAQUE secrets: made once for a deployment, and kept sealed in its store, so that every server on it has
//! the same. They are in no file, on no command line and in no answer.
//!
//! They are not rotated: whatever was registered under them is good under no others, and everybody would have to
//! register again (R115). The key that they are sealed with can be rotated like that of everything else.

use wayleave_core::ports::{Entropy, SetSetting, Settings, StoreError};
use wayleave_core::seal::{KeyRing, Place, SALT};
use wayleave_opaque::Setup;

/// The name of the document in the store.
const NAME: &str = "opaque-setup";
const PLACE: Place<'static> = Place { purpose: "opaque setup", name: b"server" };

/// The deployment's secrets; made now if there are none.
///
/// # Errors
/// [`StoreError`] when the store cannot answer, there is no entropy, or the store holds what the ring does not open.
pub async fn load(store: &dyn Settings, ring: &KeyRing, entropy: &dyn Entropy) -> Result<Setup, StoreError> {
    loop {
        if let Some(setting) = store.get(NAME).await? {
            let plain = ring.open(PLACE, &setting.value).map_err(StoreError::corrupt)?;
            return Setup::from_bytes(&plain).map_err(StoreError::corrupt);
        }
        let setup = Setup::generate(entropy).map_err(StoreError::unavailable)?;
        let mut salt = [0; SALT];
        entropy.fill(&mut salt).map_err(StoreError::unavailable)?;
        let sealed = ring.seal(PLACE, setup.to_bytes().as_ref(), salt);
        match store.set(NAME, &sealed, None).await? {
            SetSetting::Done(_) => return Ok(setup),
            // Another server made them at the same time: its are the deployment's.
            SetSetting::Conflict => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
    use wayleave_core::seal::{KeyId, SealingKey};
    use wayleave_testkit::{FakeClock, SeededEntropy};

    use super::*;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(SealingKey::new(KeyId(1), [byte; 32]), []).unwrap()
    }

    /// R115: servers on one store have one setup, which lies there sealed; under another master key there is none, and no
    /// new one is made in its place.
    #[tokio::test]
    async fn a_deployment_has_one_setup() {
        let store = MemoryDirectory::new(DirectoryLimits::default(), Arc::new(FakeClock::default()));
        let (one, other) = (SeededEntropy::new(1), SeededEntropy::new(2));
        let (first, second) = (ring(1), ring(1));
        let made = tokio::join!(load(&store, &first, &one), load(&store, &second, &other));
        let (made, same) = (made.0.unwrap().to_bytes(), made.1.unwrap().to_bytes());
        assert_eq!(made, same);
        let stored = store.get(NAME).await.unwrap().unwrap().value;
        for part in made.chunks(32) {
            assert!(!stored.windows(32).any(|window| window == part));
        }
        assert!(matches!(load(&store, &ring(2), &one).await, Err(StoreError::Corrupt(_))));
        assert_eq!(store.get(NAME).await.unwrap().unwrap().value, stored);
    }

    /// R001: without entropy there is no setup, and the store stays empty.
    #[tokio::test]
    async fn nothing_is_made_without_entropy() {
        let store = MemoryDirectory::new(DirectoryLimits::default(), Arc::new(FakeClock::default()));
        for calls in 0..2 {
            let entropy = SeededEntropy::new(1);
            entropy.fail_after(calls);
            assert!(load(&store, &ring(1), &entropy).await.is_err());
            assert_eq!(store.get(NAME).await.unwrap(), None);
        }
    }
}
