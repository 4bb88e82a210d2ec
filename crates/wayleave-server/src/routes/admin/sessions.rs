//! Everybody's sessions: who is signed in where, and ending any of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Deserialize;
use wayleave::events::Cause;
use wayleave_core::id::SessionId;
use wayleave_core::ports::Lookup;
use wayleave_core::subject::Subject;

use crate::access::Context;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::query::Query;
use crate::routes::sessions::EndedCount;
use crate::wire::{Done, Envelope, ErrorBody, PageOf, SessionInfo, page_size};

/// Longest cursor.
const MOST_CURSOR: usize = 512;

/// Which sessions to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Only of this subject, such as `user:user_...` or `ext:shop:4711`; everybody's unless told.
    #[param(max_length = 255, pattern = "^(user|eip155|ic|zk):[!-~]+$|^ext:[!-9;-~]+:[!-~]+$")]
    subject: Option<String>,
    /// `next` of the page before.
    #[param(max_length = 512)]
    after: Option<String>,
    /// At most this many; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists sessions, ended ones that are still on record included: of one subject newest first, of everybody in a
/// stable order.
#[utoipa::path(get, path = "/api/admin/sessions", operation_id = "admin_list_sessions", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(SessionQuery),
    responses((status = 200, body = Envelope<PageOf<SessionInfo>>), (status = "default", body = ErrorBody)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    Query(query): Query<SessionQuery>,
) -> Result<Envelope<PageOf<SessionInfo>>, ApiError> {
    let SessionQuery { subject, after, limit } = query;
    let subject = subject.map(|text| parse_subject(&text)).transpose()?;
    if after.as_ref().is_some_and(|cursor| cursor.chars().count() > MOST_CURSOR) {
        return Err(ApiError::validation(&[("after", "`next` of the page before")]));
    }
    let session = context.session()?;
    let page = app.manager.list(subject.as_ref(), after.as_deref(), page_size(limit)?).await?;
    let now = app.now();
    let items = page.records.iter().map(|record| SessionInfo::of(record, Some(session), now)).collect();
    Ok(Envelope::new(PageOf { items, next: page.next.map(Into::into) }))
}

/// Shows one session, ended or not.
#[utoipa::path(get, path = "/api/admin/sessions/{id}", operation_id = "admin_show_session", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The session.", max_length = 32)),
    responses((status = 200, body = Envelope<SessionInfo>), (status = "default", body = ErrorBody)))]
pub async fn show(
    State(app): State<Arc<App>>,
    context: Context,
    Path(id): Path<String>,
) -> Result<Envelope<SessionInfo>, ApiError> {
    let id = parse_id(&id)?;
    let session = context.session()?;
    let record = app.store.find(Lookup::Id(app.manager.slot(&id), id)).await?.ok_or_else(missing)?;
    Ok(Envelope::new(SessionInfo::of(&record, Some(session), app.now())))
}

/// Ends one session, whoever's it is.
#[utoipa::path(delete, path = "/api/admin/sessions/{id}", operation_id = "admin_end_session", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The session.", max_length = 32)),
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn end_one(State(app): State<Arc<App>>, context: Context, Path(id): Path<String>) -> Result<Done, ApiError> {
    let id = parse_id(&id)?;
    let gone = app.manager.end_one(&id, Cause::Administrator, &context.as_actor()).await?;
    gone.map(|_| Done::YES).ok_or_else(missing)
}

/// Whose sessions to end.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SubjectQuery {
    /// The whole subject, such as `user:user_...` or `ext:shop:4711`.
    #[param(max_length = 255, pattern = "^(user|eip155|ic|zk):[!-~]+$|^ext:[!-9;-~]+:[!-~]+$")]
    subject: String,
}

/// Ends every session of a subject.
#[utoipa::path(delete, path = "/api/admin/sessions", operation_id = "admin_end_sessions_of_subject", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(SubjectQuery),
    responses((status = 200, body = Envelope<EndedCount>), (status = "default", body = ErrorBody)))]
pub async fn end_all(
    State(app): State<Arc<App>>,
    context: Context,
    Query(query): Query<SubjectQuery>,
) -> Result<Envelope<EndedCount>, ApiError> {
    let subject = parse_subject(&query.subject)?;
    let ended = app.manager.end_all(&subject, None, Cause::Administrator, &context.as_actor()).await?;
    Ok(Envelope::new(EndedCount { ended: ended.0.len() }))
}

fn parse_subject(text: &str) -> Result<Subject, ApiError> {
    text.parse().map_err(|_| ApiError::validation(&[("subject", "`<namespace>:<name>`, at most 255 bytes")]))
}

fn parse_id(text: &str) -> Result<SessionId, ApiError> {
    text.parse().map_err(|_| missing())
}

fn missing() -> ApiError {
    ApiError::new(ErrorCode::NotFound)
}
