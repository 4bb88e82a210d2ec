//! Signing in with a password, signing out, and who is signed in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wayleave::{Open, OpenError, Opened};
use wayleave_core::authentication::Evidence;
use wayleave_core::entries::Entries;
use wayleave_core::id::SessionId;
use wayleave_core::permission::Permissions;
use wayleave_core::policy::KindName;
use wayleave_core::ports::{Account, AccountId, KnownDevice};
use wayleave_core::record::Client;
use wayleave_core::token::{DeviceToken, SessionToken};
use wayleave_password::{Outcome, Password, SignIn, Verified};

use crate::access::{Context, MUST_CHANGE_PASSWORD, require_csrf};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::http::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::wire::{Done, Envelope, ErrorBody, User, rfc3339};
use wayleave_web::cookies::{Lifetime, RequestCookies, put_cookie};
use wayleave_web::csrf::CsrfBinding;

/// How long a visitor may take to sign in.
const PRE_SESSION: Duration = Duration::from_secs(24 * 3600);
/// How long a browser is remembered as a known device, and how many of an account are.
const DEVICE: Duration = Duration::from_secs(180 * 86_400);
const DEVICES: u32 = 10;
/// What the lockout of an identifier is called among rate limits.
const LOCKOUT: &str = "sign-in";

/// `{"success":true,"token":"..."}`.
#[derive(Serialize, ToSchema)]
pub struct CsrfAnswer {
    success: bool,
    /// To be sent back as `x-csrf-token`.
    token: String,
}

/// Gives a CSRF token, and sets it as the readable cookie `csrf-token`.
///
/// It is bound to the session, or before there is one to a cookie of its own, and has to be fetched again after
/// signing in, whose answer brings a new one already.
#[utoipa::path(get, path = "/api/csrf", tag = "sign-in", security(()),
    responses((status = 200, body = CsrfAnswer), (status = "default", body = ErrorBody)))]
pub async fn csrf(State(app): State<Arc<App>>, context: Context, headers: HeaderMap) -> Result<Response, ApiError> {
    let cookies = RequestCookies::read(&headers)?;
    let session = cookies.find(app.cookies.session.name())?.and_then(|text| SessionToken::parse(text).ok());
    let mut set = HeaderMap::new();
    let token = match session {
        Some(session) => {
            let token = app.csrf.issue(CsrfBinding::Session(&session.hash().0), &*app.entropy)?;
            // As long as the session; one that is over may still be signed out, or exchanged for another.
            let lives = match app.manager.validate(&session.reveal(), &context.shown()).await {
                Ok(session) => Lifetime::For(session.expires_at().since(app.now())),
                Err(_) => Lifetime::BrowserSession,
            };
            put_cookie(&mut set, cookie(app.cookies.csrf.set(&token, lives))?);
            token
        }
        None => {
            let value = match cookies.find(app.cookies.pre_session.name())?.filter(|value| value.len() == 43) {
                Some(value) => value.to_owned(),
                None => {
                    let mut random = [0; 32];
                    app.entropy.fill(&mut random)?;
                    URL_SAFE_NO_PAD.encode(random)
                }
            };
            let token = app.csrf.issue(CsrfBinding::PreSession(value.as_bytes()), &*app.entropy)?;
            put_cookie(&mut set, cookie(app.cookies.pre_session.set(&value, Lifetime::For(PRE_SESSION)))?);
            put_cookie(&mut set, cookie(app.cookies.csrf.set(&token, Lifetime::For(PRE_SESSION)))?);
            token
        }
    };
    let mut response = axum::Json(CsrfAnswer { success: true, token }).into_response();
    response.headers_mut().extend(set);
    Ok(response)
}

/// How the client wants to hold its session.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransportChoice {
    /// In an HttpOnly cookie.
    #[default]
    Cookie,
    /// As tokens, for clients that are no browser pages.
    Bearer,
}

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
    Bearer(TokenAnswer),
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

/// A session with its tokens, for bearer clients.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// Proves the session: `Authorization: Bearer ...`.
    pub session_token: String,
    /// Renews it, once.
    #[schema(required = false)]
    pub refresh_token: Option<String>,
    /// When `session_token` ends. RFC 3339.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// When the session ends, whatever happens. RFC 3339.
    #[schema(format = DateTime)]
    pub session_expires_at: String,
    /// Its public handle.
    pub session_id: String,
    /// Its kind.
    pub session_type: String,
    /// What it was granted.
    pub permissions: Vec<String>,
}

