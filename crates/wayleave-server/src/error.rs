//! The errors that clients see: one closed table of codes, and the value that handlers return.
//!
//! The same table stands in `spec/errors.toml` for people and for other languages; a test keeps the two equal. Names
//! are public and frozen.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

#[cfg(test)]
mod tests;

/// The realm of every challenge this server sends.
pub const REALM: &str = "wayleave";

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, $status:literal, $message:literal; )+) => {
        /// What went wrong, as clients see it: a stable name, a status and a sentence.
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl ErrorCode {
            /// Every code, in the order of `spec/errors.toml`.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name in `error.code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// The HTTP status as a number.
            #[must_use]
            pub const fn status_number(self) -> u16 {
                match self { $( Self::$variant => $status, )+ }
            }

            /// The sentence in `error.message`. Fixed text: nothing of the request is ever in it.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $( Self::$variant => $message, )+ }
            }

            /// What it means for the caller, one paragraph.
            #[must_use]
            pub const fn doc(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+).trim_ascii(), )+ }
            }
        }
    };
}

codes! {
    /// The request cannot be read: malformed JSON, a malformed header or an impossible parameter.
    BadRequest = "bad_request", 400, "The request is malformed.";
    /// The request carries credentials in a malformed way, or more than one of them (RFC 6750 section 3.1).
    InvalidRequest = "invalid_request", 400, "The request's credentials are malformed or repeated.";
    /// The one-time link is unknown, used up or expired.
    LinkInvalid = "link_invalid", 400, "The link is not valid or no longer valid.";
    /// The invitation is unknown, used up, expired or made for another address.
    InvitationInvalid = "invitation_invalid", 400, "The invitation is not valid or no longer valid.";
    /// No session or other credential was sent to a route that needs one.
    SessionRequired = "session_required", 401, "Sign in to continue.";
    /// The session is on record and its time is over. Said of nothing else.
    SessionExpired = "session_expired", 401, "The session has expired.";
    /// The session is not valid: unknown, malformed, ended or revoked.
    SessionInvalid = "session_invalid", 401, "The session is not valid.";
    /// The refresh token does not refresh anything: unknown, expired, already used or revoked.
    RefreshFailed = "refresh_failed", 401, "The session could not be refreshed.";
    /// Sign-in failed. The same for an unknown name, a wrong password and a disabled account.
    InvalidCredentials = "invalid_credentials", 401, "The e-mail address or the password is not right.";
    /// The action needs a stronger or more recent sign-in (RFC 9470); `details` says which.
    InsufficientUserAuthentication = "insufficient_user_authentication", 401,
        "This action needs a recent sign-in.";
    /// The session is valid and does not hold the permission that the action needs.
    PermissionDenied = "permission_denied", 403, "You do not have permission to do this.";
    /// The CSRF token is missing, malformed or of another session.
    CsrfFailed = "csrf_failed", 403, "The request could not be verified. Reload the page and try again.";
    /// The request comes from an origin that may not make it.
    OriginNotAllowed = "origin_not_allowed", 403, "Requests from this origin are not allowed.";
    /// The password must be changed before anything else.
    PasswordChangeRequired = "password_change_required", 403, "Change your password to continue.";
    /// Nobody can register here.
    RegistrationClosed = "registration_closed", 403, "Registration is closed.";
    /// The first administrator exists already.
    SetupClosed = "setup_closed", 403, "Setup is already complete.";
    /// The session does not hold the vault open, or not for this; `details.reason` says why. A session that was opened by a
    /// password, by a service or by nobody in particular never can.
    VaultRequired = "vault_required", 403, "Open the vault to continue.";
    /// The session held the vault open: it was locked, or not used for too long; `details.reason` says which.
    VaultLocked = "vault_locked", 403, "The vault is locked.";
    /// The kind's limit of sessions is reached and none is evicted for a new one.
    SessionLimitReached = "session_limit_reached", 403, "Too many sessions are open for this account.";
    /// There is no such thing, or it is not the caller's to see.
    NotFound = "not_found", 404, "Not found.";
    /// The resource does not support the method; `Allow` names those it does.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here.";
    /// The client took too long to send its request.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive.";
    /// The resource was changed meanwhile, or exists already.
    Conflict = "conflict", 409, "The request conflicts with the current state.";
    /// An account with this address exists already. Only administrators are told.
    EmailTaken = "email_taken", 409, "This e-mail address is already in use.";
    /// The body's length must be declared in `Content-Length`; chunked bodies are not accepted.
    LengthRequired = "length_required", 411, "The request must declare its length.";
    /// Something else than the request expects is there: `If-Match` names another version, or `If-None-Match: *` meets one.
    PreconditionFailed = "precondition_failed", 412, "It was changed in the meantime.";
    /// The body is larger than the route accepts.
    PayloadTooLarge = "payload_too_large", 413, "The request body is too large.";
    /// The blob is larger than one may be.
    BlobTooLarge = "blob_too_large", 413, "The blob is too large.";
    /// The account would have more in its vault than it may; `details` says how much that is.
    VaultQuotaExceeded = "vault_quota_exceeded", 413, "There is not enough room in the vault.";
    /// The request target is too long.
    UriTooLong = "uri_too_long", 414, "The request target is too long.";
    /// The body's media type is not one that the route accepts.
    UnsupportedMediaType = "unsupported_media_type", 415, "The content type is not supported.";
    /// The request is well formed and a field is not acceptable; `details.fields` names it.
    ValidationFailed = "validation_failed", 422, "Some fields are not valid.";
    /// The session type and the requested duration, permissions or transport do not go together.
    UnsupportedOption = "unsupported_option", 422, "The requested option is not supported.";
    /// The new password is too short, too long or too common; `details.reason` says which.
    WeakPassword = "weak_password", 422, "Choose a stronger password.";
    /// There is something already, and the request does not say which version of it is to be changed: `If-Match` is missing.
    PreconditionRequired = "precondition_required", 428, "The request must say which version it changes.";
    /// Sign-in for this identifier is paused after too many failures, whether or not it exists; see `Retry-After`.
    AccountLocked = "account_locked", 429, "Too many failed sign-ins. Try again later.";
    /// Too many requests of this class; see `Retry-After` and `RateLimit`.
    RateLimited = "rate_limited", 429, "Too many requests. Try again later.";
    /// The request has too many header fields or too large ones.
    HeadersTooLarge = "headers_too_large", 431, "The request headers are too large.";
    /// The server failed. The reason is in its log under the request id.
    InternalError = "internal_error", 500, "Something went wrong on the server.";
    /// The server is at its limit of concurrent work; see `Retry-After`.
    Overloaded = "overloaded", 503, "The server is busy. Try again shortly.";
    /// A store did not answer. Nothing was decided.
    StoreUnavailable = "store_unavailable", 503, "The service is temporarily unavailable.";
    /// The server did not finish within its deadline; what it was doing may or may not have happened.
    Timeout = "timeout", 504, "The server took too long to answer.";
}

