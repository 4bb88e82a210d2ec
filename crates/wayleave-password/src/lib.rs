//! For servers that let people sign in with a password: hashing with Argon2id, what a new password must be, and the
//! whole check of a sign-in from the submitted text to [`Evidence`](wayleave_core::authentication::Evidence).
//!
//! What an outsider can learn is the same for an unknown address, a wrong password and a disabled account: one
//! outcome, one amount of hashing, the same calls to the store (R098). The attempt after the last one allowed is
//! refused without any hashing, for addresses that exist and that do not alike.

mod authenticator;
mod buckets;
mod hasher;
mod line;
mod outcome;
mod parameters;
mod password;
mod requirements;
mod stored;

pub use authenticator::{
    Admission, Attempt, Counted, Error, Options, PasswordAuthenticator, Ports, SetPasswordError, SignIn, Strangers,
};
pub use buckets::BucketKey;
pub use hasher::{Busy, HashFailure, Hasher, HasherOptions, Load};
pub use outcome::{Outcome, Refused, RefusedReason, Verified};
pub use parameters::{Cost, InvalidParameters, Parameters};
pub use password::{Password, PasswordTooLong};
pub use requirements::{InvalidRequirements, Requirements, Weak};
pub use stored::{StoredHash, UnreadableHash};
