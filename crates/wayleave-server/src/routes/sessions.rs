//! Sessions: opening by service key, listing, checking, refreshing, extending, ending.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wayleave::events::Cause;
use wayleave::{ExtendError, Open, RefreshError};
use wayleave_core::entries::Entries;
use wayleave_core::id::SessionId;
use wayleave_core::permission::Ceiling;
use wayleave_core::record::{Client, Limit, MAX_LABEL};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;
use wayleave_core::token::SessionToken;
use wayleave_web::cookies::{Lifetime, put_cookie};

use super::admin::{PermissionName, permissions};
use super::opening::{self, TokenAnswer};
use super::own;
use crate::access::{Carrier, Context};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::http::query::Query;
use crate::text;
use crate::wire::{Done, Envelope, ErrorBody, PageOf, PageQuery, SessionInfo, rfc3339};

/// Longest name that a trusted backend may give a person, in bytes.
const MAX_NAME: usize = 128;

/// A session for somebody that a trusted backend vouches for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// The backend's own name for the person; the subject becomes `ext:<service>:<subject>`.
    #[schema(min_length = 1, max_length = 128, example = "customer-17")]
    subject: String,
    /// The kind; the deployment's bearer kind unless told.
    #[schema(max_length = 32)]
    session_type: Option<String>,
    /// Seconds that the tokens should live; cut down to what the kind allows.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    duration: Option<u32>,
    /// What it asks for; cut down to what key and kind allow.
    #[schema(max_items = 64)]
    permissions: Option<Vec<PermissionName>>,
    /// What the owner's list shows.
    #[schema(max_length = 256)]
    device: Option<String>,
}

/// Opens a session for a subject of a trusted backend.
///
/// Takes a service key. Permissions and duration are cut down to policy, never an error; the answer says what was
/// granted. A service key can name its own subjects only.
#[utoipa::path(post, path = "/api/auth/sessions", operation_id = "create_session", tag = "sessions", security(("service" = [])),
    request_body = CreateSession,
    responses((status = 201, body = Envelope<TokenAnswer>), (status = "default", body = ErrorBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<CreateSession>,
) -> Result<Response, ApiError> {
    let service = context.service()?;
    let malformed = || ApiError::validation(&[("subject", "1 to 128 visible ASCII characters")]);
    if request.subject.len() > MAX_NAME {
        return Err(malformed());
    }
    let subject = Subject::external(&service.name, &request.subject).map_err(|_| malformed())?;
    let duration = lifetime(request.duration)?;
    let kind = match &request.session_type {
        Some(name) => opening::kind(&app, name)?,
        None => app.options.bearer_kind.clone(),
    };
    let permissions = request.permissions.as_deref().map(permissions).transpose()?;
    let label = request.device.filter(|label| !label.is_empty());
    if label.as_ref().is_some_and(|label| label.len() > MAX_LABEL || label.chars().any(text::is_hidden)) {
        return Err(ApiError::validation(&[("device", "at most 256 bytes without control characters")]));
    }
    let evidence = app
        .provers
        .service
        .testify(subject, 0, app.now())
        .map_err(|_| ApiError::new(ErrorCode::InternalError))?
        .limited_to(&Ceiling::Only(service.permissions.clone()));
    let open = Open {
        kind,
        permissions,
        duration,
        remember: false,
        refreshable: true,
        client: Client { label: label.map(Into::into), ..Client::default() },
        replaces: None,
        data: Entries::new(),
        context: Entries::new(),
    };
    let origin = wayleave::Origin { actor: Some(format!("service:{}", service.name).into()), ..context.origin.clone() };
    let opened = app.manager.open(evidence, open, &origin).await?;
    let answer = Envelope::new(TokenAnswer::of(&opened.record, &opened.issued));
    Ok((http::StatusCode::CREATED, answer).into_response())
}

/// A lifetime that was asked for.
///
/// # Errors
/// 422 when it is no time at all.
fn lifetime(seconds: Option<u32>) -> Result<Option<Duration>, ApiError> {
    match seconds {
        Some(0) => Err(ApiError::validation(&[("duration", "at least 1")])),
        Some(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
        None => Ok(None),
    }
}

/// Lists the sessions of the person behind the request, newest first.
#[utoipa::path(get, path = "/api/auth/sessions", operation_id = "list_sessions", tag = "sessions", params(PageQuery),
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<PageOf<SessionInfo>>), (status = "default", body = ErrorBody)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    Query(page): Query<PageQuery>,
) -> Result<Envelope<PageOf<SessionInfo>>, ApiError> {
    let session = context.session()?;
    let most = page.most()?;
    let now = app.now();
    let Some(subject) = session.subject() else {
        return Ok(Envelope::new(PageOf {
            items: vec![SessionInfo::of(session.record(), Some(session), now)],
            next: None,
        }));
    };
    let listed = app.manager.list(Some(subject), page.after.as_deref(), most).await?;
    let items = listed
        .records
        .iter()
        .filter(|record| now < record.ends_at())
        .map(|record| SessionInfo::of(record, Some(session), now))
        .collect();
    Ok(Envelope::new(PageOf { items, next: listed.next.map(Into::into) }))
}

