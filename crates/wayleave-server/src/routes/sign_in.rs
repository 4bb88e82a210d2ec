//! Signing in with a password.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wayleave_core::ports::{AccountId, KnownDevice};
use wayleave_core::token::DeviceToken;
use wayleave_password::{Outcome, SignIn, Strangers, Verified};
use wayleave_web::cookies::{Lifetime, RequestCookies, put_cookie};

use super::opening::{Opening, TokenAnswer, TransportChoice, cookie, kind, open_session, set_session_cookies};
use super::password::password;
use crate::access::{Context, require_csrf};
use crate::accounts::change_account;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::http::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::wire::{Envelope, ErrorBody, User, rfc3339};

/// How long a browser is remembered as a known device, and how many of an account are.
const DEVICE: Duration = Duration::from_secs(180 * 86_400);
const DEVICES: u32 = 10;
/// Longest device token that is looked at.
const MAX_DEVICE_TOKEN: usize = 64;
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

/// Who signed in, and until when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginAnswer {
    user: User,
    session: LoginSession,
    /// Whether the session can do nothing but choose a new password.
    must_change_password: bool,
}

/// What signing in gave, by the transport that was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum SignedIn {
    /// The cookies hold the session.
    Cookie(LoginAnswer),
    /// The client holds the tokens.
    Bearer(BearerAnswer),
}

/// A session with its tokens, and what the account knows the client by.
#[derive(Serialize, ToSchema)]
pub struct BearerAnswer {
    /// The session.
    #[serde(flatten)]
    tokens: TokenAnswer,
    /// To be kept, and shown at the next sign-in; where it was asked for.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
}

/// The cookie session that was opened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginSession {
    session_id: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    expire: String,
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
    let cookies = RequestCookies::read(&headers)?;
    if request.transport == TransportChoice::Cookie || !cookies.is_empty() {
        require_csrf(&app, &headers, &cookies)?;
    }
    let bearer_kind = match (&request.session_type, request.transport) {
        (Some(_), TransportChoice::Cookie) => return Err(ApiError::new(ErrorCode::UnsupportedOption)),
        (Some(name), TransportChoice::Bearer) => Some(kind(&app, name)?),
        (None, _) => None,
    };
    let device = shown_device(&app, &request, &cookies)?;
    let verified = check_password(&app, &context, &request, device.as_ref().map(|device| device.hash().0)).await?;
    // The session that this browser had ends with the sign-in, whoever's it was.
    let replaces = context.held(&app).await?.map(|session| session.id());
    app.metrics.login("success");
    let account = verified.account.clone();
    let new_device = request.transport == TransportChoice::Cookie && !verified.known_device;
    let open = Opening {
        kind: match request.transport {
            TransportChoice::Cookie => app.options.cookie_kind.clone(),
            TransportChoice::Bearer => bearer_kind.unwrap_or_else(|| app.options.bearer_kind.clone()),
        },
        remember: request.remember_me && request.transport == TransportChoice::Cookie,
        transport: request.transport,
        replaces,
        must_change_password: verified.must_change_password,
    };
    let opened = open_session(&app, &context, verified.evidence, open).await?;
    app.record(crate::audit::Entry {
        subject: opened.record.subject.as_ref().map(|subject| subject.as_str().into()),
        session: Some(app.reference(&opened.record.id)),
        // For whoever watches the log: somebody signed in where nobody had before (R105).
        reason: new_device.then_some("new_device"),
        ..context.entry("login.success")
    });
    note_sign_in(&app, &account.id).await;
    match request.transport {
        TransportChoice::Bearer => {
            let tokens = TokenAnswer::of(&opened.record, &opened.issued);
            let shown = device.as_ref().filter(|_| request.device_token.is_some());
            let device_token = if request.remember_device || shown.is_some() {
                remember_device(&app, &account.id, shown).await
            } else {
                None
            };
            Ok(Envelope::new(SignedIn::Bearer(BearerAnswer { tokens, device_token })).into_response())
        }
        TransportChoice::Cookie => {
            let answer = LoginAnswer {
                user: User::of(&account),
                session: LoginSession {
                    session_id: opened.record.id.to_string(),
                    expire: rfc3339(opened.record.token_expires_at),
                },
                must_change_password: account.must_change_password,
            };
            let mut response = Envelope::new(SignedIn::Cookie(answer)).into_response();
            set_session_cookies(&app, response.headers_mut(), &opened)?;
            let known = remember_device(&app, &account.id, device.as_ref()).await;
            if let Some(known) = known {
                put_cookie(response.headers_mut(), cookie(app.cookies.device.set(&known, Lifetime::For(DEVICE)))?);
            }
            put_cookie(response.headers_mut(), app.cookies.pre_session.removal());
            Ok(response)
        }
    }
}

