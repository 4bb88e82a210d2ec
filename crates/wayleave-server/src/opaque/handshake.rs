//! What the server remembers between the two halves of a login: a ticket that is taken once, for a minute at most, under
//! a random name (R111). It is bound to the account that the login began with. Any number of one account's logins go on
//! side by side; in all there are [`MOST`], and for one address as many as `rate_limits.login` lets begin in a minute.
//!
//! ```text
//! version 0x01 | account or zeroes (27) | epoch (8) | counter (32) | known device (1) | state (128)
//! ```
//!
//! Every one is of the same length, with and without an account.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use wayleave_core::ports::{AccountId, CounterKey, Deposit, Entropy, EntropyFailure, SessionStore, StoreError};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;
use wayleave_opaque::LoginState;
use zeroize::Zeroizing;

/// How long a login may take from its first half to its second.
pub const LIVES: Duration = Duration::from_secs(60);
/// Most logins of the deployment that are between their halves.
pub const MOST: u32 = 10_000;

const VERSION: u8 = 1;
const ACCOUNT: usize = 27;

/// The name of a login between its halves: 32 random bytes, in base64url. The store knows its SHA-256 alone.
pub struct LoginId([u8; 32]);

impl LoginId {
    /// Characters of one.
    pub const LENGTH: usize = 43;

    fn new(entropy: &dyn Entropy) -> Result<Self, EntropyFailure> {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes).map(|()| Self(bytes))
    }

    /// Reads one that a client sent back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = (text.len() == Self::LENGTH).then(|| URL_SAFE_NO_PAD.decode(text).ok()).flatten()?;
        bytes.try_into().ok().map(Self)
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn key(&self) -> [u8; 32] {
        Sha256::new_with_prefix("opaque login").chain_update(self.0).finalize().into()
    }
}

/// A login between its halves.
#[derive(Debug)]
pub struct Handshake {
    /// The account that it began with; `None` where there is none, which no client can finish.
    pub account: Option<AccountId>,
    /// The account's epoch when it began.
    pub epoch: u64,
    /// What it is counted under.
    pub counter: CounterKey,
    /// Whether the account knows the client.
    pub known_device: bool,
    /// What the protocol remembers.
    pub state: LoginState,
}

/// A handshake was not put down.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// There are as many as there may be.
    #[error("too many logins are under way")]
    TooMany,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
}