/// The session of the request.
#[utoipa::path(get, path = "/api/auth/sessions/current", operation_id = "current_session", tag = "sessions",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<SessionInfo>), (status = "default", body = ErrorBody)))]
pub async fn current(State(app): State<Arc<App>>, context: Context) -> Result<Envelope<SessionInfo>, ApiError> {
    let session = context.session()?;
    let mut info = SessionInfo::of(session.record(), Some(session), app.now());
    info.permissions = session.permissions().iter().map(str::to_owned).collect();
    info.last_activity = rfc3339(session.last_seen_at());
    info.idle_expires_at = session.idle_expires_at().map(rfc3339);
    Ok(Envelope::new(info))
}

/// A refresh.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token, which is spent by this.
    #[schema(max_length = 256)]
    refresh_token: String,
}

/// Exchanges a refresh token for a new pair.
///
/// A token is good for one use; presenting a spent one ends the whole family of sessions. A client that lost the
/// answer may ask again within a few seconds and gets the identical pair.
#[utoipa::path(post, path = "/api/auth/sessions/refresh", operation_id = "refresh_session", tag = "sessions", security(()),
    request_body = RefreshRequest,
    responses((status = 200, body = Envelope<TokenAnswer>), (status = "default", body = ErrorBody)))]
pub async fn refresh(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<RefreshRequest>,
) -> Result<Envelope<TokenAnswer>, ApiError> {
    let refreshed =
        app.manager.refresh(&request.refresh_token, &context.shown()).await.map_err(|error| match error {
            // Good wherever the clock shows something else, so the client is to keep it.
            RefreshError::Expired(Limit::NotBefore) => ApiError::new(ErrorCode::SessionRequired),
            RefreshError::Expired(_) => ApiError::new(ErrorCode::SessionExpired),
            RefreshError::Reused | RefreshError::Invalid => ApiError::new(ErrorCode::RefreshFailed),
            RefreshError::Store(error) => error.into(),
            RefreshError::Issue(error) => error.into(),
        })?;
    Ok(Envelope::new(TokenAnswer::of(&refreshed.record, &refreshed.issued)))
}

/// Signs out, like `/api/auth/logout`.
#[utoipa::path(post, path = "/api/auth/sessions/logout", operation_id = "end_current", tag = "sessions",
    security((), ("session" = []), ("bearer" = [])),
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn logout(state: State<Arc<App>>, context: Context) -> Response {
    own::logout(state, context).await
}

/// An extension.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// Seconds from now; cut down to what the kind allows. The full lifetime unless told.
    #[schema(minimum = 1, maximum = 4_294_967_295_u64)]
    duration: Option<u32>,
}

/// Until when the session lives now.
#[derive(Serialize, ToSchema)]
pub struct Extended {
    /// When the presented token ends; a JWT says so itself, and a refresh brings one that ends later. RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When it ends, whatever happens. RFC 3339.
    #[schema(format = DateTime)]
    session_expires_at: String,
}

