//! Who is asking, and whether the route lets them: runs in front of every handler, by the row of the route table.
//!
//! A request shows at most one credential: the session cookie or one `Authorization: Bearer`, which holds an access
//! token or a service key. Cookies are judged by Origin, Fetch Metadata and the CSRF token before anything else is
//! done with them.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::response::{IntoResponse as _, Response};
use http::header::USER_AGENT;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use tracing::Instrument as _;
use wayleave::{Origin, Session, Shown, ValidateError};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Account, ServiceKey};
use wayleave_core::record::{Fingerprint, Limit};
use wayleave_core::token::{RefreshToken, ServiceToken, SessionToken, TOKEN_LENGTH};
use wayleave_web::activity::is_users_doing;
use wayleave_web::bearer::{Authorization, authorization};
use wayleave_web::cookies::{InvalidCookie, RequestCookies, put_cookie};
use wayleave_web::csrf::{CsrfBinding, CsrfFailure, Submitted};
use wayleave_web::fetch_metadata::{self, Sensitivity, Verdict};
use zeroize::Zeroizing;

use crate::app::App;
use crate::audit::Entry;
use crate::device::Device;
use crate::error::{ApiError, ErrorCode, StepUp};
use crate::http::client_address::ClientAddress;
use crate::http::rate_limit::{RateKey, Refusal};
use crate::http::request_id::RequestId;
use crate::unknown::{Turn, UnknownCredentials};

/// The permission that administration takes.
pub const ADMIN: &str = "admin";

/// The context entry of a session that may do nothing but choose a new password.
pub const MUST_CHANGE_PASSWORD: &str = "must_change_password";

/// What a route demands of whoever asks.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Nothing.
    Nobody,
    /// A valid session, also one that may do nothing but choose a new password.
    AnySession,
    /// A valid session with a recent sign-in, also one that may do nothing but choose a new password.
    AnyFresh,
    /// A valid session.
    Session,
    /// A valid session with a recent sign-in.
    Fresh,
    /// A valid session with the `admin` permission and a recent sign-in.
    Admin,
    /// A service key.
    Service,
}

/// How a route is protected against requests that a foreign page makes with somebody's cookies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CsrfRule {
    /// A CSRF token, whenever the request carries a cookie of ours.
    Token,
    /// The right Origin is enough: for signing out, which must work when the token has expired.
    Origin,
    /// The handler decides, since it depends on the body.
    Handler,
}

/// Whether a request to a route counts as its user's activity.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ActivityRule {
    /// It does.
    Counts,
    /// It only asks how things stand.
    Asks,
}

/// What the guard needs to know of a route.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who may.
    pub demand: Demand,
    /// How cookies are protected.
    pub csrf: CsrfRule,
    /// What it means for the idle limit.
    pub activity: ActivityRule,
}

/// How a credential came.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// Not at all.
    Nothing,
    /// In the session cookie.
    Cookie,
    /// In the `Authorization` header.
    Bearer,
}

/// A request, as far as handlers care who sent it. Handlers take it as an argument.
#[derive(Clone)]
pub struct Context {
    /// For events and the audit log.
    pub origin: Origin,
    /// How the credential came.
    pub carrier: Carrier,
    /// The credential itself.
    credential: Option<Arc<Zeroizing<String>>>,
    /// The session behind it, where the route demands one.
    session: Option<Session>,
    /// The service behind it, where the route demands one.
    service: Option<Arc<ServiceKey>>,
    /// The `User-Agent`.
    agent: Option<HeaderValue>,
    /// What is stable about the client.
    pub fingerprint: Option<Fingerprint>,
    active: bool,
    /// Whether there were several session cookies, none of which counts.
    pub duplicate_cookies: bool,
    /// Where the client is on the network, where that is known.
    pub client: Option<ClientAddress>,
    /// What credentials that prove nothing are counted against.
    unknown: Option<Arc<UnknownCredentials>>,
}

impl Context {
    /// The session of the request. Routes that demand one always have it.
    ///
    /// # Errors
    /// 401 where there is none.
    pub fn session(&self) -> Result<&Session, ApiError> {
        self.session.as_ref().ok_or_else(|| ApiError::new(ErrorCode::SessionRequired))
    }

    /// The service of the request. Routes that demand one always have it.
    ///
    /// # Errors
    /// 401 where there is none.
    pub fn service(&self) -> Result<&ServiceKey, ApiError> {
        self.service.as_deref().ok_or_else(|| ApiError::new(ErrorCode::SessionRequired))
    }

