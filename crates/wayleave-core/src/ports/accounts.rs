//! Accounts, their credentials, and the devices that know them.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use super::{KeyTag, Rewrapped, StoreError, Wrap, WrappedKey};
use crate::authentication::Method;
use crate::permission::Permissions;
use crate::record::Revision;
use crate::subject::Subject;
use crate::time::Timestamp;

/// The name of an account inside `user:` subjects: `user_` + 22 characters of base64url. Never given out again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Box<str>);

impl AccountId {
    /// A new id from 16 bytes of entropy.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        use base64::Engine as _;
        Self(format!("user_{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random)).into())
    }

    /// Reads an id that a store or a client gave.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("user_")?;
        let well_formed =
            rest.len() == 22 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        well_formed.then(|| Self(text.into()))
    }

    /// The account that a `user:` subject is.
    #[must_use]
    pub fn of_subject(subject: &Subject) -> Option<Self> {
        match subject.namespace() {
            crate::subject::Namespace::User => Self::parse(subject.name()),
            crate::subject::Namespace::Ethereum
            | crate::subject::Namespace::InternetComputer
            | crate::subject::Namespace::External
            | crate::subject::Namespace::ZeroKnowledge => None,
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An e-mail address as it is typed to sign in: trimmed and lower-cased once, so that no two spellings are two
/// accounts (R114).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress(Box<str>);

impl EmailAddress {
    /// Longest address, in bytes (RFC 5321 section 4.5.3.1.3).
    pub const MAX: usize = 254;

    /// The normalised text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim().to_lowercase();
        let (local, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'));
        if text.len() > Self::MAX || local.is_empty() || local.contains('@') || domain.is_empty() || !clean {
            return Err(InvalidEmail);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not an e-mail address.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmail;

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name for ever.
    pub id: AccountId,
    /// What is typed to sign in; unique.
    pub email: EmailAddress,
    /// What to call the person.
    pub name: Box<str>,
    /// A job title for display. It grants nothing.
    pub role: Box<str>,
    /// Telephone number, as entered.
    pub phone: Option<Box<str>>,
    /// Free labels.
    pub labels: Vec<Box<str>>,
    /// Address of a picture.
    pub avatar: Option<Box<str>>,
    /// The most that the person's sessions may do.
    pub permissions: Permissions,
    /// Whether signing in is off.
    pub disabled: bool,
    /// Whether the next thing to do is to choose a new password.
    pub must_change_password: bool,
    /// Grows when everything opened before must end.
    pub epoch: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When somebody last signed in to it.
    pub last_sign_in_at: Option<Timestamp>,
    /// Counts changes.
    pub revision: Revision,
}

impl Account {
    /// The subject of its sessions.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        Subject::new(crate::subject::Namespace::User, self.id.as_str()).ok()
    }
}

/// What became of a new account.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum InsertAccount {
    /// It is in.
    Done,
    /// Its id or its e-mail address exists already.
    Exists,
}

/// What became of a change.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AccountChange {
    /// It was made; the revision now.
    Done(Revision),
    /// Somebody else was first.
    Conflict,
    /// There is no such account.
    Missing,
    /// Another account has that e-mail address.
    EmailTaken,
}

/// Keeps accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Adds an account. Never overwrites.
    async fn insert(&self, account: &Account) -> Result<InsertAccount, StoreError>;

    /// The account with this id.
    async fn by_id(&self, id: &AccountId) -> Result<Option<Account>, StoreError>;

    /// The account with this e-mail address.
    async fn by_email(&self, email: &EmailAddress) -> Result<Option<Account>, StoreError>;

    /// Changes an account if it still has `account.revision`. `id` and `created_at` stay, `epoch` never falls.
    async fn update(&self, account: &Account) -> Result<AccountChange, StoreError>;

    /// Accounts in the order of their ids, after `after`, at most `most` (1 to 1000), whose e-mail address or name
    /// contains `search` (case-insensitive in ASCII).
    async fn list(
        &self,
        search: Option<&str>,
        after: Option<&AccountId>,
        most: u32,
    ) -> Result<Vec<Account>, StoreError>;

    /// Whether an enabled account holds `permission`.
    async fn anybody_holds(&self, permission: &str) -> Result<bool, StoreError>;

    /// How many accounts there are.
    async fn count(&self) -> Result<u64, StoreError>;
}

/// What an account proves itself with, for one method.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// A PHC string, an OPAQUE record, a key. Sealed at rest.
    pub secret: Box<[u8]>,
    /// When it was set.
    pub changed_at: Timestamp,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("changed_at", &self.changed_at).finish_non_exhaustive()
    }
}