impl TokenAnswer {
    /// From a new session.
    #[must_use]
    pub fn of(record: &wayleave_core::record::Record, issued: &wayleave::Issued) -> Self {
        Self {
            session_token: issued.access.to_string(),
            refresh_token: issued.refresh.as_ref().map(|token| token.to_string()),
            expires_at: rfc3339(record.token_expires_at),
            session_expires_at: rfc3339(record.absolute_expires_at),
            session_id: record.id.to_string(),
            session_type: record.kind.to_string(),
            permissions: record.permissions.iter().map(str::to_owned).collect(),
        }
    }
}

/// Signs in with e-mail address and password.
///
/// With the cookie transport the answer sets the session cookie and a new CSRF token; no token is in the body. With
/// `"transport":"bearer"` the body has the tokens instead (`TokenAnswer`), and a request without any cookie needs no
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
    let device = cookies.find(app.cookies.device.name())?.and_then(|text| DeviceToken::parse(text).ok());
    let verified = check_password(&app, &context, &request, device.as_ref().map(|device| device.hash().0)).await?;
    // The session that this browser had ends with the sign-in, whoever's it was.
    let replaces = match context.credential() {
        Some(held) => app.manager.validate(held, &context.shown()).await.ok().map(|session| session.id()),
        None => None,
    };
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
            Ok(Envelope::new(SignedIn::Bearer(tokens)).into_response())
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

