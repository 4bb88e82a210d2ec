//! Sealing at rest: the key ring with the entropy that it needs, and the place of each sealed thing. An envelope is
//! bound to its purpose and to the name of its row, so it opens nowhere else (R154).

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Malformed, decode_client, decode_entries, encode_client, encode_entries};
use crate::authentication::Method;
use crate::entries::Entries;
use crate::id::SessionId;
use crate::ports::{AccountId, Entropy, StoreError, WrappedKey};
use crate::record::{Client, Fingerprint, Record};
use crate::seal::{KeyRing, Place, SALT};
use crate::ticket::Purpose;
use crate::token::TokenHash;

const CLIENT: &str = "session client";
const CONTEXT: &str = "session context";
const DATA: &str = "session data";
const ROTATION_CLIENT: &str = "rotation client";
const TICKET: &str = "ticket";
const CREDENTIAL: &str = "credential";
const WRAPPED_KEY: &str = "wrapped key";

/// Seals and opens. Sealing fails as unavailable when there is no entropy (R001), opening as corrupt when the envelope
/// does not open at its place.
#[derive(Clone)]
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
pub struct Sealing {
    ring: Arc<KeyRing>,
    entropy: Arc<dyn Entropy>,
}

/// The sealed columns of a record; `None` where there is nothing to seal.
#[derive(Clone, Debug)]
pub struct SealedColumns {
    /// Of [`Record::client`].
    pub client: Option<Box<[u8]>>,
    /// Of [`Record::context`].
    pub context: Option<Box<[u8]>>,
    /// Of [`Record::data`].
    pub data: Option<Box<[u8]>>,
}

#[allow(clippy::missing_errors_doc, reason = "said once, at the type")]
impl Sealing {
    /// Seals with the newest key of `ring` and salts from `entropy`.
    #[must_use]
    pub fn new(ring: Arc<KeyRing>, entropy: Arc<dyn Entropy>) -> Self {
        Self { ring, entropy }
    }

    /// Seals what of a record is sealed.
    pub fn seal_record(&self, record: &Record) -> Result<SealedColumns, StoreError> {
        let name = record.id.bytes();
        let entries = |purpose, entries: &Entries| {
            let plain = (!entries.is_empty()).then(|| encode_entries(entries));
            plain.map(|plain| self.seal(Place { purpose, name: &name }, &plain)).transpose()
        };
        let client = (record.client != Client::default()).then(|| encode_client(&record.client));
        let place = Place { purpose: CLIENT, name: &name };
        Ok(SealedColumns {
            client: client.map(|plain| self.seal(place, &plain)).transpose()?,
            context: entries(CONTEXT, &record.context)?,
            data: entries(DATA, &record.data)?,
        })
    }

    /// Opens the client of the record with this id.
    pub fn open_client(&self, id: &SessionId, envelope: Option<&[u8]>) -> Result<Client, StoreError> {
        match envelope {
            Some(envelope) => {
                let plain = self.open(Place { purpose: CLIENT, name: &id.bytes() }, envelope)?;
                Ok(decode_client(&plain)?)
            }
            None => Ok(Client::default()),
        }
    }

    /// Opens the context of the record with this id.
    pub fn open_context(&self, id: &SessionId, envelope: Option<&[u8]>) -> Result<Entries, StoreError> {
        self.open_entries(CONTEXT, id, envelope)
    }

    /// Opens the data of the record with this id.
    pub fn open_data(&self, id: &SessionId, envelope: Option<&[u8]>) -> Result<Entries, StoreError> {
        self.open_entries(DATA, id, envelope)
    }

    fn open_entries(
        &self,
        purpose: &'static str,
        id: &SessionId,
        envelope: Option<&[u8]>,
    ) -> Result<Entries, StoreError> {
        match envelope {
            Some(envelope) => Ok(decode_entries(&self.open(Place { purpose, name: &id.bytes() }, envelope)?)?),
            None => Ok(Entries::new()),
        }
    }

    /// Seals the client of a rotation, bound to the token that it presented.
    pub fn seal_rotation_client(
        &self,
        client: Option<Fingerprint>,
        predecessor: TokenHash,
    ) -> Result<Option<Box<[u8]>>, StoreError> {
        let place = Place { purpose: ROTATION_CLIENT, name: &predecessor.0 };
        client.map(|fingerprint| self.seal(place, &fingerprint.0)).transpose()
    }

