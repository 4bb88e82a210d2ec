//! Reads request bodies: bounded in size and time, strictly typed, and never quoted back.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::limits::{RequestLimits, is_json, is_media};
use crate::error::{ApiError, ErrorCode};

/// A JSON body. 415 unless it is declared as JSON, 413 or 408 when it is too large or too slow, 400 when it is not
/// JSON, 422 when it is JSON of another shape. The answer names the line and column and repeats nothing of the body,
/// which may hold a password.
#[derive(Copy, Clone)]
pub struct JsonBody<T>(pub T);

/// A form body (`application/x-www-form-urlencoded`), for the routes whose standards want one. Fails like [`JsonBody`].
#[derive(Copy, Clone)]
pub struct FormBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType));
        }
        parse_json(&read(request).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for FormBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_media(request.headers(), "application/x-www-form-urlencoded") {
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType));
        }
        let bytes = read(request).await?;
        serde_urlencoded::from_bytes(&bytes).map(Self).map_err(|_| ApiError::new(ErrorCode::BadRequest))
    }
}

/// Parses a body that was read already.
///
/// # Errors
/// 400 `bad_request` or 422 `validation_failed`, as [`JsonBody`] says.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let code = match error.classify() {
            serde_json::error::Category::Data => ErrorCode::ValidationFailed,
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => ErrorCode::BadRequest,
        };
        ApiError::new(code).with_details(json!({ "line": error.line(), "column": error.column() }))
    })
}

/// The whole body, within the limits that [`RequestLimits`] left in the extensions, or the
/// default ones.
///
/// # Errors
/// 413 `payload_too_large`, 408 `request_timeout`, or 400 `bad_request` when the client broke off.
pub async fn read(request: Request) -> Result<Bytes, ApiError> {
    let limits = request.extensions().get::<RequestLimits>().copied().unwrap_or_default();
    let body = Limited::new(request.into_body(), limits.most_body_bytes);
    match tokio::time::timeout(limits.body_timeout, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_too_large(error.as_ref()) => Err(ApiError::new(ErrorCode::PayloadTooLarge)),
        Ok(Err(_)) => Err(ApiError::new(ErrorCode::BadRequest)),
        Err(_) => Err(ApiError::new(ErrorCode::RequestTimeout)),
    }
}

/// Whether a body could not be read because it is larger than it may be.
pub(crate) fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<LengthLimitError>())
}
