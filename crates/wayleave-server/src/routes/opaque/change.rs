//! Changing one's own account to OPAQUE, from a password or from another OPAQUE password.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use wayleave::events::Cause;
use wayleave_core::authentication::Method;
use wayleave_core::ports::{AccountId, Rewrapped};
use wayleave_opaque::RegistrationRequest;
use wayleave_password::Admission;
use wayleave_web::cookies::put_cookie;

use super::{RegistrationStarted, Stretching, enrolled, evaluate, message, opaque, record};
use crate::access::Context;
use crate::accounts::{Before, Proved, Replacement, own_account, replace_secret};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::routes::sign_in::locked;
use crate::routes::vault::key::{note_rewrapped, wrapped_key};
use crate::vault::{Right, VaultAccess};
use crate::wire::{Done, Envelope, ErrorBody};

/// The first half of a change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpaqueChangeStart {
    /// The client's request: 32 bytes in base64url.
    #[schema(min_length = 43, max_length = 43)]
    request: String,
}

/// Begins to register the account behind the session for OPAQUE (RFC 9807). Counts as a failed step-up until the change
/// is finished. Nothing changes yet.
#[utoipa::path(post, path = "/api/auth/opaque/change/start", operation_id = "opaque_change_start", tag = "account",
    security(("session" = []), ("bearer" = [])), request_body = OpaqueChangeStart,
    responses((status = 200, body = Envelope<RegistrationStarted>), (status = "default", body = ErrorBody)))]
pub async fn start(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<OpaqueChangeStart>,
) -> Result<Envelope<RegistrationStarted>, ApiError> {
    let opaque = opaque(&app)?;
    let blinded = message("request", &request.request, RegistrationRequest::parse)?;
    let account = own_account(&app, &context).await?;
    match app.passwords.admit_step_up(&account.id).await? {
        Admission::Counted(_) => {}
        Admission::Locked { until } => return Err(locked(&app, until.since(app.now()))),
        // Of step-ups nobody is.
        Admission::TurnedAway => return Err(ApiError::new(ErrorCode::RateLimited)),
    }
    evaluate(&app, opaque, blinded, &account.email).await.map(Envelope::new)
}

/// The second half of a change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpaqueChangeFinish {
    /// The client's record: 192 bytes in base64url.
    #[schema(min_length = 256, max_length = 256)]
    upload: String,
    /// What the record was made with: as the first half said.
    key_stretching: Stretching,
    /// The vault's key, wrapped anew by what the record's export key yields. Where the account has one it must come along,
    /// from a session that holds the vault open to write.
    #[serde(default)]
    wrapped_key: Option<RewrappedKey>,
}

/// A key that is wrapped anew.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RewrappedKey {
    /// 1 to 1024 bytes in base64url without padding.
    #[schema(min_length = 2, max_length = 1366)]
    key: String,
    /// The `ETag` of the one that it takes the place of, without its quotes; none where there is none yet.
    #[serde(default)]
    #[schema(min_length = 32, max_length = 32)]
    replaces: Option<String>,
}

impl RewrappedKey {
    fn read(&self) -> Result<Rewrapped, ApiError> {
        let key = wrapped_key("wrapped_key", &self.key)?;
        let replaces = self.replaces.as_deref().map(str::parse).transpose();
        let replaces = replaces.map_err(|_| ApiError::new(ErrorCode::PreconditionFailed))?;
        Ok(Rewrapped { key, replaces })
    }
}

/// The key to put beside the record, if it is one that may be put there.
///
/// # Errors
/// 403 as [`VaultAccess::demand`], 422 where one is missing, 412 where it takes the place of another than is there.
async fn rewrapped(
    app: &App,
    context: &Context,
    account: &AccountId,
    sent: Option<&RewrappedKey>,
) -> Result<Option<Rewrapped>, ApiError> {
    let sent = sent.map(RewrappedKey::read).transpose()?;
    let held = app.directory.credentials.wrapped_key(account, Method::Opaque).await?.map(|key| key.tag());
    if held.is_some() {
        VaultAccess::demand(app, context, Right::Write).await?;
    }
    match &sent {
        None if held.is_some() => Err(ApiError::validation(&[("wrapped_key", "the vault's key, wrapped anew")])),
        Some(sent) if sent.replaces != held => Err(ApiError::new(ErrorCode::PreconditionFailed)),
        Some(_) | None => Ok(sent),
    }
}

/// Puts the record in the place of the account's password, or of the record before, together with the vault's key, and ends every session of the
/// account, this one too: that the new record is good the client proves by logging in.
#[utoipa::path(post, path = "/api/auth/opaque/change/finish", operation_id = "opaque_change_finish", tag = "account",
    security(("session" = []), ("bearer" = [])), request_body = OpaqueChangeFinish,
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn finish(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<OpaqueChangeFinish>,
) -> Result<Response, ApiError> {
    let opaque = opaque(&app)?;
    let record = record(opaque, &request.upload, request.key_stretching)?;
    let account = own_account(&app, &context).await?;
    let wrapped_key = rewrapped(&app, &context, &account.id, request.wrapped_key.as_ref()).await?;
    let held = app.directory.credentials.find(&account.id, Method::Opaque).await?;
    let proved = Proved {
        account: account.id.clone(),
        // The session is the proof, and it was opened in this epoch: whatever was changed since is not to be undone.
        epoch: context.session()?.record().epoch,
        set_at: held.map(|credential| credential.changed_at),
    };
    let secret = enrolled(&app, opaque, record, &account.email).await?;
    let is_wrapped = wrapped_key.is_some();
    let changed = replace_secret(&app, &proved, Before::Ends, Replacement { secret, wrapped_key }).await?;
    let Some(account) = changed else { return Err(ApiError::new(ErrorCode::Conflict)) };
    let subject = account.subject().ok_or_else(|| ApiError::new(ErrorCode::InternalError))?;
    app.manager.end_all(&subject, None, Cause::CredentialChanged, &context.origin).await?;
    app.passwords.unlock(&account).await?;
    app.record(crate::audit::Entry {
        subject: Some(subject.as_str().into()),
        reason: Some("opaque"),
        ..context.entry("user.password_changed")
    });
    if is_wrapped {
        note_rewrapped(&app, &context)?;
    }
    let mut response = Done::YES.into_response();
    put_cookie(response.headers_mut(), app.cookies.session.removal());
    put_cookie(response.headers_mut(), app.cookies.csrf.removal());
    Ok(response)
}