impl Handshake {
    /// Puts it down until `now` and [`LIVES`].
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub async fn deposit(
        &self,
        store: &dyn SessionStore,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<LoginId, HandshakeError> {
        let id = LoginId::new(entropy)?;
        let payload = self.encode().as_slice().into();
        let ticket = Ticket { purpose: Purpose::Handshake, key: id.key(), payload, expires_at: now.plus(LIVES) };
        match store.deposit(&ticket, MOST, now).await? {
            Deposit::Done => Ok(id),
            Deposit::Full => Err(HandshakeError::TooMany),
            // 256 bits that came before are no random bits.
            Deposit::Exists => Err(EntropyFailure.into()),
        }
    }

    /// Takes it, once; `None` when it is unknown, taken or too old.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer, or holds what cannot be read.
    pub async fn take(store: &dyn SessionStore, id: &LoginId, now: Timestamp) -> Result<Option<Self>, StoreError> {
        let Some(ticket) = store.take(Purpose::Handshake, id.key(), now).await? else { return Ok(None) };
        let payload = Zeroizing::new(ticket.payload.into_vec());
        Self::decode(&payload).map(Some).ok_or(StoreError::Corrupt(None))
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let Self { account, epoch, counter, known_device, state } = self;
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + ACCOUNT + 8 + 32 + 1 + LoginState::LENGTH));
        bytes.push(VERSION);
        match account {
            Some(account) => bytes.extend_from_slice(account.as_str().as_bytes()),
            None => bytes.extend_from_slice(&[0; ACCOUNT]),
        }
        bytes.extend_from_slice(&epoch.to_be_bytes());
        bytes.extend_from_slice(&counter.0);
        bytes.push(u8::from(*known_device));
        bytes.extend_from_slice(state.to_bytes().as_ref());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION], rest) = bytes.split_first_chunk()? else { return None };
        let (account, rest) = rest.split_first_chunk::<ACCOUNT>()?;
        let account = match account {
            [0, ..] => None,
            named => Some(AccountId::parse(std::str::from_utf8(named).ok()?)?),
        };
        let (epoch, rest) = rest.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (&[known_device], rest) = rest.split_first_chunk()?;
        Some(Self {
            account,
            epoch: u64::from_be_bytes(*epoch),
            counter: CounterKey(*counter),
            known_device: known_device != 0,
            state: LoginState::from_bytes(rest).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use wayleave_core::memory::{MemoryOptions, MemoryStore};
    use wayleave_testkit::SeededEntropy;

    use super::*;

    fn handshake(account: Option<AccountId>) -> Handshake {
        Handshake {
            account,
            epoch: 7,
            counter: CounterKey([3; 32]),
            known_device: true,
            state: LoginState::from_bytes(&[5; LoginState::LENGTH]).unwrap(),
        }
    }

    /// R110, R111: what is kept comes back once, under its own name and in its time, and is of one length.
    #[tokio::test]
    async fn a_handshake_is_taken_once_and_in_time() {
        let (store, entropy) = (MemoryStore::new(MemoryOptions::default()), SeededEntropy::new(1));
        let now = Timestamp::from_seconds(1_700_000_000);
        let mut lengths = Vec::new();
        for account in [Some(AccountId::new([9; 16])), None] {
            let held = handshake(account.clone());
            lengths.push(held.encode().len());
            let (id, late) = (
                held.deposit(&store, &entropy, now).await.unwrap(),
                held.deposit(&store, &entropy, now).await.unwrap(),
            );
            assert_eq!(id.reveal().len(), LoginId::LENGTH);
            let id = LoginId::parse(&id.reveal()).unwrap();
            let just = now.plus(LIVES).minus(Duration::from_millis(1));
            let taken = Handshake::take(&store, &id, just).await.unwrap().unwrap();
            assert_eq!(
                (taken.account, taken.epoch, taken.counter, taken.known_device),
                (account, 7, held.counter, true)
            );
            assert_eq!(taken.state.to_bytes(), held.state.to_bytes());
            assert!(Handshake::take(&store, &id, just).await.unwrap().is_none());
            assert!(Handshake::take(&store, &late, now.plus(LIVES)).await.unwrap().is_none());
        }
        assert_eq!(lengths[0], lengths[1]);
        assert_eq!(lengths[0], 197);
        for text in ["", "AAAA", &"A".repeat(42), &"A".repeat(44), &"=".repeat(43), &"_".repeat(43)] {
            assert!(LoginId::parse(text).is_none(), "{text}");
        }
    }

    /// R111, A56: there are so many at most. What is too old makes room.
    #[tokio::test]
    async fn handshakes_are_bounded() {
        let (store, entropy) = (MemoryStore::new(MemoryOptions::default()), SeededEntropy::new(1));
        let now = Timestamp::from_seconds(1_700_000_000);
        let held = handshake(None);
        let first = held.deposit(&store, &entropy, now).await.unwrap();
        for _ in 1..MOST {
            held.deposit(&store, &entropy, now.plus(Duration::from_secs(1))).await.unwrap();
        }
        let later = now.plus(Duration::from_secs(2));
        assert!(matches!(held.deposit(&store, &entropy, later).await, Err(HandshakeError::TooMany)));
        assert!(Handshake::take(&store, &first, later).await.unwrap().is_some(), "nobody's was dropped for it");
        held.deposit(&store, &entropy, later).await.unwrap();
        held.deposit(&store, &entropy, now.plus(LIVES + Duration::from_secs(1))).await.unwrap();
    }
}