/// What the client says that the account knows it by.
fn shown_device(
    app: &App,
    request: &LoginRequest,
    cookies: &RequestCookies<'_>,
) -> Result<Option<DeviceToken>, ApiError> {
    let shown = match (request.transport, &request.device_token) {
        (TransportChoice::Bearer, Some(token)) if token.len() > MAX_DEVICE_TOKEN => {
            return Err(ApiError::validation(&[("device_token", "at most 64 characters")]));
        }
        (TransportChoice::Bearer, Some(token)) => Some(token.as_str()),
        (TransportChoice::Bearer, None) => cookies.find(app.cookies.device.name())?,
        (TransportChoice::Cookie, None) if !request.remember_device => cookies.find(app.cookies.device.name())?,
        (TransportChoice::Cookie, _) => return Err(ApiError::new(ErrorCode::UnsupportedOption)),
    };
    Ok(shown.and_then(|text| DeviceToken::parse(text).ok()))
}

async fn check_password(
    app: &App,
    context: &Context,
    request: &LoginRequest,
    known_device: Option<[u8; 32]>,
) -> Result<Verified, ApiError> {
    let password = password(&request.password)?;
    let crowd = app.failed_attempts.as_ref().map_or(Ok(()), |failed| failed.look(context.client));
    let strangers = if crowd.is_ok() { Strangers::Admitted } else { Strangers::TurnedAway };
    match app.passwords.sign_in(SignIn { email: &request.email, password, known_device, strangers }).await? {
        Outcome::Verified(verified) => Ok(*verified),
        Outcome::Refused(refused) => {
            if let Some(failed) = &app.failed_attempts {
                failed.count(context.client);
            }
            app.metrics.login("refused");
            app.record(crate::audit::Entry {
                subject: refused.account().map(|account| format!("user:{account}").into()),
                reason: Some(refused.reason().as_str()),
                ..context.entry("login.failure")
            });
            if refused.locks() {
                app.record(crate::audit::Entry {
                    subject: refused.account().map(|account| format!("user:{account}").into()),
                    ..context.entry("login.locked")
                });
            }
            Err(ApiError::new(ErrorCode::InvalidCredentials))
        }
        Outcome::Locked { until } => {
            app.metrics.login("locked");
            app.record(context.entry("login.throttled"));
            Err(locked(app, until.since(app.now())))
        }
        Outcome::TurnedAway => {
            app.metrics.login("turned_away");
            app.record(crate::audit::Entry { reason: Some("deployment"), ..context.entry("login.throttled") });
            Err(crowd.err().map_or_else(|| ApiError::new(ErrorCode::RateLimited), ApiError::from))
        }
        Outcome::Busy(busy) => Err(ApiError::new(ErrorCode::Overloaded).with_retry_after(busy.retry_after)),
    }
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

/// Makes the browser known to the account; its cookie's new value. A failure costs nothing but the comfort.
async fn remember_device(app: &App, account: &AccountId, replaces: Option<&DeviceToken>) -> Option<String> {
    let mut random = [0; 34];
    app.entropy.fill(&mut random).ok()?;
    let token = DeviceToken::new(random);
    let now = app.now();
    let device = KnownDevice { key: token.hash().0, expires_at: now.plus(DEVICE) };
    let replaces = replaces.map(|old| old.hash().0);
    match app.directory.devices.remember(account, &device, replaces, DEVICES, now).await {
        Ok(()) => Some(token.reveal().to_string()),
        Err(error) => {
            tracing::warn!(%error, "a device could not be remembered");
            None
        }
    }
}

/// Writes down when somebody last signed in. A failure costs nothing.
async fn note_sign_in(app: &App, id: &AccountId) {
    let now = app.now();
    let noted = change_account(app, id, |account| account.last_sign_in_at = Some(now)).await;
    if let Err(error) = noted {
        tracing::warn!(?error, "the time of a sign-in could not be written down");
    }
}