impl ErrorCode {
    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status_number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The code that stands for a status which some other layer produced without a body of ours.
    #[must_use]
    pub const fn for_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::SessionRequired,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            409 => Self::Conflict,
            411 => Self::LengthRequired,
            412 => Self::PreconditionFailed,
            413 => Self::PayloadTooLarge,
            414 => Self::UriTooLong,
            415 => Self::UnsupportedMediaType,
            422 => Self::ValidationFailed,
            428 => Self::PreconditionRequired,
            429 => Self::RateLimited,
            431 => Self::HeadersTooLarge,
            400..=499 => Self::BadRequest,
            503 => Self::Overloaded,
            504 => Self::Timeout,
            _ => Self::InternalError,
        }
    }

    /// The problem type of RFC 9457: a registered one where there is one, otherwise `about:blank`, with `code` to
    /// branch on.
    #[must_use]
    pub const fn problem_type(self) -> &'static str {
        match self {
            Self::RateLimited | Self::AccountLocked => "https://iana.org/assignments/http-problem-types#quota-exceeded",
            Self::Overloaded => "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            _ => "about:blank",
        }
    }

    /// The `error` attribute of the challenge that goes with this code; RFC 6750 section 3.1 and RFC 9470 section 3.
    /// None where no usable authentication was sent at all (R074).
    const fn challenge_error(self) -> Option<&'static str> {
        match self {
            Self::SessionExpired | Self::SessionInvalid | Self::RefreshFailed => Some("invalid_token"),
            Self::InsufficientUserAuthentication => Some("insufficient_user_authentication"),
            Self::InvalidRequest => Some("invalid_request"),
            _ => None,
        }
    }
}

