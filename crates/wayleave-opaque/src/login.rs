//! Logging in: from the client's first message to the proof that it knows the password.

use std::fmt;

use opaque_ke::{CredentialFinalization, CredentialRequest, ServerLogin, ServerLoginParameters};
use wayleave_core::ports::{Entropy, EntropyFailure};
use zeroize::Zeroizing;

use crate::randomness::Drawn;
use crate::registration::Record;
use crate::setup::Setup;
use crate::suite::{CredentialIdentifier, Malformed, Suite};

/// A masking key that is thrown away, the masking nonce, the seed of the key share and the server's nonce, in the order
/// in which they are used.
const ENTROPY: usize = 64 + 32 + 32 + 32;

/// The client's first message: blinded password (32), nonce (32), key share (32).
pub struct Ke1(CredentialRequest<Suite>);

impl Ke1 {
    /// Bytes of one.
    pub const LENGTH: usize = 96;

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().map_err(|_| Malformed)?;
        CredentialRequest::deserialize(bytes).map(Self).map_err(|_| Malformed)
    }
}

/// The server's answer: evaluated element (32), masking nonce (32), masked response (128), nonce (32), key share (32),
/// MAC (64). The same in length and look for clients with and without a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ke2(pub [u8; Ke2::LENGTH]);

impl Ke2 {
    /// Bytes of one.
    pub const LENGTH: usize = 320;
}

/// The client's proof: a MAC (64).
pub struct Ke3(CredentialFinalization<Suite>);

impl Ke3 {
    /// Bytes of one.
    pub const LENGTH: usize = 64;

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().map_err(|_| Malformed)?;
        CredentialFinalization::deserialize(bytes).map(Self).map_err(|_| Malformed)
    }
}

/// What the server remembers between KE2 and KE3: session key and expected MAC. To be kept sealed, for a minute at most,
/// and given to [`Login::finish`] once (R111).
pub struct LoginState(Zeroizing<[u8; Self::LENGTH]>);

impl LoginState {
    /// Bytes of one.
    pub const LENGTH: usize = 128;

    /// Reads one that was written by [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`UnreadableState`] for another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableState> {
        bytes.try_into().map(|bytes| Self(Zeroizing::new(bytes))).map_err(|_| UnreadableState)
    }

    /// The bytes. A secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LENGTH]> {
        self.0.clone()
    }
}

impl fmt::Debug for LoginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginState(..)")
    }
}

/// The key that client and server now share. Only a finished login makes one, so it is also the proof of that; see
/// [`Authenticator::testify`](crate::Authenticator::testify) (R117).
#[must_use]
pub struct SessionKey(Zeroizing<[u8; Self::LENGTH]>);

impl SessionKey {
    /// Bytes of one.
    pub const LENGTH: usize = 64;

    /// The bytes. A secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// A login that begins.
pub struct Attempt<'a> {
    /// The client's first message.
    pub ke1: Ke1,
    /// The record of the client; `None` for one that has none.
    pub record: Option<&'a Record>,
    /// What its OPRF key is derived from.
    pub identifier: CredentialIdentifier,
    /// What both sides must agree on besides; `None` where the client has nothing.
    pub context: Option<&'a [u8]>,
}

/// The two steps of a login.
pub struct Login;

impl Login {
    /// Answers KE1. Without a record the answer is made of the record of nobody, by the same steps (R110): the client
    /// cannot tell, and [`Self::finish`] succeeds for nobody.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(setup: &Setup, attempt: Attempt<'_>, entropy: &dyn Entropy) -> Result<(Ke2, LoginState), StartError> {
        let Attempt { ke1, record, identifier, context } = attempt;
        let parameters = ServerLoginParameters { context, ..ServerLoginParameters::default() };
        answer(setup, record, ke1, &identifier.0, parameters, entropy)
    }

    /// Checks KE3, in a time that does not depend on where it is wrong.
    ///
    /// # Errors
    /// [`LoginFailed`], whatever is the matter with it.
    pub fn finish(state: &LoginState, ke3: Ke3) -> Result<SessionKey, LoginFailed> {
        let login = ServerLogin::<Suite>::deserialize(state.0.as_ref()).map_err(|_| LoginFailed)?;
        let finished = login.finish(ke3.0, ServerLoginParameters::default()).map_err(|_| LoginFailed)?;
        Ok(SessionKey(Zeroizing::new(finished.session_key.into())))
    }
}

fn answer(
    setup: &Setup,
    record: Option<&Record>,
    ke1: Ke1,
    identifier: &[u8],
    parameters: ServerLoginParameters<'_, '_>,
    entropy: &dyn Entropy,
) -> Result<(Ke2, LoginState), StartError> {
    let mut drawn = Drawn::<ENTROPY>::from(entropy)?;
    let record = record.unwrap_or(&setup.nobody).record();
    let started = ServerLogin::<Suite>::start(&mut drawn, &setup.server, Some(record), ke1.0, identifier, parameters);
    let started = drawn.vouch(started)?.map_err(|_| StartError::Refused)?;
    let state = LoginState(Zeroizing::new(started.state.serialize().into()));
    let message = started.message.serialize();
    Ok((Ke2(message.as_slice().try_into().map_err(|_| StartError::Refused)?), state))
}

/// KE1 was not answered.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// There is no entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
    /// The context is longer than 65535 bytes, or a derivation failed.
    #[error("the login cannot be started")]
    Refused,
}

/// The client does not know the password, or there is nobody to log in as.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the login failed")]
pub struct LoginFailed;

/// The bytes are no state of a login.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a state of a login")]
pub struct UnreadableState;

#[cfg(test)]
mod tests;
