//! The one suite, and what every message of it has in common.

use opaque_ke::{CipherSuite, Ristretto255, TripleDh, ksf};

/// ristretto255-SHA512, HKDF, HMAC, 3DH (RFC 9807 section 7). The identity stands where the client has Argon2id.
pub(crate) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = ksf::Identity;
}

/// Bytes of a [`CredentialIdentifier`].
pub const CREDENTIAL_IDENTIFIER: usize = 32;

/// What the OPRF key of one client is derived from: a keyed hash of what is typed to sign in, the same for one spelling
/// and another, and for names with and without an account (R110, R114). No two clients may share one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct CredentialIdentifier(pub [u8; CREDENTIAL_IDENTIFIER]);

/// The bytes are no message of this kind: another length, an element that is no point or not written in its one way, or
/// the identity (R109; RFC 9807 section 10.7).
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of this suite")]
pub struct Malformed;
