//! Reads the cookies of Tideway 0.9: AES-256-GCM as the `cookie` crate's private jar does it. Nothing here seals.
//!
//! ```text
//! cookie = base64(nonce (12) | ciphertext | tag (16))     the standard alphabet, with padding
//! key    = the second 32 of the 64 bytes
//! bound to the cookie's name
//! inside = {"data":{..},"created_at":{"secs_since_epoch":..,"nanos_since_epoch":..},"expires_at":{..}}
//! ```

use aes_gcm::aead::{AeadInPlace as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use wayleave::kv::SessionData;
use wayleave_core::time::Timestamp;
use zeroize::Zeroizing;

use crate::keys::SessionKeys;

const NONCE: usize = 12;
const TAG: usize = 16;

pub(super) struct TidewayCookies {
    keys: Vec<Zeroizing<[u8; 32]>>,
    name: Box<str>,
}

#[derive(Deserialize)]
struct Stored {
    data: BTreeMap<String, String>,
    created_at: Time,
    expires_at: Time,
}

#[derive(Deserialize)]
struct Time {
    secs_since_epoch: u64,
    nanos_since_epoch: u32,
}

impl Time {
    fn timestamp(&self) -> Timestamp {
        Timestamp::MIN
            .plus(Duration::from_secs(self.secs_since_epoch))
            .plus(Duration::from_nanos(self.nanos_since_epoch.into()))
    }
}

impl TidewayCookies {
    pub(super) fn new(keys: &SessionKeys, name: &str) -> Self {
        Self { keys: keys.iter().map(|key| key.second_half()).collect(), name: name.into() }
    }

    pub(super) fn open(&self, sealed: &str) -> Option<SessionData> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE>()?;
        let (body, tag) = rest.split_last_chunk::<TAG>()?;
        self.keys.iter().find_map(|key| {
            let cipher = Aes256Gcm::new_from_slice(key.as_slice()).ok()?;
            let mut plain = Zeroizing::new(body.to_vec());
            cipher
                .decrypt_in_place_detached(Nonce::from_slice(nonce), self.name.as_bytes(), &mut plain, tag.into())
                .ok()?;
            read(&plain)
        })
    }
}

fn read(plain: &[u8]) -> Option<SessionData> {
    let Stored { data: values, created_at, expires_at } = serde_json::from_slice(plain).ok()?;
    let mut data = SessionData::restored(created_at.timestamp(), expires_at.timestamp());
    for (key, value) in values {
        data.set(key, value);
    }
    data.check().is_ok().then_some(data)
}