    /// The credential, for routes that look at it themselves.
    #[must_use]
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_ref().map(|credential| credential.as_str())
    }

    /// Validates the credential, and counts it against its client's limits when it is not valid (A11).
    ///
    /// What memory knows as valid is never refused for what others behind the same address sent. Anything else is looked
    /// for in the store as [`UnknownCredentials`] lets it.
    ///
    /// # Errors
    /// 401 `session_required`, `session_expired` or `session_invalid`; 429 for a client that showed too many that prove
    /// nothing; 503 when the store does not answer.
    pub async fn prove(&self, app: &App) -> Result<Session, ApiError> {
        let Some(credential) = self.credential() else {
            return Err(ApiError::new(ErrorCode::SessionRequired));
        };
        let shown = self.shown();
        if let Some(session) = app.manager.validate_warm(credential, &shown) {
            return Ok(session);
        }
        if app.manager.is_plainly_invalid(credential) {
            return Err(self.unknown_credential(app, credential));
        }
        let turn = self.turn(app, credential).await?;
        let proved = app.manager.validate(credential, &shown).await;
        drop(turn);
        match proved {
            Ok(session) => {
                self.remember(credential);
                Ok(session)
            }
            Err(ValidateError::Expired(Limit::NotBefore)) => Err(self.early_credential(app, credential)),
            Err(ValidateError::Expired(_)) => Err(self.ended_credential(app, credential)),
            Err(ValidateError::Invalid) => Err(self.unknown_credential(app, credential)),
            Err(ValidateError::Store(error)) => Err(error.into()),
        }
    }

    /// The valid session behind the credential, if there is one, whatever its client has shown before: for whoever has
    /// proved something else already, and gets another session in its place.
    ///
    /// # Errors
    /// 503 when the store does not answer.
    pub async fn held(&self, app: &App) -> Result<Option<Session>, ApiError> {
        let Some(credential) = self.credential() else { return Ok(None) };
        match app.manager.validate(credential, &self.shown()).await {
            Ok(session) => Ok(Some(session)),
            Err(ValidateError::Expired(_) | ValidateError::Invalid) => Ok(None),
            Err(ValidateError::Store(error)) => Err(error.into()),
        }
    }

    /// Whether a refusal should also remove the session cookie: it is of no more use, and no newer one can have come
    /// to the browser meanwhile that the removal would take instead (R067).
    #[must_use]
    pub fn is_stale_cookie(&self, app: &App, error: &ApiError) -> bool {
        self.carrier == Carrier::Cookie
            && matches!(error.code(), ErrorCode::SessionExpired | ErrorCode::SessionInvalid)
            && !self.credential().is_some_and(|token| app.manager.was_replaced(token))
    }

    /// The right to look for a credential in a store.
    async fn turn(&self, app: &App, credential: &str) -> Result<Option<Turn<'_>>, ApiError> {
        let Some(unknown) = &self.unknown else { return Ok(None) };
        match unknown.admit(self.rate_key(), credential).await {
            Ok(turn) => Ok(Some(turn)),
            Err(refusal) => Err(self.too_many_unknown(app, refusal)),
        }
    }

    fn remember(&self, credential: &str) {
        if let Some(unknown) = &self.unknown {
            unknown.remember(credential);
        }
    }

    /// What a client is told whose credential is not valid.
    fn unknown_credential(&self, app: &App, credential: &str) -> ApiError {
        let counted = self.unknown.as_ref().map_or(Ok(()), |to| to.count_unknown(self.rate_key(), credential));
        counted
            .map_or_else(|refusal| self.too_many_unknown(app, refusal), |()| ApiError::new(ErrorCode::SessionInvalid))
    }

    /// What a client is told whose credential has ended.
    fn ended_credential(&self, app: &App, credential: &str) -> ApiError {
        let counted = self.unknown.as_ref().map_or(Ok(()), |to| to.count_ended(self.rate_key(), credential));
        counted
            .map_or_else(|refusal| self.too_many_unknown(app, refusal), |()| ApiError::new(ErrorCode::SessionExpired))
    }

    /// What a client is told whose session was opened in the future by this server's clock. It keeps its cookie, which
    /// may be good for every other server.
    fn early_credential(&self, app: &App, credential: &str) -> ApiError {
        let told = self.ended_credential(app, credential);
        if told.code() == ErrorCode::SessionExpired { ApiError::new(ErrorCode::SessionRequired) } else { told }
    }

    fn rate_key(&self) -> RateKey {
        self.client.map_or(RateKey::EVERYONE, RateKey::of)
    }

    fn too_many_unknown(&self, app: &App, refusal: Refusal) -> ApiError {
        app.record(Entry { reason: Some("unknown_credential"), ..self.entry("request.rate_limited") });
        refusal.into()
    }

    /// The same request with its session as it is now, for handlers that take their time.
    ///
    /// # Errors
    /// As [`Self::prove`].
    pub async fn renewed(&self, app: &App) -> Result<Self, ApiError> {
        Ok(Self { session: Some(self.prove(app).await?), ..self.clone() })
    }

    /// Whether the request is its user's doing, on a route where that counts.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.active
    }

    /// The device, as far as it told.
    #[must_use]
    pub fn device(&self) -> Option<Box<str>> {
        self.agent.as_ref().and_then(|agent| agent.to_str().ok()).and_then(|agent| Device::of(agent).label())
    }

    /// What the request shows to the session manager.
    #[must_use]
    pub fn shown(&self) -> Shown {
        Shown { fingerprint: self.fingerprint, vouched: false, active: self.active, origin: self.origin.clone() }
    }

    /// The subject of the request's session, as the actor of what it does to others.
    #[must_use]
    pub fn as_actor(&self) -> Origin {
        let actor = self.session.as_ref().and_then(Session::subject).map(|subject| subject.as_str().into());
        Origin { actor, ..self.origin.clone() }
    }

    /// An audit entry of this request.
    #[must_use]
    pub fn entry(&self, event: &'static str) -> Entry {
        Entry {
            event,
            actor: self.origin.actor.as_deref().map(Into::into),
            source: self.origin.network.as_deref().map(Into::into),
            request: self.origin.request.as_deref().map(Into::into),
            ..Entry::default()
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // The guard puts it there for every row of the table. A handler takes it once.
        parts.extensions.remove::<Self>().ok_or_else(|| ApiError::new(ErrorCode::InternalError))
    }
}

