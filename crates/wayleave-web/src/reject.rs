//! Refusals: what went wrong, and how it is answered.

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use wayleave::kv::{SaveError, TooLarge};
use wayleave_core::ports::{EntropyFailure, StoreError};

use crate::cookies::InvalidCookie;

/// Why a request gets no session, or may not do what it asks. Each is a response: JSON with the code that Wayleave's
/// server gives for the same.
#[derive(Debug, thiserror::Error)]
pub enum SessionRejection {
    /// Nobody is signed in: 401 `session_required`.
    #[error("nobody is signed in")]
    SignInRequired,
    /// The sign-in is too old for this: 401 `insufficient_user_authentication` (RFC 9470).
    #[error("a sign-in of the last {max_age_seconds} seconds is needed")]
    StepUpRequired {
        /// How old it may be.
        max_age_seconds: u64,
    },
    /// The session lacks a permission: 403 `permission_denied`.
    #[error("the session lacks the permission {permission}")]
    PermissionDenied {
        /// Which.
        permission: Box<str>,
    },
    /// The request's origin is not one of those that may: 403 `origin_not_allowed`.
    #[error("the request comes from somewhere else")]
    OriginNotAllowed,
    /// The request's CSRF token is missing or another's: 403 `csrf_failed`.
    #[error("the CSRF token is missing or not valid")]
    CsrfFailed,
    /// The request's credentials contradict each other or are malformed: 400 `invalid_request`.
    #[error("the request's credentials are malformed")]
    InvalidRequest,
    /// The cookies are too large: 431 `headers_too_large`.
    #[error("the request's cookies are too large")]
    HeadersTooLarge,
    /// A form is too large to look for its token: 413 `body_too_large`.
    #[error("the form is too large")]
    BodyTooLarge,
    /// The store cannot answer: 503 `store_unavailable`. Never "signed out".
    #[error("the session store cannot answer")]
    Store(#[from] StoreError),
    /// There is no randomness: 500 `internal_error`.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
    /// The session passes a limit: 500 `internal_error`, since the application let it.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The sealed session passes what browsers keep: 500 `internal_error`.
    #[error("the session is too large for its cookie")]
    CookieTooLarge,
    /// Data was to be kept for a guest whose client has no cookie to keep: 500 `internal_error`.
    #[error("a guest without a cookie has no session to keep data in")]
    NoCarrier,
    /// The route is not under a `SessionLayer`: 500 `internal_error`.
    #[error("there is no SessionLayer around this route; add one with `.layer(...)` after the routes")]
    NoLayer,
    /// A handler panicked: 500 `internal_error`.
    #[error("the handler panicked")]
    Panicked,
}

impl SessionRejection {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::SignInRequired | Self::StepUpRequired { .. } => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied { .. } | Self::OriginNotAllowed | Self::CsrfFailed => StatusCode::FORBIDDEN,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Entropy(_)
            | Self::TooLarge(_)
            | Self::CookieTooLarge
            | Self::NoCarrier
            | Self::NoLayer
            | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code that clients branch on.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SignInRequired => "session_required",
            Self::StepUpRequired { .. } => "insufficient_user_authentication",
            Self::PermissionDenied { .. } => "permission_denied",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::CsrfFailed => "csrf_failed",
            Self::InvalidRequest => "invalid_request",
            Self::HeadersTooLarge => "headers_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::Store(_) => "store_unavailable",
            Self::Entropy(_)
            | Self::TooLarge(_)
            | Self::CookieTooLarge
            | Self::NoCarrier
            | Self::NoLayer
            | Self::Panicked => "internal_error",
        }
    }
}

impl From<InvalidCookie> for SessionRejection {
    fn from(error: InvalidCookie) -> Self {
        match error {
            InvalidCookie::TooLarge => Self::HeadersTooLarge,
            InvalidCookie::Duplicate | InvalidCookie::Malformed => Self::InvalidRequest,
        }
    }
}

impl From<SaveError> for SessionRejection {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::TooLarge(error) => error.into(),
            SaveError::CookieTooLarge { .. } => Self::CookieTooLarge,
            SaveError::Store(error) => error.into(),
            // Whoever keeps losing against others has not been answered either.
            SaveError::Conflict | SaveError::Gone => Self::Store(StoreError::Unavailable(None)),
        }
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        let (status, code) = (self.status(), self.code());
        let message = if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "a session could not be served");
            // What went wrong inside is nobody's business outside.
            status.canonical_reason().unwrap_or("error").to_owned()
        } else {
            self.to_string()
        };
        let body = serde_json::json!({"success": false, "error": {"code": code, "message": message}}).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match &self {
            Self::SignInRequired => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::StepUpRequired { max_age_seconds } => {
                let challenge =
                    format!("Bearer error=\"insufficient_user_authentication\", max_age=\"{max_age_seconds}\"");
                if let Ok(challenge) = HeaderValue::try_from(challenge) {
                    headers.insert(WWW_AUTHENTICATE, challenge);
                }
            }
            Self::PermissionDenied { permission } => {
                let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{permission}\"");
                if let Ok(challenge) = HeaderValue::try_from(challenge) {
                    headers.insert(WWW_AUTHENTICATE, challenge);
                }
            }
            Self::Store(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
