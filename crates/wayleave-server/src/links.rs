//! One-time links: what they look like, and how those that set a new password are made and taken.
//!
//! The token stands behind the `#`, which browsers keep to themselves, so that no proxy, log or `Referer` on the way
//! ever sees it. Stores hold its SHA-256 alone.

use std::time::Duration;

use wayleave_core::authentication::Method;
use wayleave_core::ports::{
    Account, AccountId, Accounts, Credentials, Deposit, Entropy, EntropyFailure, SessionStore, StoreError,
};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;
use wayleave_core::token::LinkToken;
use zeroize::Zeroizing;

use crate::access::administers;
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

    /// A link that sets a new password for `account`. It is good once, for `lives`, and only as long as the account has
    /// the password that was set at `set_at`, or none, nothing else ends everything that it has open, and `maker` may
    /// still administer; the command line is no account and always may.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn reset(&self, account: &Account, order: ResetOrder<'_>) -> Result<Link, LinkError> {
        let ResetOrder { set_at, maker, lives } = order;
        let payload = Payload { account: account.id.clone(), epoch: account.epoch, set_at, maker: maker.cloned() };
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

/// What a link for a new password is bound to.
#[derive(Copy, Clone)]
pub struct ResetOrder<'a> {
    /// When the password in force was set; `None` where there is none.
    pub set_at: Option<Timestamp>,
    /// The account that makes it; `None` for the command line.
    pub maker: Option<&'a AccountId>,
    /// How long it is good.
    pub lives: Duration,
}

/// Makes a link that sets a new password for `account`, good for as long as the configuration says.
///
/// # Errors
/// [`LinkError`].
pub async fn issue_reset(app: &App, account: &Account, maker: Option<&AccountId>) -> Result<Link, LinkError> {
    let set_at = set_at(&*app.directory.credentials, &account.id).await?;
    Issuer::of(app).reset(account, ResetOrder { set_at, maker, lives: app.options.reset_link }).await
}

/// A link for a new password that was taken: nobody else can take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenReset {
    payload: Payload,
    expires_at: Timestamp,
}

impl TakenReset {
    /// The account that it is for.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.payload.account
    }

    /// The epoch that the account had, and still has.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.payload.epoch
    }

    /// When its password was set, if it has one.
    #[must_use]
    pub const fn set_at(&self) -> Option<Timestamp> {
        self.payload.set_at
    }
}

/// Takes a link for a new password; `None` when it is unknown, used, expired, overtaken, or of somebody who may not
/// make one any more.
///
/// # Errors
/// [`StoreError`] when a store cannot answer.
pub async fn take_reset(app: &App, token: &LinkToken) -> Result<Option<TakenReset>, StoreError> {
    let people = People { accounts: &*app.directory.accounts, credentials: &*app.directory.credentials };
    take(&*app.store, people, token, app.now()).await
}

/// Puts a link back that was taken in vain. It ends when it would have ended anyway.
///
/// # Errors
/// [`StoreError`] when the store cannot take it.
pub async fn put_reset_back(app: &App, token: &LinkToken, taken: &TakenReset) -> Result<(), StoreError> {
    put_back(&*app.store, token, taken, app.now()).await
}

/// Whether what `maker` handed out is still good: while they may administer, since that is what it takes to hand it
/// out. `None` is the command line.
///
/// # Errors
/// [`StoreError`] when the store cannot answer.
pub async fn may_still_grant(accounts: &dyn Accounts, maker: Option<&AccountId>) -> Result<bool, StoreError> {
    let Some(maker) = maker else { return Ok(true) };
    Ok(accounts.by_id(maker).await?.is_some_and(|maker| administers(&maker)))
}

async fn set_at(credentials: &dyn Credentials, account: &AccountId) -> Result<Option<Timestamp>, StoreError> {
    Ok(credentials.find(account, Method::Password).await?.map(|credential| credential.changed_at))
}

#[derive(Copy, Clone)]
struct People<'a> {
    accounts: &'a dyn Accounts,
    credentials: &'a dyn Credentials,
}

async fn take(
    store: &dyn SessionStore,
    people: People<'_>,
    token: &LinkToken,
    now: Timestamp,
) -> Result<Option<TakenReset>, StoreError> {
    let Some(ticket) = store.take(Purpose::PasswordReset, token.hash().0, now).await? else {
        return Ok(None);
    };
    let payload = Payload::decode(&ticket.payload).ok_or(StoreError::Corrupt(None))?;
    let Payload { account, epoch, set_at: bound_to, maker } = &payload;
    let held = people.accounts.by_id(account).await?;
    let current = held.is_some_and(|account| account.epoch == *epoch && !account.disabled)
        && set_at(people.credentials, account).await? == *bound_to
        && may_still_grant(people.accounts, maker.as_ref()).await?;
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

/// What the ticket of a link for a new password says: `<account> <epoch> <set at> <maker>`, where `-` is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payload {
    account: AccountId,
    epoch: u64,
    set_at: Option<Timestamp>,
    maker: Option<AccountId>,
}

impl Payload {
    fn encode(&self) -> Box<[u8]> {
        let Self { account, epoch, set_at, maker } = self;
        let set_at = set_at.map_or_else(|| "-".to_owned(), |at| at.as_millis().to_string());
        let maker = maker.as_ref().map_or("-", AccountId::as_str);
        format!("{account} {epoch} {set_at} {maker}").into_bytes().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.split(' ');
        let account = AccountId::parse(parts.next()?)?;
        let epoch = parts.next()?.parse().ok()?;
        let set_at = match parts.next()? {
            "-" => None,
            millis => Some(Timestamp::from_millis(millis.parse().ok()?)),
        };
        let maker = match parts.next()? {
            "-" => None,
            maker => Some(AccountId::parse(maker)?),
        };
        parts.next().is_none().then_some(Self { account, epoch, set_at, maker })
    }
}