/// Extends the session within its kind's limits. Nothing moves the absolute limit.
#[utoipa::path(post, path = "/api/auth/sessions/extend", operation_id = "extend_session", tag = "sessions",
    security(("session" = []), ("bearer" = [])), request_body = ExtendRequest,
    responses((status = 200, body = Envelope<Extended>), (status = "default", body = ErrorBody)))]
pub async fn extend(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<ExtendRequest>,
) -> Result<Response, ApiError> {
    let session = context.session()?;
    let duration = lifetime(request.duration)?;
    let record = app.manager.extend(session, duration, &context.origin).await.map_err(|error| match error {
        ExtendError::Gone => ApiError::new(ErrorCode::SessionInvalid),
        ExtendError::Store(error) => error.into(),
    })?;
    // What a JWT says of its own end no extension changes.
    let is_jwt = context.credential().is_some_and(|token| SessionToken::parse(token).is_err());
    let token_ends = if is_jwt { session.expires_at() } else { record.token_expires_at };
    let answer = Extended { expires_at: rfc3339(token_ends), session_expires_at: rfc3339(record.absolute_expires_at) };
    let mut response = Envelope::new(answer).into_response();
    if context.carrier == Carrier::Cookie {
        renew_cookie(&app, &context, response.headers_mut(), record.token_expires_at)?;
    }
    Ok(response)
}

fn renew_cookie(app: &App, context: &Context, headers: &mut HeaderMap, end: Timestamp) -> Result<(), ApiError> {
    if let Some(token) = context.credential() {
        let lives = Lifetime::For(end.since(app.now()));
        let cookie = app.cookies.session.set(token, lives).map_err(|_| ApiError::new(ErrorCode::InternalError))?;
        put_cookie(headers, cookie);
    }
    Ok(())
}

/// Ends one session of the person behind the request. Somebody else's is answered like one that does not exist.
#[utoipa::path(delete, path = "/api/auth/sessions/{id}", operation_id = "end_session", tag = "sessions",
    security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The session.", max_length = 40)),
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn end_one(State(app): State<Arc<App>>, context: Context, Path(id): Path<String>) -> Result<Done, ApiError> {
    let session = context.session()?;
    let missing = || ApiError::new(ErrorCode::NotFound);
    let id: SessionId = id.parse().map_err(|_| missing())?;
    let subject = session.subject().ok_or_else(missing)?;
    let cause = if id == session.id() { Cause::SignOut } else { Cause::Owner };
    let gone = app.manager.end_own(subject, &id, cause, &context.origin).await?;
    gone.map(|_| Done::YES).ok_or_else(missing)
}

/// Which sessions to end.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndScope {
    /// All but the one of the request.
    Others,
    /// All.
    All,
}

/// Which sessions to end.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EndQuery {
    /// `others` or `all`.
    #[param(inline)]
    scope: EndScope,
}

/// How many sessions ended.
#[derive(Serialize, ToSchema)]
pub struct EndedCount {
    /// How many.
    pub ended: usize,
}

/// Ends the other sessions, or all sessions, of the person behind the request.
#[utoipa::path(delete, path = "/api/auth/sessions", operation_id = "end_sessions", tag = "sessions",
    security(("session" = []), ("bearer" = [])), params(EndQuery),
    responses((status = 200, body = Envelope<EndedCount>), (status = "default", body = ErrorBody)))]
pub async fn end_many(
    State(app): State<Arc<App>>,
    context: Context,
    Query(query): Query<EndQuery>,
) -> Result<Response, ApiError> {
    let session = context.session()?;
    let subject = session.subject().ok_or_else(|| ApiError::new(ErrorCode::NotFound))?;
    let keep = match query.scope {
        EndScope::Others => Some(session.id()),
        EndScope::All => None,
    };
    let ended = app.manager.end_all(subject, keep, Cause::Owner, &context.origin).await?;
    let mut response = Envelope::new(EndedCount { ended: ended.0.len() }).into_response();
    if keep.is_none() && context.carrier == Carrier::Cookie {
        put_cookie(response.headers_mut(), app.cookies.session.removal());
        put_cookie(response.headers_mut(), app.cookies.csrf.removal());
    }
    Ok(response)
}
