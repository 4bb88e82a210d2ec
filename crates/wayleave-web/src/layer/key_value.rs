//! Ids of sessions in stores of key-value sessions.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use wayleave_core::ports::EntropyFailure;
use zeroize::Zeroizing;

use super::shared::Shared;

/// A new credential: 256 random bits.
pub(crate) fn credential(shared: &Shared) -> Result<Zeroizing<String>, EntropyFailure> {
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(shared.random::<32>()?)))
}

/// What the store knows it by: a leak of the store's keys opens nothing (R002).
pub(super) fn key(credential: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(credential))
}
