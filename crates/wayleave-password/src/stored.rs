//! A password's hash as it is stored: a PHC string of Argon2id, read with suspicion and compared in constant time.

use argon2::password_hash::{PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::hasher::HashFailure;
use crate::parameters::{Cost, InvalidParameters, Parameters};
use crate::password::Password;

/// Bytes of salt in new hashes (R093).
pub(crate) const SALT: usize = 16;
/// Bytes of output in new hashes.
const OUTPUT: usize = 32;
/// Longest PHC string that is read.
const MAX_TEXT: usize = 512;

/// `$argon2id$v=19$m=...,t=...,p=...$<salt>$<hash>`: version 1.3 of Argon2id, without key id or associated data.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash {
    parameters: Parameters,
    salt: Vec<u8>,
    output: Zeroizing<Vec<u8>>,
}

impl StoredHash {
    /// Reads what [`Self::encode`] wrote, or another implementation's Argon2id hash.
    ///
    /// # Errors
    /// [`UnreadableHash`] for any other algorithm or version, for salts outside 8 to 64 and outputs outside 16 to 64
    /// bytes, and for parameters past the maxima of [`Parameters`]; nothing is allocated for those (A54).
    pub fn decode(text: &[u8]) -> Result<Self, UnreadableHash> {
        if text.len() > MAX_TEXT {
            return Err(UnreadableHash::Malformed);
        }
        let text = std::str::from_utf8(text).map_err(|_| UnreadableHash::Malformed)?;
        let PasswordHash { algorithm, version, params, salt, hash } =
            PasswordHash::new(text).map_err(|_| UnreadableHash::Malformed)?;
        if algorithm != argon2::ARGON2ID_IDENT || version != Some(u32::from(Version::V0x13)) {
            return Err(UnreadableHash::Algorithm);
        }
        let (Some(salt), Some(hash)) = (salt, hash) else {
            return Err(UnreadableHash::Malformed);
        };
        if params.iter().any(|(name, _)| !matches!(name.as_str(), "m" | "t" | "p")) {
            return Err(UnreadableHash::Algorithm);
        }
        let figure = |name| params.get_decimal(name).ok_or(UnreadableHash::Malformed);
        let cost = Cost { memory_kib: figure("m")?, passes: figure("t")?, lanes: figure("p")? };
        let parameters = Parameters::bounded(cost).map_err(|error| match error {
            InvalidParameters::TooCostly => UnreadableHash::TooCostly,
            InvalidParameters::TooCheap | InvalidParameters::Malformed => UnreadableHash::Malformed,
        })?;
        let mut buffer = [0; Salt::MAX_LENGTH];
        let salt = salt.decode_b64(&mut buffer).map_err(|_| UnreadableHash::Malformed)?;
        if !(8..=64).contains(&salt.len()) || !(16..=64).contains(&hash.len()) {
            return Err(UnreadableHash::Malformed);
        }
        Ok(Self { parameters, salt: salt.to_vec(), output: Zeroizing::new(hash.as_bytes().to_vec()) })
    }

    /// The PHC string.
    ///
    /// # Errors
    /// [`HashFailure`] when the parts do not fit the format; those that this crate makes always do.
    pub fn encode(&self) -> Result<String, HashFailure> {
        use argon2::password_hash::{Output, ParamsString, SaltString};
        let Cost { memory_kib, passes, lanes } = self.parameters.cost();
        let mut params = ParamsString::new();
        for (name, figure) in [("m", memory_kib), ("t", passes), ("p", lanes)] {
            params.add_decimal(name, figure).map_err(|_| HashFailure)?;
        }
        let salt = SaltString::encode_b64(&self.salt).map_err(|_| HashFailure)?;
        let phc = PasswordHash {
            algorithm: argon2::ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params,
            salt: Some(salt.as_salt()),
            hash: Some(Output::new(&self.output).map_err(|_| HashFailure)?),
        };
        Ok(phc.to_string())
    }

    /// The parameters that it was made with.
    #[must_use]
    pub const fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Hashes `password`. Slow on purpose: not for the threads of an async runtime.
    pub(crate) fn make(password: &Password, parameters: Parameters, salt: [u8; SALT]) -> Result<Self, HashFailure> {
        let mut output = Zeroizing::new(vec![0; OUTPUT]);
        argon2id(password.as_bytes(), parameters, &salt, &mut output)?;
        Ok(Self { parameters, salt: salt.to_vec(), output })
    }

    /// A hash that no password has, and that takes as long to compare with as any other of its parameters.
    pub(crate) fn decoy(parameters: Parameters, salt: [u8; SALT], output: [u8; OUTPUT]) -> Self {
        Self { parameters, salt: salt.to_vec(), output: Zeroizing::new(output.to_vec()) }
    }

    /// Whether `password` is the one. Slow on purpose, like [`Self::make`].
    pub(crate) fn matches(&self, password: &Password) -> Result<bool, HashFailure> {
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        argon2id(password.as_bytes(), self.parameters, &self.salt, &mut output)?;
        Ok(output.ct_eq(&self.output).into())
    }

    /// Whether it is to be made again with `target`.
    pub(crate) fn is_outdated(&self, target: Parameters) -> bool {
        self.parameters.falls_short_of(target) || self.salt.len() < SALT || self.output.len() < OUTPUT
    }
}

impl std::fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredHash").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

fn argon2id(
    password: &[u8],
    parameters: Parameters,
    salt: &[u8],
    output: &mut Zeroizing<Vec<u8>>,
) -> Result<(), HashFailure> {
    let Cost { memory_kib, passes, lanes } = parameters.cost();
    let params = Params::new(memory_kib, passes, lanes, Some(output.len())).map_err(|_| HashFailure)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(password, salt, output).map_err(|_| HashFailure)
}

/// Why a stored hash cannot be used.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum UnreadableHash {
    /// It is no PHC string, or one with parts missing or out of range.
    #[error("not a PHC string of Argon2id")]
    Malformed,
    /// It was made by another algorithm or version, or with a key.
    #[error("not Argon2id 1.3 without key and associated data")]
    Algorithm,
    /// Checking a password against it would take too much memory or time.
    #[error("the hash's parameters are past the maxima")]
    TooCostly,
}

#[cfg(test)]
mod tests;