    /// Opens the client of a rotation.
    pub fn open_rotation_client(
        &self,
        predecessor: TokenHash,
        envelope: Option<&[u8]>,
    ) -> Result<Option<Fingerprint>, StoreError> {
        let Some(envelope) = envelope else { return Ok(None) };
        let plain = self.open(Place { purpose: ROTATION_CLIENT, name: &predecessor.0 }, envelope)?;
        Ok(Some(Fingerprint(plain.as_slice().try_into().map_err(|_| Malformed("rotation_client"))?)))
    }

    /// Seals the payload of a ticket; an empty one needs no envelope.
    pub fn seal_payload(
        &self,
        purpose: Purpose,
        key: &[u8; 32],
        payload: &[u8],
    ) -> Result<Option<Box<[u8]>>, StoreError> {
        if payload.is_empty() {
            return Ok(None);
        }
        self.seal(Place { purpose: TICKET, name: &ticket_name(purpose, key) }, payload).map(Some)
    }

    /// Opens the payload of a ticket.
    pub fn open_payload(
        &self,
        purpose: Purpose,
        key: &[u8; 32],
        envelope: Option<&[u8]>,
    ) -> Result<Box<[u8]>, StoreError> {
        let Some(envelope) = envelope else { return Ok(Box::default()) };
        let plain = self.open(Place { purpose: TICKET, name: &ticket_name(purpose, key) }, envelope)?;
        Ok(plain.as_slice().into())
    }

    /// Seals the secret of a credential.
    pub fn seal_secret(&self, account: &AccountId, method: Method, secret: &[u8]) -> Result<Box<[u8]>, StoreError> {
        self.seal(Place { purpose: CREDENTIAL, name: credential_name(account, method).as_bytes() }, secret)
    }

    /// Opens the secret of a credential.
    pub fn open_secret(&self, account: &AccountId, method: Method, envelope: &[u8]) -> Result<Box<[u8]>, StoreError> {
        let name = credential_name(account, method);
        let place = Place { purpose: CREDENTIAL, name: name.as_bytes() };
        Ok(self.open(place, envelope)?.as_slice().into())
    }

    /// Seals the key that is wrapped beside a credential.
    pub fn seal_wrapped_key(
        &self,
        account: &AccountId,
        method: Method,
        key: &WrappedKey,
    ) -> Result<Box<[u8]>, StoreError> {
        let name = credential_name(account, method);
        self.seal(Place { purpose: WRAPPED_KEY, name: name.as_bytes() }, key.as_bytes())
    }

    /// Opens the key that is wrapped beside a credential, where there is one.
    pub fn open_wrapped_key(
        &self,
        account: &AccountId,
        method: Method,
        envelope: Option<&[u8]>,
    ) -> Result<Option<WrappedKey>, StoreError> {
        let Some(envelope) = envelope else { return Ok(None) };
        let name = credential_name(account, method);
        let plain = self.open(Place { purpose: WRAPPED_KEY, name: name.as_bytes() }, envelope)?;
        WrappedKey::new(plain.as_slice()).map(Some).map_err(StoreError::corrupt)
    }

    fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Box<[u8]>, StoreError> {
        let mut salt = [0; SALT];
        self.entropy.fill(&mut salt).map_err(StoreError::unavailable)?;
        let envelope = self.ring.seal(place, plain, salt);
        if envelope.is_empty() { Err(StoreError::unavailable(NotSealed)) } else { Ok(envelope) }
    }

    fn open(&self, place: Place<'_>, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.ring.open(place, envelope).map_err(StoreError::corrupt)
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").finish_non_exhaustive()
    }
}

fn ticket_name(purpose: Purpose, key: &[u8; 32]) -> Vec<u8> {
    // The key is of one length, so no two pairs give one name.
    [purpose.as_str().as_bytes(), key.as_slice()].concat()
}

fn credential_name(account: &AccountId, method: Method) -> String {
    // Account ids are of one length, so no two pairs give one name.
    format!("{account}{}", method.as_str())
}

#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("sealing failed")]
struct NotSealed;