/// The guard of one row.
pub struct Guard {
    /// The application.
    pub app: Arc<App>,
    /// The row's rules.
    pub rules: Rules,
    /// What credentials that prove nothing are counted against.
    pub unknown_credentials: Option<Arc<UnknownCredentials>>,
}

impl Guard {
    /// Lets a request through to its handler, or refuses it.
    pub(crate) async fn pass<F>(&self, request: Request, handler: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let mut stale_cookie = false;
        let (mut parts, body) = request.into_parts();
        let mut response = match admit(self, &parts, &mut stale_cookie).await {
            Ok(context) => {
                parts.extensions.insert(context);
                let changes = !parts.method.is_safe();
                let answer = handler(Request::from_parts(parts, body));
                if changes { to_its_end(answer).await } else { answer.await }
            }
            Err(error) => error.into_response(),
        };
        if stale_cookie {
            let session = &self.app.cookies.session;
            // A handler that set a new cookie has the last word.
            let sets_cookie = response
                .headers()
                .get_all(http::header::SET_COOKIE)
                .iter()
                .any(|cookie| cookie.as_bytes().starts_with(session.name().as_bytes()));
            if !sets_cookie {
                put_cookie(response.headers_mut(), session.removal());
            }
        }
        response
    }
}

/// Runs a handler that changes something to its end, also when the client hangs up or the deadline passes: what is
/// written must not stay without what follows from it, in memory and in the audit log.
async fn to_its_end(answer: impl Future<Output = Response> + Send + 'static) -> Response {
    match tokio::spawn(answer.in_current_span()).await {
        Ok(response) => response,
        Err(lost) if lost.is_panic() => std::panic::resume_unwind(lost.into_panic()),
        Err(_) => ApiError::new(ErrorCode::InternalError).into_response(),
    }
}

