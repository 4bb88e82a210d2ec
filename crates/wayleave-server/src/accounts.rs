//! Making and changing accounts, for handlers and commands alike.

use wayleave_core::authentication::Method;
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{
    Account, AccountChange, AccountId, Credential, EmailAddress, Exchange, Exchanged, InsertAccount, Rewrapped,
    StoreError,
};
use wayleave_core::record::Revision;
use wayleave_core::subject::{Namespace, Subject};
use wayleave_core::time::Timestamp;

use crate::access::Context;
use crate::app::{App, Directory};
use crate::error::{ApiError, ErrorCode};
use crate::shared::{self, Shared};
use crate::text;

/// An account that nobody has yet.
///
/// # Errors
/// 500 when there is no entropy.
pub fn new_account(
    app: &App,
    email: EmailAddress,
    name: Box<str>,
    permissions: Permissions,
) -> Result<Account, ApiError> {
    let mut random = [0; 16];
    app.entropy.fill(&mut random)?;
    let now = app.now();
    Ok(Account {
        id: AccountId::new(random),
        email,
        name,
        role: Box::from(DEFAULT_ROLE),
        phone: None,
        labels: Vec::new(),
        avatar: None,
        permissions,
        disabled: false,
        must_change_password: false,
        epoch: 0,
        created_at: now,
        updated_at: now,
        last_sign_in_at: None,
        revision: Revision::default(),
    })
}

/// The role of an account that nobody gave one.
pub const DEFAULT_ROLE: &str = "Personel";

/// A name to call somebody by.
///
/// # Errors
/// 422 when it is empty, longer than 200 characters, or has characters that do not show.
pub fn display_name(text: &str) -> Result<Box<str>, ApiError> {
    text::line(text, 200)
        .ok_or_else(|| ApiError::validation(&[("name", "1 to 200 characters, none of them control characters")]))
}

/// What an account proves itself with.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The hash of a password.
    Password(Credential),
    /// An OPAQUE enrolment.
    Opaque(Credential),
}

impl Secret {
    const fn method(&self) -> Method {
        match self {
            Self::Password(_) => Method::Password,
            Self::Opaque(_) => Method::Opaque,
        }
    }

    /// The method that it takes the place of, besides its own.
    const fn supersedes(&self) -> Method {
        match self {
            Self::Password(_) => Method::Opaque,
            Self::Opaque(_) => Method::Password,
        }
    }

    const fn credential(&self) -> &Credential {
        match self {
            Self::Password(credential) | Self::Opaque(credential) => credential,
        }
    }
}

/// A secret that takes the place of another, and the key that is wrapped beside it.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The secret.
    pub secret: Secret,
    /// The key, and which one it takes the place of; `None` where there is none.
    pub wrapped_key: Option<Rewrapped>,
}

impl From<Secret> for Replacement {
    fn from(secret: Secret) -> Self {
        Self { secret, wrapped_key: None }
    }
}

/// Adds an account and its secret, if it has one.
///
/// The secret comes first: a crash in between leaves one that belongs to nobody, never an account that has an
/// address and no way in.
///
/// # Errors
/// [`StoreError`] when the store cannot answer.
pub async fn insert_account(
    directory: &Directory,
    account: &Account,
    secret: Option<&Secret>,
) -> Result<InsertAccount, StoreError> {
    if let Some(secret) = secret {
        directory.credentials.set(&account.id, secret.method(), secret.credential()).await?;
    }
    let inserted = directory.accounts.insert(account).await?;
    match (inserted, secret) {
        (InsertAccount::Exists, Some(secret)) => {
            directory.credentials.remove(&account.id, secret.method()).await?;
        }
        (InsertAccount::Done, _) | (InsertAccount::Exists, None) => {}
    }
    Ok(inserted)
}

/// Changes an account by compare-and-set, trying again when somebody else was first. Where that changes how its subject
/// stands, it is to be done by [`shared::change`].
///
/// # Errors
/// 404 when it is gone, 409 when its e-mail address is taken or too many change it at once.
pub async fn change_account(
    app: &App,
    id: &AccountId,
    mut change: impl FnMut(&mut Account) + Send,
) -> Result<Account, ApiError> {
    let changed = change_account_if(app, id, |account| {
        change(account);
        true
    });
    changed.await?.ok_or_else(|| ApiError::new(ErrorCode::Conflict))
}

