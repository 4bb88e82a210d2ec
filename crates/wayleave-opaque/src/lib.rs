//! For servers that let people sign in by OPAQUE (RFC 9807): the password never leaves the client, and what the server
//! keeps is of no use without guessing against the server's own secret.
//!
//! The server's half of one suite: ristretto255-SHA512, HKDF, HMAC and 3DH, as `@serenity-kit/opaque` speaks it. The
//! key-stretching function runs in the client alone. No I/O: messages in, messages out, and the entropy of each login
//! is drawn before anything else is done.
//!
//! ```text
//! client                            server
//!   RegistrationRequest  32  ->       [Registration::start]
//!                        <-  64       RegistrationResponse
//!   RegistrationRecord  192  ->       [Registration::finish], to be kept as an [Enrolment]
//!
//!   KE1                  96  ->       [Login::start]
//!                        <- 320       KE2, and a [LoginState] to be kept for a minute at most
//!   KE3                  64  ->       [Login::finish], which gives the [SessionKey]
//! ```
//!
//! Neither side sends a context (RFC 9807 section 6.4): the clients of this suite have none to send. Whoever has other
//! clients passes one, and it must be the same on both sides.

mod authenticator;
mod enrolment;
mod key_stretching;
mod login;
mod randomness;
mod registration;
mod setup;
mod suite;
#[cfg(test)]
mod vectors;

pub use authenticator::Authenticator;
pub use enrolment::{Enrolment, UnreadableEnrolment};
pub use key_stretching::{InvalidKeyStretching, KeyStretching, StretchingCost};
pub use login::{Attempt, Ke1, Ke2, Ke3, Login, LoginFailed, LoginState, SessionKey, StartError, UnreadableState};
pub use registration::{Record, Registration, RegistrationRequest, RegistrationResponse};
pub use setup::{Setup, UnreadableSetup};
pub use suite::{CREDENTIAL_IDENTIFIER, CredentialIdentifier, Malformed};
