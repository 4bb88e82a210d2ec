//! Single-use things: challenges, handshakes, links. Deposited once, taken at most once.

use crate::time::Timestamp;

/// Most bytes a ticket may carry.
pub const MAX_PAYLOAD: usize = 4096;

/// What a ticket is good for. One purpose never serves for another (R006).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A text to sign with a wallet, or to prove in zero knowledge.
    Challenge,
    /// What the server remembers between the two halves of an OPAQUE exchange.
    Handshake,
    /// Opens one WebSocket.
    WebSocket,
    /// Makes the first administrator.
    Setup,
    /// Sets a new password.
    PasswordReset,
    /// A proof that must not be seen twice.
    Replay,
    /// What a store remembers of itself; nobody takes it.
    Mark,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 7] =
        [Self::Challenge, Self::Handshake, Self::WebSocket, Self::Setup, Self::PasswordReset, Self::Replay, Self::Mark];

    /// The name that stores use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Handshake => "handshake",
            Self::WebSocket => "websocket",
            Self::Setup => "setup",
            Self::PasswordReset => "password-reset",
            Self::Replay => "replay",
            Self::Mark => "mark",
        }
    }
}

/// Something that can be taken once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What for.
    pub purpose: Purpose,
    /// The SHA-256 of the secret that takes it.
    pub key: [u8; 32],
    /// What the taker gets; at most [`MAX_PAYLOAD`] bytes. Sealed by whoever deposits it, where it is secret.
    pub payload: Box<[u8]>,
    /// From then on it cannot be taken.
    pub expires_at: Timestamp,
}

impl Ticket {
    /// Whether the payload keeps to [`MAX_PAYLOAD`]. Stores take nothing else in.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.payload.len() <= MAX_PAYLOAD
    }
}
