//! Signing in with a password.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use wayleave_core::ports::AccountId;
use wayleave_core::time::Timestamp;
use wayleave_password::{Outcome, SignIn, Strangers, Verified};

use super::entering::{Holding, Proof, SignedIn, Wish, enter};
use super::opening::TransportChoice;
use super::password::password;
use crate::access::Context;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::http::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY, Refusal};
use crate::wire::{Envelope, ErrorBody};

/// What the lockout of an identifier is called among rate limits.
const LOCKOUT: &str = "sign-in";

/// A sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoginRequest {
    /// What the account is called.
    #[schema(max_length = 254, example = "ann@example.com")]
    email: String,
    /// Exactly as typed.
    #[schema(max_length = 1024, format = Password)]
    password: String,
    /// 30 days instead of 24 hours. Cookies only.
    #[serde(default)]
    remember_me: bool,
    /// How to hold the session.
    #[serde(default)]
    transport: TransportChoice,
    /// The kind of session to open with bearer tokens.
    #[serde(default, rename = "session_type", alias = "sessionType")]
    #[schema(max_length = 32)]
    session_type: Option<String>,
    /// Whether the account should know this client from now on, as it knows a browser by its cookie: the answer has a
    /// `device_token` then. Bearer tokens only.
    #[serde(default, rename = "remember_device", alias = "rememberDevice")]
    remember_device: bool,
    /// The `device_token` of an earlier sign-in: strangers' failures do not keep this client waiting. The answer has the
    /// next one. Bearer tokens only.
    #[serde(default, rename = "device_token", alias = "deviceToken")]
    #[schema(max_length = 64, format = Password)]
    device_token: Option<String>,
}

/// Signs in with e-mail address and password.
///
/// With the cookie transport the answer sets the session cookie and a new CSRF token; no token is in the body. With
/// `"transport":"bearer"` the body has the tokens instead (`BearerAnswer`), and a request without any cookie needs no
/// CSRF token. An unknown address, a wrong password and a disabled account are answered alike.
#[utoipa::path(post, path = "/api/auth/login", tag = "sign-in", security(()), request_body = LoginRequest,
    params(("x-csrf-token" = Option<String>, Header, max_length = 256,
            description = "From `GET /api/csrf`; for the cookie transport.")),
    responses((status = 200, body = Envelope<SignedIn>), (status = "default", body = ErrorBody)))]
pub async fn login(
    State(app): State<Arc<App>>,
    context: Context,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, ApiError> {
    let wish = Wish {
        transport: request.transport,
        remember_me: request.remember_me,
        session_type: request.session_type.as_deref(),
        remember_device: request.remember_device,
        device_token: request.device_token.as_deref(),
    };
    let holding = Holding::read(&app, &headers, wish)?;
    let verified = check_password(&app, &context, &request, holding.known_device()).await?;
    let Verified { account, evidence, must_change_password, known_device, rehashed: _, set_at: _ } = verified;
    enter(&app, &context, Proof { account, evidence, must_change_password, known_device, vault: None }, holding).await
}

async fn check_password(
    app: &App,
    context: &Context,
    request: &LoginRequest,
    known_device: Option<[u8; 32]>,
) -> Result<Verified, ApiError> {
    let password = password(&request.password)?;
    let crowd = Crowd::look(app, context);
    let strangers = crowd.strangers();
    match app.passwords.sign_in(SignIn { email: &request.email, password, known_device, strangers }).await? {
        Outcome::Verified(verified) => Ok(*verified),
        Outcome::Refused(refused) => {
            if let Some(failed) = &app.failed_attempts {
                failed.count(context.client);
            }
            let account = refused.account();
            let error = refuse(app, context, account, refused.reason().as_str());
            if refused.locks() {
                note_lock(app, context, account);
            }
            Err(error)
        }
        Outcome::Locked { until } => Err(throttled(app, context, until)),
        Outcome::TurnedAway => Err(crowd.turn_away(app, context)),
        Outcome::Busy(busy) => Err(ApiError::new(ErrorCode::Overloaded).with_retry_after(busy.retry_after)),
    }
}

/// Whether the deployment sees too many failures for strangers to be let in.
pub(super) struct Crowd(Result<(), Refusal>);

impl Crowd {
    pub(super) fn look(app: &App, context: &Context) -> Self {
        Self(app.failed_attempts.as_ref().map_or(Ok(()), |failed| failed.look(context.client)))
    }

    pub(super) const fn strangers(&self) -> Strangers {
        match self.0 {
            Ok(()) => Strangers::Admitted,
            Err(_) => Strangers::TurnedAway,
        }
    }

    /// What a stranger is told.
    pub(super) fn turn_away(self, app: &App, context: &Context) -> ApiError {
        app.metrics.login("turned_away");
        app.record(crate::audit::Entry { reason: Some("deployment"), ..context.entry("login.throttled") });
        self.0.err().map_or_else(|| ApiError::new(ErrorCode::RateLimited), ApiError::from)
    }
}

/// What is told of a failed sign-in, whatever the reason, which goes to the audit log.
pub(super) fn refuse(app: &App, context: &Context, account: Option<&AccountId>, reason: &'static str) -> ApiError {
    app.metrics.login("refused");
    app.record(crate::audit::Entry {
        subject: account.map(|account| format!("user:{account}").into()),
        reason: Some(reason),
        ..context.entry("login.failure")
    });
    ApiError::new(ErrorCode::InvalidCredentials)
}

/// Writes down that an identifier is locked from now on.
pub(super) fn note_lock(app: &App, context: &Context, account: Option<&AccountId>) {
    app.record(crate::audit::Entry {
        subject: account.map(|account| format!("user:{account}").into()),
        ..context.entry("login.locked")
    });
}

/// What is told while an identifier is locked.
pub(super) fn throttled(app: &App, context: &Context, until: Timestamp) -> ApiError {
    app.metrics.login("locked");
    app.record(context.entry("login.throttled"));
    locked(app, until.since(app.now()))
}

/// 429 for an identifier with too many failures, with the fields that go with it (R104). They say the same whether or
/// not there is an account.
#[must_use]
pub fn locked(app: &App, wait: Duration) -> ApiError {
    let seconds = u64::try_from(wait.as_millis().div_ceil(1000).max(1)).unwrap_or(u64::MAX);
    let rule = app.policy.current().policy.lockout();
    let state = format!("\"{LOCKOUT}\";r=0;t={seconds}");
    let policy = format!("\"{LOCKOUT}\";q={};w={}", rule.attempts, rule.window.as_secs());
    let error = ApiError::new(ErrorCode::AccountLocked)
        .with_details(json!({ "locked": true, "remainingSeconds": seconds, "violated-policies": [LOCKOUT] }))
        .with_retry_after(wait);
    [(RATE_LIMIT, state), (RATE_LIMIT_POLICY, policy)].into_iter().fold(error, |error, (name, text)| {
        match http::HeaderValue::from_str(&text) {
            Ok(value) => error.with_header(name, value),
            Err(_) => error,
        }
    })
}

impl From<wayleave_password::Error> for ApiError {
    fn from(error: wayleave_password::Error) -> Self {
        match error {
            wayleave_password::Error::Store(error) => error.into(),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a password could not be checked");
                Self::new(ErrorCode::InternalError)
            }
        }
    }
}
