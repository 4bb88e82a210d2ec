//! One-time links: what they look like, and how those that set a new password are made and taken.
//!
//! The token stands behind the `#`, which browsers keep to themselves, so that no proxy, log or `Referer` on the way
//! ever sees it. Stores hold its SHA-256 alone.

use std::ops::Deref;
use std::time::Duration;

use wayleave_core::ports::{Account, AccountId, Accounts, Deposit, Entropy, EntropyFailure, SessionStore, StoreError};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;
use wayleave_core::token::LinkToken;
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::ApiError;

#[cfg(test)]
mod tests;

/// Most links for new passwords that wait to be used.
const MOST_RESETS: u32 = 10_000;
/// Most links for the first administrator that wait to be used: one for each of the last starts of the server.
const MOST_SETUPS: u32 = 16;

/// What a link is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Choosing a new password.
    PasswordReset,
    /// Making an account by invitation.
    Invitation,
    /// Making the first administrator.
    Setup,
}

impl LinkKind {
    /// The path of the page that takes the link.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::PasswordReset => "/reset",
            Self::Invitation => "/register",
            Self::Setup => "/setup",
        }
    }
}

/// `<public URL><path>#<token>`.
#[must_use]
pub fn url(kind: LinkKind, public_url: &str, token: &LinkToken) -> Zeroizing<String> {
    let (base, path, token) = (public_url.trim_end_matches('/'), kind.path(), token.reveal());
    let mut url = Zeroizing::new(String::with_capacity(base.len() + path.len() + 1 + token.len()));
    for part in [base, path, "#", &token] {
        url.push_str(part);
    }
    url
}

/// A new token for a link.
///
/// # Errors
/// [`EntropyFailure`] when there is no entropy.
pub fn new_token(entropy: &dyn Entropy) -> Result<LinkToken, EntropyFailure> {
    let mut random = Zeroizing::new([0; 34]);
    entropy.fill(random.as_mut())?;
    Ok(LinkToken::new(*random))
}

/// A link that was made, to be shown once.
pub struct Link {
    /// The whole address, token included.
    pub url: Zeroizing<String>,
    /// From then on it opens nothing.
    pub expires_at: Timestamp,
}

/// A link was not made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The store cannot take it, or has too many already.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
}

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Store(error) => error.into(),
            LinkError::Entropy(error) => error.into(),
        }
    }
}

/// Makes links whose tickets lie in the session store.
#[derive(Copy, Clone)]
pub struct Issuer<'a> {
    /// Where their tickets go.
    pub store: &'a dyn SessionStore,
    /// Where their tokens come from.
    pub entropy: &'a dyn Entropy,
    /// Where people reach the server: scheme, host and port.
    pub public_url: &'a str,
    /// Now.
    pub now: Timestamp,
}

impl<'a> Issuer<'a> {
    /// Makes links of a running server.
    #[must_use]
    pub fn of(app: &'a App) -> Self {
        Self { store: &*app.store, entropy: &*app.entropy, public_url: &app.options.public_url, now: app.now() }
    }

    /// A link that sets a new password for `account`. It is good once, for `lives`, and only as long as nothing else
    /// ends everything that the account has open: a new password, for example by another link.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn reset(&self, account: &Account, lives: Duration) -> Result<Link, LinkError> {
        let payload = Payload { epoch: account.epoch, account: account.id.clone() };
        self.issue(LinkKind::PasswordReset, Purpose::PasswordReset, payload.encode(), lives, MOST_RESETS).await
    }

    /// A link that makes the first administrator. It is good once, for `lives`.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn setup(&self, lives: Duration) -> Result<Link, LinkError> {
        self.issue(LinkKind::Setup, Purpose::Setup, Box::default(), lives, MOST_SETUPS).await
    }

    async fn issue(
        &self,
        kind: LinkKind,
        purpose: Purpose,
        payload: Box<[u8]>,
        lives: Duration,
        most: u32,
    ) -> Result<Link, LinkError> {
        let token = new_token(self.entropy)?;
        let expires_at = self.now.plus(lives);
        let ticket = Ticket { purpose, key: token.hash().0, payload, expires_at };
        match self.store.deposit(&ticket, most, self.now).await? {
            Deposit::Done => Ok(Link { url: url(kind, self.public_url, &token), expires_at }),
            Deposit::Full => Err(StoreError::Full.into()),
            // 256 bits that came before are no random bits.
            Deposit::Exists => Err(EntropyFailure.into()),
        }
    }
}

/// Makes a link that sets a new password for `account`, good for as long as the configuration says.
///
/// # Errors
/// [`LinkError`].
pub async fn issue_reset(app: &App, account: &Account) -> Result<Link, LinkError> {
    Issuer::of(app).reset(account, app.options.reset_link).await
}

/// A link for a new password that was taken: nobody else can take it. Reads as the account that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenReset {
    payload: Payload,
    expires_at: Timestamp,
}

impl Deref for TakenReset {
    type Target = AccountId;

    fn deref(&self) -> &AccountId {
        &self.payload.account
    }
}

/// Takes a link for a new password; `None` when it is unknown, used, expired or overtaken.
///
/// # Errors
/// [`StoreError`] when a store cannot answer.
pub async fn take_reset(app: &App, token: &LinkToken) -> Result<Option<TakenReset>, StoreError> {
    take(&*app.store, &*app.directory.accounts, token, app.now()).await
}

/// Puts a link back that was taken in vain. It ends when it would have ended anyway.
///
/// # Errors
/// [`StoreError`] when the store cannot take it.
pub async fn put_reset_back(app: &App, token: &LinkToken, taken: &TakenReset) -> Result<(), StoreError> {
    put_back(&*app.store, token, taken, app.now()).await
}

async fn take(
    store: &dyn SessionStore,
    accounts: &dyn Accounts,
    token: &LinkToken,
    now: Timestamp,
) -> Result<Option<TakenReset>, StoreError> {
    let Some(ticket) = store.take(Purpose::PasswordReset, token.hash().0, now).await? else {
        return Ok(None);
    };
    let payload = Payload::decode(&ticket.payload).ok_or(StoreError::Corrupt(None))?;
    let account = accounts.by_id(&payload.account).await?;
    let current = account.is_some_and(|account| account.epoch == payload.epoch);
    Ok(current.then_some(TakenReset { payload, expires_at: ticket.expires_at }))
}

async fn put_back(
    store: &dyn SessionStore,
    token: &LinkToken,
    taken: &TakenReset,
    now: Timestamp,
) -> Result<(), StoreError> {
    let TakenReset { payload, expires_at } = taken;
    if now >= *expires_at {
        return Ok(());
    }
    let ticket = Ticket {
        purpose: Purpose::PasswordReset,
        key: token.hash().0,
        payload: payload.encode(),
        expires_at: *expires_at,
    };
    match store.deposit(&ticket, MOST_RESETS, now).await? {
        Deposit::Done | Deposit::Exists => Ok(()),
        Deposit::Full => Err(StoreError::Full),
    }
}

/// What the ticket of a link for a new password says: `<epoch> <account>`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payload {
    epoch: u64,
    account: AccountId,
}

impl Payload {
    fn encode(&self) -> Box<[u8]> {
        format!("{} {}", self.epoch, self.account).into_bytes().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (epoch, account) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
        Some(Self { epoch: epoch.parse().ok()?, account: AccountId::parse(account)? })
    }
}
