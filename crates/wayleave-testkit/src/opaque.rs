//! A client that signs in by OPAQUE, as a browser's library does, without key stretching.

#![expect(clippy::expect_used, reason = "a test whose client cannot go on has failed")]

use opaque_ke::rand::{CryptoRng, Error, RngCore};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, RegistrationResponse, Ristretto255, TripleDh, ksf,
};
use wayleave_core::ports::Entropy;

/// The suite of RFC 9807 that `wayleave-opaque` speaks, said once more.
struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = ksf::Identity;
}

/// Somebody with a password.
pub struct OpaqueClient<'a> {
    password: &'a str,
    entropy: &'a dyn Entropy,
}

/// What the client keeps between the two steps of a registration.
pub struct Registering(ClientRegistration<Suite>);

/// What the client keeps between the two steps of a login.
pub struct LoggingIn(ClientLogin<Suite>);

/// What the client has at the end of a login.
#[derive(Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// KE3.
    pub ke3: Vec<u8>,
    /// The key that the server has too.
    pub session_key: Vec<u8>,
    /// The key that the server never has.
    pub export_key: Vec<u8>,
}

impl<'a> OpaqueClient<'a> {
    /// A client whose randomness is `entropy`.
    #[must_use]
    pub const fn new(password: &'a str, entropy: &'a dyn Entropy) -> Self {
        Self { password, entropy }
    }

    /// The first message of a registration.
    ///
    /// # Panics
    /// For an empty password.
    #[must_use]
    pub fn register(&self) -> (Vec<u8>, Registering) {
        let started = ClientRegistration::start(&mut self.random(), self.password.as_bytes()).expect("a request");
        (started.message.serialize().to_vec(), Registering(started.state))
    }

    /// The record to upload, and the export key.
    ///
    /// # Panics
    /// When the answer is none.
    #[must_use]
    pub fn upload(&self, registering: Registering, response: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let response = RegistrationResponse::deserialize(response).expect("a registration response");
        let parameters = ClientRegistrationFinishParameters::default();
        let finished = registering.0.finish(&mut self.random(), self.password.as_bytes(), response, parameters);
        let finished = finished.expect("a record");
        (finished.message.serialize().to_vec(), finished.export_key.to_vec())
    }

    /// KE1.
    ///
    /// # Panics
    /// For an empty password.
    #[must_use]
    pub fn log_in(&self) -> (Vec<u8>, LoggingIn) {
        let started = ClientLogin::start(&mut self.random(), self.password.as_bytes()).expect("KE1");
        (started.message.serialize().to_vec(), LoggingIn(started.state))
    }

    /// What comes of KE2; `None` when the password is wrong, or there is nobody to log in as: the client cannot tell.
    #[must_use]
    pub fn finish(&self, logging_in: LoggingIn, ke2: &[u8], context: Option<&[u8]>) -> Option<LoggedIn> {
        let response = CredentialResponse::deserialize(ke2).ok()?;
        let parameters = ClientLoginFinishParameters { context, ..ClientLoginFinishParameters::default() };
        let password = self.password.as_bytes();
        let finished = logging_in.0.finish(&mut self.random(), password, response, parameters).ok()?;
        Some(LoggedIn {
            ke3: finished.message.serialize().to_vec(),
            session_key: finished.session_key.to_vec(),
            export_key: finished.export_key.to_vec(),
        })
    }

    const fn random(&self) -> Random<'a> {
        Random(self.entropy)
    }
}

struct Random<'a>(&'a dyn Entropy);

impl RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill_bytes(&mut word);
        u32::from_le_bytes(word)
    }

    fn next_u64(&mut self) -> u64 {
        let mut word = [0; 8];
        self.fill_bytes(&mut word);
        u64::from_le_bytes(word)
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer).expect("entropy");
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(buffer);
        Ok(())
    }
}

impl CryptoRng for Random<'_> {}
