//! Session and refresh tokens: the only place where a plaintext token is made, read or hashed.
//!
//! Format, frozen (vectors in `spec/vectors/tokens.json`):
//!
//! ```text
//! wl_ | base64url( 32 random bytes | 2 routing bytes | CRC-32 of the prefix and those 34 bytes, big endian )
//! ```
//!
//! 54 characters in all, without padding, canonical to the last bit. Refresh tokens start with `rt_` instead. The
//! checksum lets secret scanners and typing errors be told apart from real tokens before any lookup; it adds no
//! strength. Stores know a token only by the SHA-256 of its whole text, prefix included, so the kinds of token can
//! never be confused (R002, R006).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::id::Slot;
use crate::routing::RoutingKey;

/// Length of every token's text.
pub const TOKEN_LENGTH: usize = 54;

const PREFIX_LENGTH: usize = 3;
const RANDOM: usize = 32;
const BODY: usize = RANDOM + 2;
const PAYLOAD: usize = BODY + 4;

/// The SHA-256 of a token's text: what stores keep and find tokens by.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A few bytes are enough to tell two apart in a test failure and too few to look one up.
        let [a, b, ..] = self.0;
        write!(f, "TokenHash({a:02x}{b:02x}..)")
    }
}

/// Where to look a token up: its hash, and the slot its routing bytes lead to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// The partition that holds the record, if the token is real.
    pub slot: Slot,
    /// The key within it.
    pub hash: TokenHash,
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        ///
        /// Not `Clone`, `Debug` or serialisable; its bytes are wiped when it is dropped.
        pub struct $name(Raw);

        impl $name {
            /// The public beginning of the text.
            pub const PREFIX: &'static str = $prefix;

            /// Reads a presented token.
            ///
            /// # Errors
            /// [`MalformedToken`] for anything but the one canonical spelling; nothing is hashed before that is
            /// known (R007).
            pub fn parse(text: &str) -> Result<Self, MalformedToken> {
                Raw::parse(Self::PREFIX, text).map(Self)
            }

            /// The text to hand to the client. The only way out for the secret.
            #[must_use]
            pub fn reveal(&self) -> Zeroizing<String> {
                self.0.text(Self::PREFIX)
            }

            /// What stores keep of it.
            #[must_use]
            pub fn hash(&self) -> TokenHash {
                TokenHash(Sha256::digest(self.reveal().as_bytes()).into())
            }
        }
    };
}

macro_rules! routed {
    ($name:ident) => {
        impl $name {
            /// A new token from 32 bytes of entropy, routed to `slot`.
            #[must_use]
            pub fn new(random: [u8; 32], slot: Slot, routing: &RoutingKey) -> Self {
                Self(Raw::new(random, slot, routing))
            }

            /// Hash and slot of a presented token, for a lookup: of what [`Self::parse`] reads, [`Self::key`].
            ///
            /// # Errors
            /// As [`Self::parse`].
            pub fn lookup(text: &str, routing: &RoutingKey) -> Result<TokenKey, MalformedToken> {
                let token = Self::parse(text)?;
                // A token has one spelling, so the text need not be written anew to be hashed.
                Ok(TokenKey { slot: token.0.slot(routing), hash: TokenHash(Sha256::digest(text.as_bytes()).into()) })
            }

            /// Hash and slot, for a lookup.
            #[must_use]
            pub fn key(&self, routing: &RoutingKey) -> TokenKey {
                TokenKey { slot: self.0.slot(routing), hash: self.hash() }
            }
        }
    };
}

macro_rules! unrouted {
    ($name:ident) => {
        impl $name {
            /// A new token from 34 bytes of entropy. It leads to no slot, so its routing bytes are random too.
            #[must_use]
            pub fn new(random: [u8; 34]) -> Self {
                Self(Raw::split(&random))
            }
        }
    };
}

token!(
    /// The token that proves a session on every request.
    SessionToken,
    "wl_"
);
token!(
    /// The token that is exchanged, once, for a new pair.
    RefreshToken,
    "rt_"
);

impl RefreshToken {
    /// The secret part, for deriving a key from it.
    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.0.random
    }
}

token!(
    /// The secret of a trusted backend.
    ServiceToken,
    "sk_"
);
token!(
    /// The secret in a one-time link: first administrator, invitation, new password.
    LinkToken,
    "ln_"
);
token!(
    /// What a browser that signed in before shows, so that strangers' failures do not lock its owner out.
    DeviceToken,
    "kd_"
);

routed!(SessionToken);
routed!(RefreshToken);
unrouted!(ServiceToken);
unrouted!(LinkToken);
unrouted!(DeviceToken);

struct Raw {
    random: [u8; RANDOM],
    routing: [u8; 2],
}

impl Raw {
    fn new(random: [u8; RANDOM], slot: Slot, routing: &RoutingKey) -> Self {
        Self { routing: routing.mask(slot, &random), random }
    }

    fn slot(&self, routing: &RoutingKey) -> Slot {
        routing.unmask(self.routing, &self.random)
    }

    fn checksum(prefix: &str, body: &[u8]) -> [u8; 4] {
        let mut crc = crc32fast::Hasher::new();
        crc.update(prefix.as_bytes());
        crc.update(body);
        crc.finalize().to_be_bytes()
    }

    fn parse(prefix: &str, text: &str) -> Result<Self, MalformedToken> {
        if text.len() != TOKEN_LENGTH {
            return Err(MalformedToken);
        }
        let encoded = text.strip_prefix(prefix).ok_or(MalformedToken)?;
        let mut payload = Zeroizing::new([0; PAYLOAD]);
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, payload.as_mut()).map_err(|_| MalformedToken)?;
        let (body, checksum) = payload.split_at(BODY);
        if length != PAYLOAD || checksum != Self::checksum(prefix, body) {
            return Err(MalformedToken);
        }
        let mut whole = Zeroizing::new([0; BODY]);
        whole.copy_from_slice(body);
        Ok(Self::split(&whole))
    }

    fn split(body: &[u8; BODY]) -> Self {
        let mut raw = Self { random: [0; RANDOM], routing: [0; 2] };
        let (random, routing) = body.split_at(RANDOM);
        raw.random.copy_from_slice(random);
        raw.routing.copy_from_slice(routing);
        raw
    }

    fn text(&self, prefix: &str) -> Zeroizing<String> {
        let mut payload = Zeroizing::new([0; PAYLOAD]);
        let (body, checksum) = payload.split_at_mut(BODY);
        let (random, routing) = body.split_at_mut(RANDOM);
        random.copy_from_slice(&self.random);
        routing.copy_from_slice(&self.routing);
        checksum.copy_from_slice(&Self::checksum(prefix, body));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX_LENGTH + TOKEN_LENGTH));
        text.push_str(prefix);
        URL_SAFE_NO_PAD.encode_string(payload.as_ref(), &mut text);
        text
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.random.zeroize();
        self.routing.zeroize();
    }
}

/// The text is not a token of the expected kind. Says no more, on purpose.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed token")]
pub struct MalformedToken;

#[cfg(test)]
mod tests;
