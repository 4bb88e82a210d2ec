//! Making an account: by invitation, or freely where the deployment lets people.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use wayleave_core::ports::{EmailAddress, InsertAccount, Invitation};
use wayleave_core::time::Timestamp;
use wayleave_core::token::LinkToken;

use crate::access::Context;
use crate::accounts::{display_name, insert_account, new_account};
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
/// An address that is taken is answered like one that is not allowed, so that nobody learns who has an account.
#[utoipa::path(post, path = "/api/auth/register", tag = "account", security(()), request_body = RegisterRequest,
    responses((status = 201, body = Envelope<User>), (status = "default", body = ErrorBody)))]
pub async fn register(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<RegisterRequest>,
) -> Result<Response, ApiError> {
    let policy = app.policy.current();
    let needs_invitation = match policy.policy.registration {
        Registration::Closed => return Err(ApiError::new(ErrorCode::RegistrationClosed)),
        Registration::Invitation => true,
        Registration::Open => false,
    };
    let email: EmailAddress =
        request.email.parse().map_err(|_| ApiError::validation(&[("email", "an e-mail address")]))?;
    let name = display_name(&request.name)?;
    let password = password(&request.password)?;
    let invalid = || ApiError::new(ErrorCode::InvitationInvalid);
    let invitation = match request.invitation.as_deref().map(LinkToken::parse) {
        Some(Ok(token)) => Some(look_at(&app, token.hash().0, &email, app.now()).await?.ok_or_else(invalid)?),
        Some(Err(_)) => return Err(invalid()),
        None if needs_invitation => return Err(invalid()),
        None => None,
    };
    let permissions =
        invitation.as_ref().map_or_else(|| app.options.default_permissions.clone(), |found| found.permissions.clone());
    let account = new_account(&app, email, name, permissions)?;
    // Judged and hashed for a good invitation alone, and before it is spent: a weak password costs nothing.
    let credential = app.passwords.prepare(&account, password).await?;
    let taken = || {
        app.record(crate::audit::Entry { reason: Some("email_taken"), ..context.entry("user.register_refused") });
        ApiError::new(ErrorCode::RegistrationClosed)
    };
    if app.directory.accounts.by_email(&account.email).await?.is_some() {
        return Err(taken());
    }
    // Of all who hold the same one, one gets it. A crash right after this spends it for no account: somebody makes
    // another. The account itself comes into being with its password.
    if let Some(invitation) = &invitation {
        app.directory.invitations.take(invitation.key, app.now()).await?.ok_or_else(invalid)?;
    }
    match insert_account(&app.directory, &account, Some(&credential)).await? {
        InsertAccount::Done => {}
        InsertAccount::Exists => {
            // Somebody took the address at this very moment.
            if let Some(invitation) = &invitation {
                app.directory.invitations.insert(invitation).await?;
            }
            return Err(taken());
        }
    }
    app.record(crate::audit::Entry {
        subject: Some(format!("user:{}", account.id).into()),
        ..context.entry("user.registered")
    });
    Ok((http::StatusCode::CREATED, Envelope::new(User::of(&account))).into_response())
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
