//! What other services ask: introspection, revocation, and the keys to check tokens by themselves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use wayleave::events::Cause;
use wayleave::{Shown, ValidateError};

use crate::access::{Context, must_change_password};
use crate::app::App;
use crate::error::ApiError;
use crate::http::body::FormBody;
use crate::wire::ErrorBody;

/// A token to ask about (RFC 7662 section 2.1, RFC 7009 section 2.1).
#[derive(Deserialize, ToSchema)]
pub struct TokenForm {
    /// The token.
    #[schema(max_length = 8192)]
    token: String,
    /// `access_token` or `refresh_token`; not needed, the token says it.
    #[schema(max_length = 64)]
    #[expect(dead_code, reason = "the standards allow it and tokens say what they are")]
    token_type_hint: Option<String>,
}

/// What a token stands for (RFC 7662 section 2.2).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "active": false }))]
pub struct Introspection {
    /// Whether it proves a session right now. When it does not, nothing else is said.
    active: bool,
    /// Permissions, separated by blanks.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The kind of session.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    /// `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// When the token ends, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// When the session was opened, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// For whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    /// The session's public handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    /// When its subject proved itself, in seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    /// How (RFC 8176).
    #[serde(skip_serializing_if = "Option::is_none")]
    amr: Option<Vec<&'static str>>,
    /// How sure.
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<String>,
}

const INACTIVE: Introspection = Introspection {
    active: false,
    scope: None,
    client_id: None,
    token_type: None,
    exp: None,
    iat: None,
    sub: None,
    aud: None,
    iss: None,
    sid: None,
    auth_time: None,
    amr: None,
    acr: None,
};

/// Says what an access token stands for (RFC 7662). Takes a service key. Every token that proves no session, for
/// whatever reason, is answered with exactly `{"active":false}` (R073).
#[utoipa::path(post, path = "/api/auth/introspect", operation_id = "introspect_token", tag = "services", security(("service" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = Introspection), (status = "default", body = ErrorBody)))]
pub async fn introspect(
    State(app): State<Arc<App>>,
    context: Context,
    FormBody(form): FormBody<TokenForm>,
) -> Result<Json<Introspection>, ApiError> {
    let shown = Shown { active: false, vouched: true, ..context.shown() };
    let session = match app.manager.validate(&form.token, &shown).await {
        // To others it proves nothing before its person has chosen a new password.
        Ok(session) if must_change_password(&session) => return Ok(Json(INACTIVE)),
        Ok(session) => session,
        Err(ValidateError::Expired(_) | ValidateError::Invalid) => return Ok(Json(INACTIVE)),
        Err(ValidateError::Store(error)) => return Err(error.into()),
    };
    let record = session.record();
    let authentication = record.authentication;
    let audience = app.manager.audience();
    Ok(Json(Introspection {
        active: true,
        scope: Some(session.permissions().iter().collect::<Vec<_>>().join(" ")),
        client_id: Some(session.kind().to_string()),
        token_type: Some("Bearer"),
        exp: Some(session.expires_at().as_seconds()),
        iat: Some(record.created_at.as_seconds()),
        sub: session.subject().map(ToString::to_string),
        aud: Some(audience.audience.to_string()),
        iss: Some(audience.issuer.to_string()),
        sid: Some(session.id().to_string()),
        auth_time: authentication.map(|proof| proof.at.as_seconds()),
        amr: authentication
            .map(|proof| proof.methods.iter().map(wayleave_core::authentication::Method::as_str).collect()),
        acr: authentication.map(|proof| proof.level.number().to_string()),
    }))
}

/// Ends the session behind a token, access or refresh (RFC 7009). Takes a service key, which can end the sessions of
/// its own subjects only; anything else is answered with 200 and left alone (R072).
#[utoipa::path(post, path = "/api/auth/revoke", operation_id = "revoke_token", tag = "services", security(("service" = [])),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Always, whatever the token."), (status = "default", body = ErrorBody)))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    context: Context,
    FormBody(form): FormBody<TokenForm>,
) -> Result<Response, ApiError> {
    let service = context.service()?;
    let shown = Shown { active: false, vouched: true, ..context.shown() };
    if let Some(record) = app.manager.behind_token(&form.token).await?
        && record.subject.as_ref().and_then(|subject| subject.service()) == Some(&*service.name)
    {
        app.manager.revoke_token(&form.token, Cause::Owner, &shown).await?;
    }
    Ok(http::StatusCode::OK.into_response())
}

/// The public keys of JWT access tokens (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "services", security(()),
    responses((status = 200, body = Object), (status = "default", body = ErrorBody)))]
pub async fn jwks(State(app): State<Arc<App>>) -> Response {
    let keys: Value = app.manager.signing_keys().jwks(app.now());
    let headers = [(http::header::CACHE_CONTROL, "public, max-age=300")];
    let body = if keys.is_null() { json!({ "keys": [] }) } else { keys };
    (headers, Json(body)).into_response()
}
