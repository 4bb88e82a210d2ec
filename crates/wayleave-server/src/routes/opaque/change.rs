//! Changing one's own account to OPAQUE, from a password or from another OPAQUE password.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use wayleave::events::Cause;
use wayleave_core::authentication::Method;
use wayleave_opaque::RegistrationRequest;
use wayleave_password::Admission;
use wayleave_web::cookies::put_cookie;

use super::{RegistrationStarted, Stretching, enrolled, evaluate, message, opaque, record};
use crate::access::Context;
use crate::accounts::{Before, Proved, own_account, replace_secret};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::routes::sign_in::locked;
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
}

/// Puts the record in the place of the account's password, or of the record before, and ends every session of the
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
    let held = app.directory.credentials.find(&account.id, Method::Opaque).await?;
    let proved = Proved {
        account: account.id.clone(),
        // The session is the proof, and it was opened in this epoch: whatever was changed since is not to be undone.
        epoch: context.session()?.record().epoch,
        set_at: held.map(|credential| credential.changed_at),
    };
    let secret = enrolled(&app, opaque, record, &account.email).await?;
    let changed = replace_secret(&app, &proved, Before::Ends, secret).await?;
    let Some(account) = changed else { return Err(ApiError::new(ErrorCode::Conflict)) };
    let subject = account.subject().ok_or_else(|| ApiError::new(ErrorCode::InternalError))?;
    app.manager.end_all(&subject, None, Cause::CredentialChanged, &context.origin).await?;
    app.passwords.unlock(&account).await?;
    app.record(crate::audit::Entry {
        subject: Some(subject.as_str().into()),
        reason: Some("opaque"),
        ..context.entry("user.password_changed")
    });
    let mut response = Done::YES.into_response();
    put_cookie(response.headers_mut(), app.cookies.session.removal());
    put_cookie(response.headers_mut(), app.cookies.csrf.removal());
    Ok(response)
}