/// As [`change_account`], unless `change` says that it must not be; `None` then.
///
/// # Errors
/// As [`change_account`].
pub async fn change_account_if(
    app: &App,
    id: &AccountId,
    mut change: impl FnMut(&mut Account) -> bool + Send,
) -> Result<Option<Account>, ApiError> {
    for _ in 0..8 {
        let Some(mut account) = app.directory.accounts.by_id(id).await? else {
            return Err(ApiError::new(ErrorCode::NotFound));
        };
        if !change(&mut account) {
            return Ok(None);
        }
        match app.directory.accounts.update(&account).await? {
            AccountChange::Done(revision) => {
                account.revision = revision;
                return Ok(Some(account));
            }
            AccountChange::Missing => return Err(ApiError::new(ErrorCode::NotFound)),
            AccountChange::EmailTaken => return Err(ApiError::new(ErrorCode::EmailTaken)),
            AccountChange::Conflict => {}
        }
    }
    Err(ApiError::new(ErrorCode::Conflict))
}

/// An account and its secret as they stood when somebody proved to be its owner.
#[derive(Clone, Debug)]
pub struct Proved {
    /// The account.
    pub account: AccountId,
    /// Its epoch.
    pub epoch: u64,
    /// When its secret of the kind that is to be replaced was set, if it has one.
    pub set_at: Option<Timestamp>,
}

/// What becomes of the sessions that were opened with the secret before.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// They end.
    Ends,
    /// They go on.
    Stays,
}

/// Puts `new` in the place of the secret that `proved` is about, and of one of the other kind; `None` when the account or
/// its secret has moved since, so that of several who change it at once one succeeds, and an old secret never overwrites
/// a reset. The same when the key that is wrapped beside the secret is not the one that `wrapped_key` says: so none is lost.
///
/// The account's epoch moves first, and only from where the proof found it: from then on nothing that was opened or
/// handed out before is good. Then the secret is exchanged, and only for the one that was proved: in one step it comes, with
/// the key beside it, and the one of the other kind goes. Then the epoch moves once more, for whoever came in by the old
/// secret between the two. A crash in between has ended sessions, and leaves the old secret or the new one.
///
/// # Errors
/// 503 when the store cannot answer, 409 when too many change the account at once.
pub async fn replace_secret(
    app: &App,
    proved: &Proved,
    before: Before,
    new: Replacement,
) -> Result<Option<Account>, ApiError> {
    let Proved { account: id, epoch, set_at } = proved;
    let subject = Subject::new(Namespace::User, id.as_str()).map_err(StoreError::corrupt)?;
    let claimed = match before {
        Before::Ends => {
            let claim = change_account_if(app, id, |account| {
                let current = account.epoch == *epoch && !account.disabled;
                account.epoch += 1;
                current
            });
            shared::change(app, Shared::Subject(&subject), claim).await?
        }
        Before::Stays => app.directory.accounts.by_id(id).await?.filter(|account| account.epoch == *epoch),
    };
    let Some(claimed) = claimed.filter(|account| !account.disabled) else { return Ok(None) };
    let Replacement { secret, wrapped_key } = new;
    let (method, supersedes) = (secret.method(), Some(secret.supersedes()));
    let (Secret::Password(credential) | Secret::Opaque(credential)) = secret;
    let exchange = Exchange { method, set_at: *set_at, credential, supersedes, wrapped_key };
    match app.passwords.exchange(id, exchange).await? {
        Exchanged::Done => {}
        Exchanged::Moved | Exchanged::KeyMoved => return Ok(None),
    }
    // Whoever demanded a change since demanded another one.
    let settled = change_account(app, id, |account| {
        if account.epoch == claimed.epoch {
            account.must_change_password = false;
        }
        match before {
            Before::Ends => account.epoch += 1,
            Before::Stays => {}
        }
    });
    Ok(Some(shared::change(app, Shared::Subject(&subject), settled).await?))
}

/// The account of the request's session.
///
/// # Errors
/// 403 where the session belongs to no account.
pub async fn own_account(app: &App, context: &Context) -> Result<Account, ApiError> {
    let id = context
        .session()?
        .subject()
        .and_then(AccountId::of_subject)
        .ok_or_else(|| ApiError::new(ErrorCode::PermissionDenied))?;
    app.directory.accounts.by_id(&id).await?.ok_or_else(|| ApiError::new(ErrorCode::SessionInvalid))
}
