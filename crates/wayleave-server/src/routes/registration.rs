//! Making an account: by invitation, or freely where the deployment lets people.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use wayleave_core::lockout::{Reservation, Rule};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Account, CounterKey, EmailAddress, InsertAccount, Invitation, StoreError};
use wayleave_core::time::Timestamp;
use wayleave_core::token::LinkToken;

use crate::access::Context;
use crate::accounts::{Secret, display_name, insert_account, new_account};
use crate::app::App;
use crate::config::Registration;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::links::may_still_grant;
use crate::wire::{Envelope, ErrorBody, User};

use super::password::password;

/// Somebody's wish for an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// What the account will be called.
    #[schema(max_length = 254, example = "ann@example.com")]
    email: String,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    password: String,
    /// What to call the person.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// From the invitation's link, where one is needed.
    #[schema(max_length = 64)]
    invitation: Option<String>,
}

/// Makes an account, if the deployment lets people make their own: by invitation, or freely. Signing in comes after.
///
/// An address that is taken is answered like one that is not allowed, and counts as a failed sign-in. After three of
/// them an invitation is spent: whoever holds one can find out about so many addresses and no more.
#[utoipa::path(post, path = "/api/auth/register", tag = "account", security(()), request_body = RegisterRequest,
    responses((status = 201, body = Envelope<User>), (status = "default", body = ErrorBody)))]
pub async fn register(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<RegisterRequest>,
) -> Result<Response, ApiError> {
    let admitted = admit(&app, &context, &request.email, request.invitation.as_deref()).await?;
    let name = display_name(&request.name)?;
    let password = password(&request.password)?;
    let account = new_account(&app, admitted.email.clone(), name, admitted.permissions(&app))?;
    // Judged and hashed for a good invitation alone, and before it is spent: a weak password costs nothing.
    let secret = Secret::Password(app.passwords.prepare(&account, password).await?);
    make(&app, &context, admitted, account, &secret).await
}

/// Somebody who may make an account with this address.
pub(super) struct Admitted {
    pub(super) email: EmailAddress,
    invitation: Option<Invitation>,
}

impl Admitted {
    /// What the account may do.
    pub(super) fn permissions(&self, app: &App) -> Permissions {
        let invitation = self.invitation.as_ref();
        invitation.map_or_else(|| app.options.default_permissions.clone(), |found| found.permissions.clone())
    }
}

/// Whether somebody may make an account, by whatever they will prove themselves with. The invitation is left where it is.
///
/// # Errors
/// 403 where nobody may; 400 without a good invitation where one is needed, and with a bad one anywhere; 422 for what is
/// no address; 429 while too many attempts fail.
pub(super) async fn admit(
    app: &App,
    context: &Context,
    email: &str,
    invitation: Option<&str>,
) -> Result<Admitted, ApiError> {
    let needs_invitation = match app.policy.current().policy.registration {
        Registration::Closed => return Err(ApiError::new(ErrorCode::RegistrationClosed)),
        Registration::Invitation => true,
        Registration::Open => false,
    };
    if let Some(failed) = &app.failed_attempts {
        failed.look(context.client)?;
    }
    let email: EmailAddress = email.parse().map_err(|_| ApiError::validation(&[("email", "an e-mail address")]))?;
    let invitation = match invitation.map(LinkToken::parse) {
        Some(Ok(token)) => Some(look_at(app, token.hash().0, &email, app.now()).await?.ok_or_else(invalid)?),
        Some(Err(_)) => return Err(invalid()),
        None if needs_invitation => return Err(invalid()),
        None => None,
    };
    Ok(Admitted { email, invitation })
}

