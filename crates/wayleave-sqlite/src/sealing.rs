//! Sealing of columns: the key ring with the entropy that it needs.

use std::sync::Arc;

use wayleave_core::ports::{Entropy, StoreError};
use wayleave_core::seal::{KeyRing, Place, SALT};
use zeroize::Zeroizing;

use crate::error::Refused;

/// Seals and opens columns. Each envelope is bound to its purpose and to the row's name, so it opens nowhere else.
#[derive(Clone)]
pub(crate) struct Sealing {
    ring: Arc<KeyRing>,
    entropy: Arc<dyn Entropy>,
}

impl Sealing {
    pub(crate) fn new(ring: Arc<KeyRing>, entropy: Arc<dyn Entropy>) -> Self {
        Self { ring, entropy }
    }

    /// An envelope around `plain`.
    ///
    /// # Errors
    /// Unavailable when there is no entropy (R001).
    pub(crate) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Box<[u8]>, StoreError> {
        let mut salt = [0; SALT];
        self.entropy.fill(&mut salt).map_err(StoreError::unavailable)?;
        let envelope = self.ring.seal(place, plain, salt);
        if envelope.is_empty() { Err(Refused::NotSealed.into()) } else { Ok(envelope) }
    }

    /// What is inside an envelope.
    ///
    /// # Errors
    /// Corrupt when it does not open at this place.
    pub(crate) fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.ring.open(place, envelope).map_err(StoreError::corrupt)
    }
}