/// A refusal on its way to the client.
///
/// As a response it is `{"success":false,"error":{"code","message","details"?}}`; the layer
/// [`error_body`](crate::http::error_body) adds the request id, or writes RFC 9457 problem details when the client
/// prefers them. A 401 always carries `WWW-Authenticate` (R075).
#[derive(Clone)]
pub struct ApiError(Box<Parts>);

#[derive(Clone)]
struct Parts {
    code: ErrorCode,
    details: Option<Value>,
    data: Option<Value>,
    headers: HeaderMap,
}

impl ApiError {
    /// A refusal with nothing but its code.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self(Box::new(Parts { code, details: None, data: None, headers: HeaderMap::new() }))
    }

    /// Adds `error.details`. The value reaches the client as it is: never put a secret or a foreign text in it.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Adds a `data` member beside `error`, for the routes that answer with both.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// Sets a header, in place of any of that name.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds a header beside others of that name (`Set-Cookie`).
    #[must_use]
    pub fn with_appended_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// Says when to come back, in whole seconds rounded up and at least one.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let seconds = ceil_seconds(wait).max(1);
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// One or more fields are not acceptable. `fields` maps a field's name to what it must be, in our words.
    #[must_use]
    pub fn validation(fields: &[(&'static str, &'static str)]) -> Self {
        let fields: Map<String, Value> =
            fields.iter().map(|(name, rule)| ((*name).to_owned(), Value::from(*rule))).collect();
        Self::new(ErrorCode::ValidationFailed).with_details(json!({ "fields": fields }))
    }

    /// The session lacks a permission; the challenge names it as the missing scope (RFC 6750 section 3.1).
    #[must_use]
    pub fn permission_denied(permission: &str) -> Self {
        let error = Self::new(ErrorCode::PermissionDenied);
        match quoted_challenge(&[("error", "insufficient_scope"), ("scope", permission)]) {
            Some(value) => error.with_details(json!({ "permission": permission })).with_header(WWW_AUTHENTICATE, value),
            None => error,
        }
    }

    /// A sign-in no older than `max_age`, of at least the level `acr`, is needed (RFC 9470 section 3).
    #[must_use]
    pub fn step_up(demand: StepUp<'_>) -> Self {
        let seconds = demand.max_age.as_secs();
        let error = Self::new(ErrorCode::InsufficientUserAuthentication)
            .with_details(json!({ "acr_values": demand.acr_values, "max_age": seconds }));
        let seconds = seconds.to_string();
        let attributes = [
            ("error", "insufficient_user_authentication"),
            ("error_description", ErrorCode::InsufficientUserAuthentication.message()),
            ("acr_values", demand.acr_values),
            ("max_age", seconds.as_str()),
        ];
        match quoted_challenge(&attributes) {
            Some(value) => error.with_header(WWW_AUTHENTICATE, value),
            None => error,
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The status it will be sent with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    /// The headers it will be sent with, besides the general ones.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The body in our own form. `request_id` is put into `error`.
    #[must_use]
    pub fn json_body(&self, request_id: Option<&str>) -> Value {
        let mut error = Map::new();
        error.insert("code".into(), self.0.code.as_str().into());
        error.insert("message".into(), self.0.code.message().into());
        if let Some(details) = &self.0.details {
            error.insert("details".into(), details.clone());
        }
        if let Some(id) = request_id {
            error.insert("request_id".into(), id.into());
        }
        let mut body = Map::new();
        body.insert("success".into(), false.into());
        body.insert("error".into(), error.into());
        if let Some(data) = &self.0.data {
            body.insert("data".into(), data.clone());
        }
        body.into()
    }

    /// The body as problem details (RFC 9457 section 3), with the extension members `code`, `details` and `data`.
    /// An object in `details` whose member is `violated-policies` gives that member to the problem itself, as the
    /// rate-limit problem types want it.
    #[must_use]
    pub fn problem_body(&self, request_id: Option<&str>) -> Value {
        let status = self.status();
        let kind = self.0.code.problem_type();
        let title = match kind {
            "about:blank" => status.canonical_reason().unwrap_or("Error"),
            _ => self.0.code.message(),
        };
        let mut body = Map::new();
        body.insert("type".into(), kind.into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), self.0.code.message().into());
        body.insert("code".into(), self.0.code.as_str().into());
        if let Some(id) = request_id {
            body.insert("instance".into(), id.into());
        }
        if let Some(details) = &self.0.details {
            if let Some(violated) = details.get("violated-policies") {
                body.insert("violated-policies".into(), violated.clone());
            }
            body.insert("details".into(), details.clone());
        }
        if let Some(data) = &self.0.data {
            body.insert("data".into(), data.clone());
        }
        body.into()
    }
}