async fn admit(guard: &Guard, request: &Parts, stale_cookie: &mut bool) -> Result<Context, ApiError> {
    let Guard { app, rules, unknown_credentials } = guard;
    let headers = &request.headers;
    let origin = Origin {
        request: request.extensions.get::<RequestId>().map(RequestId::shared),
        network: request.extensions.get::<ClientAddress>().map(|address| address.coarse_text()),
        actor: None,
    };
    if request.uri.query().is_some_and(holds_token) {
        app.record(Entry {
            event: "token.in_url",
            source: origin.network.as_deref().map(Into::into),
            request: origin.request.as_deref().map(Into::into),
            ..Entry::default()
        });
    }
    let cookies = RequestCookies::read(headers)?;
    let found = cookies.find(app.cookies.session.name()).inspect_err(|error| match error {
        InvalidCookie::Duplicate => app.record(Entry {
            event: "cookie.duplicate",
            source: origin.network.as_deref().map(Into::into),
            request: origin.request.as_deref().map(Into::into),
            ..Entry::default()
        }),
        InvalidCookie::TooLarge | InvalidCookie::Malformed => {}
    });
    let (cookie, is_duplicate) = match (found, rules.csrf) {
        (Ok(cookie), _) => (cookie, false),
        // Signing out is how a browser gets rid of them. None of them is taken for the session.
        (Err(InvalidCookie::Duplicate), CsrfRule::Origin) => (None, true),
        (Err(error), CsrfRule::Token | CsrfRule::Origin | CsrfRule::Handler) => return Err(error.into()),
    };
    let bearer = match authorization(headers)? {
        Authorization::Bearer(token) => Some(token.as_str()),
        Authorization::Absent | Authorization::OtherScheme => None,
    };
    let (carrier, credential) = match (cookie, bearer) {
        (Some(_), Some(_)) => return Err(ApiError::new(ErrorCode::InvalidRequest)),
        (Some(cookie), None) => (Carrier::Cookie, Some(cookie)),
        (None, Some(bearer)) => (Carrier::Bearer, Some(bearer)),
        (None, None) => (Carrier::Nothing, None),
    };
    if !request.method.is_safe() {
        defend(app, *rules, &request.method, headers, &cookies, carrier).inspect_err(|error| {
            app.record(Entry {
                event: "request.refused",
                source: origin.network.as_deref().map(Into::into),
                request: origin.request.as_deref().map(Into::into),
                reason: Some(error.code().as_str()),
                ..Entry::default()
            });
        })?;
    }
    let client = request.extensions.get::<ClientAddress>().copied();
    let fingerprint = match &app.fingerprints {
        // Nobody opens a session by looking.
        Some(fingerprints) if credential.is_some() || !request.method.is_safe() => {
            Some(fingerprints.of(headers, client)?)
        }
        Some(_) | None => None,
    };
    let mut context = Context {
        origin,
        fingerprint,
        agent: headers.get(USER_AGENT).cloned(),
        carrier,
        credential: credential.map(|credential| Arc::new(Zeroizing::new(credential.to_owned()))),
        session: None,
        service: None,
        duplicate_cookies: is_duplicate,
        active: rules.activity == ActivityRule::Counts && is_users_doing(&request.method, headers),
        client,
        unknown: unknown_credentials.clone(),
    };
    match rules.demand {
        Demand::Nobody => {}
        Demand::Service => context.service = Some(Arc::new(service(app, &context, credential).await?)),
        Demand::AnySession | Demand::AnyFresh | Demand::Session | Demand::Fresh | Demand::Admin => {
            let session = context.prove(app).await.inspect_err(|error| {
                *stale_cookie = context.is_stale_cookie(app, error);
            })?;
            meets(app, rules.demand, &session)?;
            context.session = Some(session);
        }
    }
    Ok(context)
}

/// Whether a query has something like one of our tokens in it. Nobody reads it there, and somebody's log has it now (R008).
fn holds_token(query: &str) -> bool {
    let values = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value);
    let prefixes = [SessionToken::PREFIX, RefreshToken::PREFIX, ServiceToken::PREFIX];
    values.into_iter().any(|value| value.len() == TOKEN_LENGTH && prefixes.iter().any(|start| value.starts_with(start)))
}

/// Whether the request could have been made by a foreign page with somebody's cookies (R044-R051).
fn defend(
    app: &App,
    rules: Rules,
    method: &Method,
    headers: &HeaderMap,
    cookies: &RequestCookies<'_>,
    carrier: Carrier,
) -> Result<(), ApiError> {
    let from_browser = ["origin", "sec-fetch-site", "referer"].iter().any(|name| headers.contains_key(*name));
    if cookies.is_empty() && (!from_browser || carrier == Carrier::Bearer) {
        return Ok(());
    }
    let sensitivity = match rules.csrf {
        CsrfRule::Origin => Sensitivity::Sensitive,
        CsrfRule::Token | CsrfRule::Handler => Sensitivity::Ordinary,
    };
    let verdict = fetch_metadata::judge(&app.cookies.origins, method, headers, sensitivity);
    match rules.csrf {
        CsrfRule::Handler => Ok(verdict.into_result()?),
        CsrfRule::Token => {
            verdict.into_result()?;
            check_csrf(app, headers, cookies)
        }
        // With a good token the Origin need not be shown, and the other way round.
        CsrfRule::Origin => match verdict {
            Verdict::Allow => Ok(()),
            Verdict::Deny(_) if !from_browser => check_csrf(app, headers, cookies),
            Verdict::Deny(reason) => Err(reason.into()),
        },
    }
}