/// A credential that takes the place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its method.
    pub method: Method,
    /// When the one of this method was set whose place it takes; `None` for where there is none.
    pub set_at: Option<Timestamp>,
    /// What takes its place.
    pub credential: Credential,
    /// The method whose credential goes, if there is one, with the key beside it.
    pub supersedes: Option<Method>,
    /// The key beside it from now on; `None` for none, where there is none. So a key that is there is never lost for being
    /// forgotten.
    pub wrapped_key: Option<Rewrapped>,
}

impl Exchange {
    /// One that supersedes no other method and brings no key.
    #[must_use]
    pub const fn plain(method: Method, set_at: Option<Timestamp>, credential: Credential) -> Self {
        Self { method, set_at, credential, supersedes: None, wrapped_key: None }
    }

    /// The tag of the key that must be beside the credential in force.
    #[must_use]
    pub fn expected_key(&self) -> Option<KeyTag> {
        self.wrapped_key.as_ref().and_then(|rewrapped| rewrapped.replaces)
    }
}

/// What became of an exchange. Unless it was done, nothing changed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Exchanged {
    /// It was done.
    Done,
    /// The credential in force is not the one that was named.
    Moved,
    /// It is; the key beside it is not the one that was named.
    KeyMoved,
}

/// Keeps credentials, apart from accounts, so that no listing of people ever reads one.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The account's credential for `method`.
    async fn find(&self, account: &AccountId, method: Method) -> Result<Option<Credential>, StoreError>;

    /// Sets it, whether there is one or not. A key that was wrapped beside the one before goes.
    async fn set(&self, account: &AccountId, method: Method, credential: &Credential) -> Result<(), StoreError>;

    /// Puts `secret` in the place of the one that was set at `set_at`, and keeps that time and the key beside it: for another form of the
    /// same secret, such as a hash at other parameters. `false`, and nothing changed, when the credential was set again
    /// meanwhile or is gone; so one that is [`Self::set`] at another time is never undone by this.
    async fn replace(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Timestamp,
        secret: &[u8],
    ) -> Result<bool, StoreError>;

    /// Puts one credential in the place of others, and the key beside it in the place of theirs, in one step; see
    /// [`Exchange`]. The account may come later. Of any number of callers that name the same time exactly one succeeds, as
    /// long as each brings a later one.
    async fn exchange(&self, account: &AccountId, exchange: &Exchange) -> Result<Exchanged, StoreError>;

    /// Removes it, with the key beside it; whether there was one.
    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError>;

    /// The key that is wrapped beside the account's credential for `method`.
    async fn wrapped_key(&self, account: &AccountId, method: Method) -> Result<Option<WrappedKey>, StoreError>;

    /// Puts a wrapped key beside the account's credential for `method`, in the place of the one that is said to be there.
    async fn wrap(&self, account: &AccountId, method: Method, key: &Rewrapped) -> Result<Wrap, StoreError>;
}

/// A browser that signed in to an account before, and so is not locked out by strangers' failures (R101).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// The SHA-256 of the secret in its cookie.
    pub key: [u8; 32],
    /// From then on it is a stranger.
    pub expires_at: Timestamp,
}

/// Keeps known devices. Those that have expired may be removed at any time.
#[async_trait]
pub trait KnownDevices: Send + Sync {
    /// Adds `device`, dropping `replaces`, expired ones, and the oldest past `most`.
    async fn remember(
        &self,
        account: &AccountId,
        device: &KnownDevice,
        replaces: Option<[u8; 32]>,
        most: u32,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Whether the account knows the device.
    async fn knows(&self, account: &AccountId, key: [u8; 32], now: Timestamp) -> Result<bool, StoreError>;

    /// Forgets all devices of the account.
    async fn forget_all(&self, account: &AccountId) -> Result<(), StoreError>;
}
