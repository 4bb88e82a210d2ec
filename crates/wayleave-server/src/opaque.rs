//! What a deployment has for OPAQUE: the server's secrets, the parameters for newcomers, and what lies between the two
//! halves of a login.

mod handshake;
pub mod retired;
mod setup;

use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wayleave_core::authentication::Prover;
use wayleave_core::ports::{Credential, Credentials, EmailAddress, Entropy, EntropyFailure, StoreError};
use wayleave_core::seal::{KeyRing, Place, SALT};
use wayleave_core::time::Timestamp;
use wayleave_opaque::{Authenticator, CredentialIdentifier, Enrolment, KeyStretching, Record, Setup};
use zeroize::Zeroizing;

pub use handshake::{Handshake, HandshakeError, LIVES, LoginId, MOST};
pub use setup::load;

/// The OPAQUE part of a deployment.
pub struct Opaque {
    authenticator: Authenticator,
    identifiers: IdentifierKey,
    key_stretching: KeyStretching,
    /// The enrolment of nobody, sealed as stores seal those of people: opened and read where there is none, so that the
    /// same is done.
    nobody: Box<[u8]>,
    ring: Arc<KeyRing>,
}

const NOBODY: Place<'static> = Place { purpose: "opaque enrolment", name: b"nobody" };

/// The deployment's key of credential identifiers.
pub struct IdentifierKey(Zeroizing<[u8; 32]>);

impl IdentifierKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    /// The credential identifier of a name: one for all its spellings, by the rule of accounts (R114), and another each
    /// time that it was [retired].
    fn of(&self, name: &str, times_retired: u32) -> CredentialIdentifier {
        let normalised = match name.parse::<EmailAddress>() {
            Ok(address) => address.as_str().to_owned(),
            Err(_) => name.trim().to_lowercase(),
        };
        // HMAC takes keys of any length, so that this never falls back.
        let Ok(mut mac) = <Hmac<Sha256> as hmac::Mac>::new_from_slice(self.0.as_ref()) else {
            return CredentialIdentifier([0; 32]);
        };
        mac.update(&times_retired.to_be_bytes());
        mac.update(normalised.as_bytes());
        CredentialIdentifier(mac.finalize().into_bytes().into())
    }
}

/// What [`Opaque::new`] takes.
pub struct Parts {
    /// The server's secrets.
    pub setup: Setup,
    /// The right to testify to logins.
    pub prover: Prover,
    /// The key of credential identifiers.
    pub identifiers: IdentifierKey,
    /// What the client's key-stretching function costs for those who register from now on, and what names without an
    /// account are said to have.
    pub key_stretching: KeyStretching,
    /// The keys that stores seal with.
    pub ring: Arc<KeyRing>,
}

/// What a login is answered with.
pub struct Known {
    /// The record, of somebody who has one and may sign in.
    pub record: Option<Record>,
    /// What the OPRF key is derived from.
    pub identifier: CredentialIdentifier,
    /// What the client's key-stretching function costs.
    pub key_stretching: KeyStretching,
}

impl Opaque {
    /// Puts the parts together.
    ///
    /// # Errors
    /// [`EntropyFailure`] when there is no entropy.
    pub fn new(parts: Parts, entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        let Parts { setup, prover, identifiers, key_stretching, ring } = parts;
        let mut salt = [0; SALT];
        entropy.fill(&mut salt)?;
        let nobody = Enrolment { key_stretching, identifier: CredentialIdentifier([0; 32]), record: setup.nobody() };
        let nobody = ring.seal(NOBODY, &nobody.encode(), salt);
        Ok(Self { authenticator: Authenticator::new(setup, prover), identifiers, key_stretching, nobody, ring })
    }

    /// The secrets, and the right to testify.
    #[must_use]
    pub const fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// What the client's key-stretching function costs for those who register from now on.
    #[must_use]
    pub const fn key_stretching(&self) -> KeyStretching {
        self.key_stretching
    }

    /// The credential identifier of those who register under this name from now on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn identifier(
        &self,
        credentials: &dyn Credentials,
        name: &EmailAddress,
    ) -> Result<CredentialIdentifier, StoreError> {
        Ok(self.identifiers.of(name.as_str(), retired::times(credentials, name).await?))
    }

    /// What to answer whoever says to be `name` with. The same is computed with and without a credential; one that cannot
    /// be read is none, and the log says so.
    #[must_use]
    pub fn known(&self, name: &str, credential: Option<&Credential>) -> Known {
        let of_name = self.identifiers.of(name, 0);
        let opened;
        let stored = match credential {
            Some(credential) => &*credential.secret,
            None => {
                opened = self.ring.open(NOBODY, &self.nobody).unwrap_or_default();
                opened.as_slice()
            }
        };
        let read = Enrolment::decode(stored).inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "an OPAQUE enrolment is damaged");
        });
        match (read, credential) {
            (Ok(Enrolment { key_stretching, identifier, record }), Some(_)) => {
                Known { record: Some(record), identifier, key_stretching }
            }
            (Ok(_) | Err(_), _) => Known { record: None, identifier: of_name, key_stretching: self.key_stretching },
        }
    }

    /// What is stored of somebody who registered under [`Self::identifier`].
    #[must_use]
    pub fn enrol(&self, identifier: CredentialIdentifier, record: Record, now: Timestamp) -> Credential {
        let enrolment = Enrolment { key_stretching: self.key_stretching, identifier, record };
        Credential { secret: enrolment.encode().as_slice().into(), changed_at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R114: spellings of one name are one client, and different names or deployments are not.
    #[test]
    fn names_have_one_identifier() {
        let key = |byte| IdentifierKey::new(Zeroizing::new([byte; 32]));
        let ann = key(1).of("ann@example.com", 0);
        for spelling in ["Ann@Example.com", " ann@example.COM ", "ANN@EXAMPLE.COM\n"] {
            assert_eq!(key(1).of(spelling, 0), ann, "{spelling:?}");
        }
        assert_eq!(key(1).of("Nobody ", 0), key(1).of("nobody", 0));
        for (key, other) in [(key(1), "bob@example.com"), (key(1), "ann@example.comm"), (key(2), "ann@example.com")] {
            assert_ne!(key.of(other, 0), ann, "{other}");
        }
        assert_ne!(key(1).of("ann@example.com", 1), ann);
    }
}