/// Checks the CSRF token of a request that carries cookies of ours; one without any needs none.
///
/// # Errors
/// 403 `csrf_failed`.
pub fn check_csrf(app: &App, headers: &HeaderMap, cookies: &RequestCookies<'_>) -> Result<(), ApiError> {
    let session = cookies.find(app.cookies.session.name())?;
    let pre_session = cookies.find(app.cookies.pre_session.name())?;
    if session.is_none() && pre_session.is_none() {
        return Ok(());
    }
    require_csrf(app, headers, cookies)
}

/// Checks the CSRF token of a request, whatever cookies it carries.
///
/// # Errors
/// 403 `csrf_failed`.
pub fn require_csrf(app: &App, headers: &HeaderMap, cookies: &RequestCookies<'_>) -> Result<(), ApiError> {
    let session = cookies.find(app.cookies.session.name())?;
    let pre_session = cookies.find(app.cookies.pre_session.name())?;
    let explicit = headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
    let submitted = Submitted { explicit, cookie: cookies.find(app.cookies.csrf.name())? };
    let hash = session.and_then(|text| SessionToken::parse(text).ok()).map(|token| token.hash());
    let checked = match (&hash, pre_session) {
        (Some(hash), _) => app.csrf.verify(submitted, CsrfBinding::Session(&hash.0)),
        (None, Some(value)) => app.csrf.verify(submitted, CsrfBinding::PreSession(value.as_bytes())),
        (None, None) => Err(CsrfFailure::Missing),
    };
    checked.map_err(|_| ApiError::new(ErrorCode::CsrfFailed))
}

async fn service(app: &App, context: &Context, credential: Option<&str>) -> Result<ServiceKey, ApiError> {
    let Some(credential) = credential.filter(|_| context.carrier == Carrier::Bearer) else {
        return Err(ApiError::new(ErrorCode::SessionRequired));
    };
    let token = ServiceToken::parse(credential).map_err(|_| context.unknown_credential(app, credential))?;
    let turn = context.turn(app, credential).await?;
    let key = app.directory.service_keys.by_key(token.hash().0).await?;
    drop(turn);
    match key.filter(|key| key.is_live(app.now())) {
        Some(key) => {
            context.remember(credential);
            Ok(key)
        }
        None => Err(context.unknown_credential(app, credential)),
    }
}

/// Whether a valid session is enough for what the route demands.
fn meets(app: &App, demand: Demand, session: &Session) -> Result<(), ApiError> {
    let max_age = app.options.step_up_max_age;
    let fresh =
        || session.fresh(max_age, app.now()).map_err(|_| ApiError::step_up(StepUp { acr_values: "1", max_age }));
    match demand {
        Demand::Nobody | Demand::Service | Demand::AnySession => Ok(()),
        Demand::AnyFresh => fresh(),
        Demand::Session => settled(session),
        Demand::Fresh => {
            settled(session)?;
            fresh()
        }
        Demand::Admin => {
            permitted(session, ADMIN)?;
            fresh()
        }
    }
}

/// Whether a session may do nothing but choose a new password.
#[must_use]
pub fn must_change_password(session: &Session) -> bool {
    session.record().context.get(MUST_CHANGE_PASSWORD).is_some()
}

/// Whether nothing has to be done before a session may do anything else.
///
/// # Errors
/// 403 `password_change_required`.
pub fn settled(session: &Session) -> Result<(), ApiError> {
    if must_change_password(session) { Err(ApiError::new(ErrorCode::PasswordChangeRequired)) } else { Ok(()) }
}

/// Whether an account may administer.
#[must_use]
pub fn administers(account: &Account) -> bool {
    !account.disabled && account.permissions.contains(ADMIN)
}

/// Whether a session holds a permission.
///
/// # Errors
/// 403 `permission_denied`, or `password_change_required` where that is what stands in the way.
pub fn permitted(session: &Session, permission: &str) -> Result<(), ApiError> {
    settled(session)?;
    if session.permissions().contains(permission) {
        return Ok(());
    }
    // What is no permission at all is not repeated to whoever asked.
    match Permissions::new([permission]) {
        Ok(_) => Err(ApiError::permission_denied(permission)),
        Err(_) => Err(ApiError::new(ErrorCode::PermissionDenied)),
    }
}
