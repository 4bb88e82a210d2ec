//! The server's long-term secrets: made once for a deployment and kept whole.

use std::fmt;

use opaque_ke::ServerSetup;
use wayleave_core::ports::{Entropy, EntropyFailure};
use zeroize::Zeroizing;

use crate::randomness::Drawn;
use crate::registration::Record;
use crate::suite::Suite;

/// Bytes of a setup as the library writes it: OPRF seed, private key, public key of nobody.
const SERVER: usize = 64 + 32 + 32;
/// Where the public key of nobody stands in it.
const NOBODYS_KEY: usize = 64 + 32;
/// Bytes of the masking key of nobody.
const MASKING_KEY: usize = 64;
/// Two scalars of 64 bytes each, the seed, and the masking key.
const ENTROPY: usize = 64 + 64 + 64 + MASKING_KEY;

/// The OPRF seed, the server's key pair, and the record of nobody that stands in for everybody who has none (R110).
///
/// With another setup no record is good any more: everybody would have to register again (R115). It can be neither
/// shown nor copied:
///
/// ```compile_fail,E0277
/// fn copies<T: Clone>() {}
/// copies::<wayleave_opaque::Setup>();
/// ```
pub struct Setup {
    pub(crate) server: ServerSetup<Suite>,
    pub(crate) nobody: Record,
}

impl Setup {
    /// Bytes of a setup.
    pub const LENGTH: usize = SERVER + MASKING_KEY;

    /// A new one.
    ///
    /// # Errors
    /// [`EntropyFailure`] when there is no entropy.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        let mut drawn = Drawn::<ENTROPY>::from(entropy)?;
        let server = ServerSetup::new(&mut drawn);
        let mut masking_key = Zeroizing::new([0; MASKING_KEY]);
        opaque_ke::rand::RngCore::fill_bytes(&mut drawn, masking_key.as_mut());
        let nobody = nobody(&server, &masking_key).ok_or(EntropyFailure)?;
        drawn.vouch(Self { server, nobody })
    }

    /// Reads one that was written by [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`UnreadableSetup`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableSetup> {
        let (server, masking_key) = bytes.split_at_checked(SERVER).ok_or(UnreadableSetup)?;
        let masking_key: &[u8; MASKING_KEY] = masking_key.try_into().map_err(|_| UnreadableSetup)?;
        let server = ServerSetup::deserialize(server).map_err(|_| UnreadableSetup)?;
        let nobody = nobody(&server, masking_key).ok_or(UnreadableSetup)?;
        Ok(Self { server, nobody })
    }

    /// The record that stands in for everybody who has none.
    #[must_use]
    pub fn nobody(&self) -> Record {
        self.nobody.duplicate()
    }

    /// All of it: seed (64), private key (32), public key (32) and masking key (64) of nobody. To be sealed before it
    /// is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::LENGTH]> {
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        let server = Zeroizing::new(<[u8; SERVER]>::from(self.server.serialize()));
        let parts = server.iter().chain(self.nobody.masking_key());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        bytes
    }
}

/// The record of nobody: a random key, a random masking key, and an envelope of zeroes (RFC 9807 section 6.3.2.2).
fn nobody(server: &ServerSetup<Suite>, masking_key: &[u8; MASKING_KEY]) -> Option<Record> {
    let server = Zeroizing::new(<[u8; SERVER]>::from(server.serialize()));
    let mut record = Zeroizing::new([0; Record::LENGTH]);
    let parts = server.get(NOBODYS_KEY..)?.iter().chain(masking_key);
    record.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    Record::parse(record.as_ref()).ok()
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Setup(..)")
    }
}

/// The bytes are no setup of this version.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a setup of this version")]
pub struct UnreadableSetup;