async fn check_password(
    app: &App,
    context: &Context,
    request: &LoginRequest,
    known_device: Option<[u8; 32]>,
) -> Result<Verified, ApiError> {
    let password = password(&request.password)?;
    let sign_in = SignIn { email: &request.email, password, known_device };
    match app.passwords.sign_in(sign_in).await? {
        Outcome::Verified(verified) => Ok(*verified),
        Outcome::Refused(refused) => {
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

/// A password as it was sent.
///
/// # Errors
/// 422 when it is longer than 1024 bytes.
pub fn password(text: &str) -> Result<Password, ApiError> {
    Password::new(text.to_owned()).map_err(|_| ApiError::validation(&[("password", "at most 1024 bytes")]))
}

/// The kind called `name`.
///
/// # Errors
/// 422 when there is none.
pub fn kind(app: &App, name: &str) -> Result<KindName, ApiError> {
    let unknown = || ApiError::validation(&[("session_type", "a kind that this server knows")]);
    let kind: KindName = name.parse().map_err(|_| unknown())?;
    if app.manager.rules().kinds.policy(&kind).is_some() { Ok(kind) } else { Err(unknown()) }
}

/// What kind of session a proof should open.
pub struct Opening {
    /// Its kind.
    pub kind: KindName,
    /// Whether to be remembered.
    pub remember: bool,
    /// How the client holds it.
    pub transport: TransportChoice,
    /// The session whose place it takes.
    pub replaces: Option<SessionId>,
    /// Whether it may do nothing but choose a new password.
    pub must_change_password: bool,
}

/// Opens a session from evidence.
///
/// # Errors
/// As the manager says; refusals for reasons of the account look like a wrong password.
pub async fn open_session(
    app: &App,
    context: &Context,
    evidence: Evidence,
    opening: Opening,
) -> Result<Opened, ApiError> {
    let mut held_open = Entries::new();
    let permissions = if opening.must_change_password {
        held_open.set(MUST_CHANGE_PASSWORD, b"1").map_err(|_| ApiError::new(ErrorCode::InternalError))?;
        Some(Permissions::none())
    } else {
        None
    };
    let open = Open {
        kind: opening.kind,
        permissions,
        duration: None,
        remember: opening.remember,
        refreshable: opening.transport == TransportChoice::Bearer,
        client: client(context),
        replaces: opening.replaces,
        data: Entries::new(),
        context: held_open,
    };
    app.manager.open(evidence, open, &context.origin).await.map_err(ApiError::from)
}

/// What is kept of the client that opens a session.
#[must_use]
pub fn client(context: &Context) -> Client {
    Client { label: context.device(), network: context.origin.network.as_deref().map(Into::into), fingerprint: None }
}

impl From<OpenError> for ApiError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused => Self::new(ErrorCode::InvalidCredentials),
            OpenError::LimitReached => Self::new(ErrorCode::SessionLimitReached),
            OpenError::UnknownKind => Self::validation(&[("session_type", "a kind that this server knows")]),
            OpenError::TooWeak | OpenError::Unlicensed => Self::new(ErrorCode::PermissionDenied),
            OpenError::Store(error) => error.into(),
            OpenError::Entropy(error) => error.into(),
            OpenError::ForeignEvidence | OpenError::CannotIssue(_) => {
                tracing::error!(%error, "a session could not be opened");
                Self::new(ErrorCode::InternalError)
            }
        }
    }
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

/// Sets the session cookie and a CSRF token bound to it.
///
/// # Errors
/// 500 when there is no entropy.
pub fn set_session_cookies(app: &App, headers: &mut HeaderMap, opened: &Opened) -> Result<(), ApiError> {
    let record = &opened.record;
    // Counted from the sign-in, so that 30 days are 30 days to the second.
    let lives = Lifetime::For(record.token_expires_at.since(record.last_seen_at));
    put_cookie(headers, cookie(app.cookies.session.set(&opened.issued.access, lives))?);
    let token = app.csrf.issue(CsrfBinding::Session(&record.token.0), &*app.entropy)?;
    put_cookie(headers, cookie(app.cookies.csrf.set(&token, lives))?);
    Ok(())
}

fn cookie(
    made: Result<http::HeaderValue, wayleave_web::cookies::CookieTooLarge>,
) -> Result<http::HeaderValue, ApiError> {
    made.map_err(|error| {
        tracing::error!(%error, "a cookie could not be made");
        ApiError::new(ErrorCode::InternalError)
    })
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

/// Changes an account by compare-and-set, trying again when somebody else was first.
///
/// # Errors
/// 404 when it is gone, 409 when its e-mail address is taken or too many change it at once.
pub async fn change_account(
    app: &App,
    id: &AccountId,
    mut change: impl FnMut(&mut Account) + Send,
) -> Result<Account, ApiError> {
    use wayleave_core::ports::AccountChange;
    for _ in 0..8 {
        let Some(mut account) = app.directory.accounts.by_id(id).await? else {
            return Err(ApiError::new(ErrorCode::NotFound));
        };
        change(&mut account);
        match app.directory.accounts.update(&account).await? {
            AccountChange::Done(revision) => {
                account.revision = revision;
                return Ok(account);
            }
            AccountChange::Missing => return Err(ApiError::new(ErrorCode::NotFound)),
            AccountChange::EmailTaken => return Err(ApiError::new(ErrorCode::EmailTaken)),
            AccountChange::Conflict => {}
        }
    }
    Err(ApiError::new(ErrorCode::Conflict))
}

/// Signs out: ends the session behind the cookie or the bearer token, and removes the cookies. Always 200, also when
/// there was no session, but for requests that a foreign page made and a store that does not answer.
#[utoipa::path(post, path = "/api/auth/logout", tag = "sign-in", security((), ("session" = []), ("bearer" = [])),
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn logout(State(app): State<Arc<App>>, context: Context) -> Response {
    let ended = match context.credential() {
        Some(token) => {
            app.manager.revoke_token(token, wayleave::events::Cause::SignOut, &context.shown()).await.map(drop)
        }
        None => Ok(()),
    };
    let mut response = match ended {
        Ok(()) => Done::YES.into_response(),
        Err(error) => ApiError::from(error).into_response(),
    };
    let headers = response.headers_mut();
    put_cookie(headers, app.cookies.session.removal());
    put_cookie(headers, app.cookies.csrf.removal());
    if let Ok(value) = http::HeaderValue::from_str(&app.options.clear_site_data)
        && !value.is_empty()
    {
        headers.insert("clear-site-data", value);
    }
    response
}

/// Whose session it is, and until when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionAnswer {
    /// `user_...`, or the whole subject where it is no account.
    user_id: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Whose session the request carries. Does not count as activity.
#[utoipa::path(get, path = "/api/auth/session", tag = "sign-in", security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<SessionAnswer>), (status = "default", body = ErrorBody)))]
pub async fn session(context: Context) -> Result<Envelope<SessionAnswer>, ApiError> {
    let session = context.session()?;
    let subject = session.subject();
    let user_id = subject.map(|subject| {
        AccountId::of_subject(subject).map_or_else(|| subject.to_string(), |account| account.to_string())
    });
    Ok(Envelope::new(SessionAnswer { user_id: user_id.unwrap_or_default(), expires_at: rfc3339(session.expires_at()) }))
}

/// The account behind the session.
#[utoipa::path(get, path = "/api/auth/user", tag = "sign-in", security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<User>), (status = "default", body = ErrorBody)))]
pub async fn user(State(app): State<Arc<App>>, context: Context) -> Result<Envelope<User>, ApiError> {
    let account = own_account(&app, &context).await?;
    Ok(Envelope::new(User::of(&account)))
}

/// The account of the request's session.
///
/// # Errors
/// 403 where the session belongs to no account.
pub async fn own_account(app: &App, context: &Context) -> Result<Account, ApiError> {
    let id = context
        .session()?
        .subject()
        .and_then(AccountId::of_subject)
        .ok_or_else(|| ApiError::new(ErrorCode::PermissionDenied))?;
    app.directory.accounts.by_id(&id).await?.ok_or_else(|| ApiError::new(ErrorCode::SessionInvalid))
}