/// Makes the account of somebody who was admitted; its invitation is spent.
///
/// # Errors
/// As [`admit`], and what is said of an address that has an account already.
pub(super) async fn make(
    app: &App,
    context: &Context,
    admitted: Admitted,
    account: Account,
    secret: &Secret,
) -> Result<Response, ApiError> {
    let Admitted { email: _, invitation } = admitted;
    if app.directory.accounts.by_email(&account.email).await?.is_some() {
        return Err(taken(app, context, invitation.as_ref()).await?);
    }
    // Of all who hold the same one, one gets it. A crash right after this spends it for no account: somebody makes
    // another. The account itself comes into being with its secret.
    if let Some(found) = &invitation {
        let taken = app.directory.invitations.take(found.key, app.now()).await?.ok_or_else(invalid)?;
        // Time has passed, in which whoever invited may have been demoted.
        if !may_still_grant(&*app.directory.accounts, taken.created_by.as_ref()).await? {
            return Err(invalid());
        }
    }
    match insert_account(&app.directory, &account, Some(secret)).await? {
        InsertAccount::Done => {}
        InsertAccount::Exists => {
            // Somebody took the address at this very moment.
            if let Some(invitation) = &invitation {
                app.directory.invitations.insert(invitation).await?;
            }
            return Err(taken(app, context, invitation.as_ref()).await?);
        }
    }
    app.record(crate::audit::Entry {
        subject: Some(format!("user:{}", account.id).into()),
        ..context.entry("user.registered")
    });
    Ok((http::StatusCode::CREATED, Envelope::new(User::of(&account))).into_response())
}

fn invalid() -> ApiError {
    ApiError::new(ErrorCode::InvitationInvalid)
}

/// What is said of an address that has an account already. It counts as a failed sign-in, and against the invitation.
async fn taken(app: &App, context: &Context, invitation: Option<&Invitation>) -> Result<ApiError, StoreError> {
    app.record(crate::audit::Entry { reason: Some("email_taken"), ..context.entry("user.register_refused") });
    if let Some(failed) = &app.failed_attempts {
        failed.count(context.client);
    }
    let Some(invitation) = invitation else { return Ok(ApiError::new(ErrorCode::RegistrationClosed)) };
    match count_try(app, invitation).await? {
        Try::Counted => Ok(ApiError::new(ErrorCode::RegistrationClosed)),
        Try::Last => {
            app.directory.invitations.withdraw(invitation.key).await?;
            app.record(context.entry("invitation.spent"));
            Ok(ApiError::new(ErrorCode::RegistrationClosed))
        }
        // Many asked at once: the others learn no more than of an invitation that is gone.
        Try::TooMany => Ok(ApiError::new(ErrorCode::InvitationInvalid)),
    }
}

/// How many taken addresses an invitation may be tried with: so many addresses can its holder find out about.
const TRIES: u8 = 3;

enum Try {
    Counted,
    Last,
    TooMany,
}

/// Counts a taken address against an invitation, for as long as that lives.
async fn count_try(app: &App, invitation: &Invitation) -> Result<Try, StoreError> {
    let now = app.now();
    let lives = invitation.expires_at.since(now);
    // One counter for each try, since only one that is locked is remembered until the lock's end.
    let rule = Rule { attempts: 1, window: lives, lock: lives };
    for number in 1..=TRIES {
        let key = Sha256::new_with_prefix("try of an invitation").chain_update([number]).chain_update(invitation.key);
        match app.directory.counters.reserve(CounterKey(key.finalize().into()), rule, now).await? {
            Reservation::Granted { .. } if number < TRIES => return Ok(Try::Counted),
            Reservation::Granted { .. } => return Ok(Try::Last),
            Reservation::Locked { until: _ } => {}
        }
    }
    Ok(Try::TooMany)
}

/// The invitation that `key` opens for `email`, left where it is; `None` when it is unknown, spent, expired, for
/// somebody else, or of somebody who may not invite any more.
async fn look_at(
    app: &App,
    key: [u8; 32],
    email: &EmailAddress,
    now: Timestamp,
) -> Result<Option<Invitation>, ApiError> {
    let Some(invitation) = app.directory.invitations.find(key, now).await? else { return Ok(None) };
    let theirs = invitation.email.as_ref().is_none_or(|bound| bound == email);
    let good = theirs && may_still_grant(&*app.directory.accounts, invitation.created_by.as_ref()).await?;
    Ok(good.then_some(invitation))
}
