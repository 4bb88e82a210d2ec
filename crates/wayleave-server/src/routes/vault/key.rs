//! The vault's key, wrapped by its owner's client: opaque here, and of no use without the owner's password.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wayleave_core::authentication::Method;
use wayleave_core::ports::{KeyTag, Rewrapped, Wrap, WrappedKey};

use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::http::precondition::{Precondition, precondition, put_etag};
use crate::vault::{Right, VaultAccess};
use crate::wire::{Done, Envelope, ErrorBody};

/// Longest key in base64url.
const MAX_TEXT: usize = (WrappedKey::MAX * 4).div_ceil(3);

/// The wrapped key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WrappedKeyText {
    /// 1 to 1024 bytes in base64url without padding.
    #[schema(min_length = 2, max_length = 1366)]
    key: String,
}

/// Reads a wrapped key.
///
/// # Errors
/// 422 that names the field.
pub fn wrapped_key(field: &'static str, text: &str) -> Result<WrappedKey, ApiError> {
    let bytes = if text.len() <= MAX_TEXT { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
    let key = bytes.and_then(|bytes| WrappedKey::new(bytes).ok());
    key.ok_or_else(|| ApiError::validation(&[(field, "1 to 1024 bytes in base64url without padding")]))
}

/// Gives the account's wrapped vault key, with its `ETag`. The session must hold the vault open. 404 where there is none.
#[utoipa::path(get, path = "/api/vault/key", operation_id = "read_vault_key", tag = "vault",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<WrappedKeyText>,
               headers(("ETag" = String, description = "Tells this key from others."))),
              (status = "default", body = ErrorBody)))]
pub async fn read(State(app): State<Arc<App>>, context: Context) -> Result<Response, ApiError> {
    let access = VaultAccess::demand(&app, &context, Right::Read).await?;
    let key = app.directory.credentials.wrapped_key(access.account(), Method::Opaque).await?;
    let key = key.ok_or_else(|| ApiError::new(ErrorCode::NotFound))?;
    let text = WrappedKeyText { key: URL_SAFE_NO_PAD.encode(key.as_bytes()) };
    let mut response = Envelope::new(text).into_response();
    put_etag(response.headers_mut(), key.tag());
    Ok(response)
}

/// Keeps the account's wrapped vault key, beside its OPAQUE record. The session must hold the vault open to write.
///
/// `If-None-Match: *` for the first one, and `If-Match` with the `ETag` of the one that it takes the place of: whoever has
/// not seen that one would lose it, and with it everything that is encrypted under it.
#[utoipa::path(put, path = "/api/vault/key", operation_id = "write_vault_key", tag = "vault",
    security(("session" = []), ("bearer" = [])), request_body = WrappedKeyText,
    params(("if-match" = Option<String>, Header, max_length = 64, description = "The `ETag` of the key that is replaced."),
           ("if-none-match" = Option<String>, Header, max_length = 64, description = "`*`: there is no key yet.")),
    responses((status = 200, body = Done, headers(("ETag" = String, description = "Tells this key from others."))),
              (status = "default", body = ErrorBody)))]
pub async fn write(
    State(app): State<Arc<App>>,
    context: Context,
    headers: HeaderMap,
    JsonBody(request): JsonBody<WrappedKeyText>,
) -> Result<Response, ApiError> {
    let access = VaultAccess::demand(&app, &context, Right::Write).await?;
    let key = wrapped_key("key", &request.key)?;
    let replaces = match precondition::<KeyTag>(&headers)? {
        Precondition::Absent => None,
        Precondition::Exactly(tag) => Some(tag),
        // That says of no key that it was seen.
        Precondition::Present => return Err(ApiError::new(ErrorCode::PreconditionRequired)),
    };
    let tag = key.tag();
    let wrapped =
        app.directory.credentials.wrap(access.account(), Method::Opaque, &Rewrapped { key, replaces }).await?;
    match wrapped {
        Wrap::Done => {}
        Wrap::Moved => return Err(ApiError::new(ErrorCode::PreconditionFailed)),
        Wrap::NoCredential => return Err(ApiError::new(ErrorCode::Conflict)),
    }
    note_rewrapped(&app, &context)?;
    let mut response = Done::YES.into_response();
    put_etag(response.headers_mut(), tag);
    Ok(response)
}

/// Writes down that the account of the session has another wrapped key.
///
/// # Errors
/// 401 where there is no session.
pub fn note_rewrapped(app: &App, context: &Context) -> Result<(), ApiError> {
    let session = context.session()?;
    app.record(Entry {
        session: Some(app.reference(&session.id())),
        subject: session.subject().map(|subject| subject.as_str().into()),
        ..context.entry("vault.key_wrapped")
    });
    Ok(())
}