/// What a stronger or fresher sign-in must be.
#[derive(Copy, Clone, Debug)]
pub struct StepUp<'a> {
    /// Acceptable authentication levels, separated by spaces; `[a-z0-9:._ -]`.
    pub acr_values: &'a str,
    /// How old the sign-in may be.
    pub max_age: Duration,
}

impl std::fmt::Debug for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may set a cookie, and details may name a person: neither is for a log.
        f.debug_tuple("ApiError").field(&self.0.code.as_str()).finish()
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl From<wayleave_core::ports::StoreError> for ApiError {
    /// A store that fails closes the door: 503, never "absent" or "valid" (R168). The reason goes to the log.
    fn from(error: wayleave_core::ports::StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "a store failed");
        Self::new(ErrorCode::StoreUnavailable).with_retry_after(Duration::from_secs(1))
    }
}

impl From<wayleave_core::ports::EntropyFailure> for ApiError {
    fn from(error: wayleave_core::ports::EntropyFailure) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the generator failed");
        Self::new(ErrorCode::InternalError)
    }
}

impl IntoResponse for ApiError {
    fn into_response(mut self) -> Response {
        let status = self.status();
        let needs_challenge = status == StatusCode::UNAUTHORIZED || self.0.code == ErrorCode::InvalidRequest;
        if needs_challenge && !self.0.headers.contains_key(WWW_AUTHENTICATE) {
            let attributes: &[(&str, &str)] = match self.0.code.challenge_error() {
                Some(error) => &[("error", error), ("error_description", self.0.code.message())],
                None => &[],
            };
            if let Some(challenge) = quoted_challenge(attributes) {
                self.0.headers.insert(WWW_AUTHENTICATE, challenge);
            }
        }
        let mut response = Response::new(Body::from(self.json_body(None).to_string()));
        *response.status_mut() = status;
        *response.headers_mut() = self.0.headers.clone();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.extensions_mut().insert(self);
        response
    }
}

/// `Bearer realm="wayleave", name="value", ...`; nothing when a value could not stand in a quoted string (R084, A08).
fn quoted_challenge(attributes: &[(&str, &str)]) -> Option<HeaderValue> {
    let mut text = format!("Bearer realm=\"{REALM}\"");
    for (name, value) in attributes {
        if !value.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            return None;
        }
        text.push_str(&format!(", {name}=\"{value}\""));
    }
    HeaderValue::from_str(&text).ok()
}

/// Whole seconds, rounded up.
#[must_use]
pub(crate) fn ceil_seconds(length: Duration) -> u64 {
    length.as_secs().saturating_add(u64::from(length.subsec_nanos() > 0))
}
