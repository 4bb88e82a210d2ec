//! Making an account whose password the server never sees.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use wayleave_opaque::RegistrationRequest;

use super::{RegistrationStarted, Stretching, charge, enrolled, evaluate, message, opaque, record, refund};
use crate::access::Context;
use crate::accounts::{display_name, new_account};
use crate::app::App;
use crate::error::ApiError;
use crate::http::body::JsonBody;
use crate::routes::registration::{admit, make};
use crate::wire::{Envelope, ErrorBody, User};

/// The first half of a registration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpaqueRegisterStart {
    /// What the account will be called.
    #[schema(max_length = 254, example = "ann@example.com")]
    identifier: String,
    /// The client's request: 32 bytes in base64url.
    #[schema(min_length = 43, max_length = 43)]
    request: String,
    /// From the invitation's link, where one is needed.
    #[schema(max_length = 64)]
    invitation: Option<String>,
}

/// Begins a registration by OPAQUE (RFC 9807), for whoever may make an account. Answers for addresses that are taken as
/// for others, and counts as a failed sign-in until the registration is finished.
#[utoipa::path(post, path = "/api/auth/opaque/register/start", operation_id = "opaque_register_start", tag = "account",
    security(()), request_body = OpaqueRegisterStart,
    responses((status = 200, body = Envelope<RegistrationStarted>), (status = "default", body = ErrorBody)))]
pub async fn start(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<OpaqueRegisterStart>,
) -> Result<Envelope<RegistrationStarted>, ApiError> {
    let opaque = opaque(&app)?;
    let blinded = message("request", &request.request, RegistrationRequest::parse)?;
    let admitted = admit(&app, &context, &request.identifier, request.invitation.as_deref()).await?;
    charge(&app, &context, admitted.email.as_str(), None).await?;
    evaluate(&app, opaque, blinded, &admitted.email).await.map(Envelope::new)
}

/// The second half of a registration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpaqueRegisterFinish {
    /// As in the first half.
    #[schema(max_length = 254, example = "ann@example.com")]
    identifier: String,
    /// What to call the person.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The client's record: 192 bytes in base64url.
    #[schema(min_length = 256, max_length = 256)]
    upload: String,
    /// What the record was made with: as the first half said.
    key_stretching: Stretching,
    /// From the invitation's link, where one is needed.
    #[schema(max_length = 64)]
    invitation: Option<String>,
}

/// Makes the account. Signing in comes after. An address that is taken is answered as when registering with a password.
#[utoipa::path(post, path = "/api/auth/opaque/register/finish", operation_id = "opaque_register_finish",
    tag = "account", security(()), request_body = OpaqueRegisterFinish,
    responses((status = 201, body = Envelope<User>), (status = "default", body = ErrorBody)))]
pub async fn finish(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<OpaqueRegisterFinish>,
) -> Result<Response, ApiError> {
    let opaque = opaque(&app)?;
    let record = record(opaque, &request.upload, request.key_stretching)?;
    let admitted = admit(&app, &context, &request.identifier, request.invitation.as_deref()).await?;
    let name = display_name(&request.name)?;
    let account = new_account(&app, admitted.email.clone(), name, admitted.permissions(&app))?;
    let secret = enrolled(&app, opaque, record, &account.email).await?;
    let response = make(&app, &context, admitted, account.clone(), &secret).await?;
    app.passwords.unlock(&account).await?;
    refund(&app, &context);
    Ok(response)
}
