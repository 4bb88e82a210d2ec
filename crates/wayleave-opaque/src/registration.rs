//! Registration: from a blinded password to the record that is kept of it.

use std::fmt;

use opaque_ke::{RegistrationUpload, ServerRegistration};
use zeroize::Zeroizing;

use crate::setup::Setup;
use crate::suite::{CredentialIdentifier, Malformed, Suite};

/// A blinded password: the client's first message of a registration.
pub struct RegistrationRequest(opaque_ke::RegistrationRequest<Suite>);

impl RegistrationRequest {
    /// Bytes of one.
    pub const LENGTH: usize = 32;

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().map_err(|_| Malformed)?;
        opaque_ke::RegistrationRequest::deserialize(bytes).map(Self).map_err(|_| Malformed)
    }
}

/// The server's answer: the evaluated element (32) and its public key (32).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrationResponse(pub [u8; RegistrationResponse::LENGTH]);

impl RegistrationResponse {
    /// Bytes of one.
    pub const LENGTH: usize = 64;
}

/// What is kept of a client: public key (32), masking key (64), envelope (96). The same bytes as the client's last
/// message of a registration. No secret by itself, and nothing that may be shown: whoever has it and the [`Setup`] can
/// try passwords.
pub struct Record {
    bytes: Zeroizing<[u8; Self::LENGTH]>,
    record: ServerRegistration<Suite>,
}

impl Record {
    /// Bytes of one.
    pub const LENGTH: usize = 192;

    /// Reads one, from a client or a store.
    ///
    /// # Errors
    /// [`Malformed`]. Whether the envelope opens only the client can tell.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().map_err(|_| Malformed)?;
        let upload = RegistrationUpload::deserialize(bytes).map_err(|_| Malformed)?;
        Ok(Self { bytes: Zeroizing::new(*bytes), record: ServerRegistration::finish(upload) })
    }

    /// The bytes, to be sealed before they are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.bytes
    }

    pub(crate) fn masking_key(&self) -> &[u8] {
        self.bytes.get(32..96).unwrap_or_default()
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self { bytes: self.bytes.clone(), record: self.record.clone() }
    }

    pub(crate) fn record(&self) -> ServerRegistration<Suite> {
        self.record.clone()
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(..)")
    }
}

/// The two steps of a registration. Whether somebody may register is not judged here.
pub struct Registration;

impl Registration {
    /// Evaluates a blinded password for the client behind `identifier`. Nothing is to be kept for [`Self::finish`].
    ///
    /// Whoever can ask this for somebody's identifier can try passwords as by [`Login::start`](crate::Login::start), so
    /// it is to be counted in the same way.
    ///
    /// # Errors
    /// [`Malformed`] when no key can be derived from the identifier, which does not happen.
    pub fn start(
        setup: &Setup,
        request: RegistrationRequest,
        identifier: &CredentialIdentifier,
    ) -> Result<RegistrationResponse, Malformed> {
        evaluate(setup, request, &identifier.0)
    }

    /// Takes what the client made of the answer.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn finish(upload: &[u8]) -> Result<Record, Malformed> {
        Record::parse(upload)
    }
}

fn evaluate(setup: &Setup, request: RegistrationRequest, identifier: &[u8]) -> Result<RegistrationResponse, Malformed> {
    let started = ServerRegistration::<Suite>::start(&setup.server, request.0, identifier).map_err(|_| Malformed)?;
    Ok(RegistrationResponse(started.message.serialize().into()))
}

#[cfg(test)]
pub(crate) mod tests;
