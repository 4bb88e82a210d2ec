//! The audit log, for reading.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use wayleave_core::ports::{AuditQuery as Rows, AuditRow};
use wayleave_core::time::Timestamp;

use crate::app::App;
use crate::error::ApiError;
use crate::http::query::Query;
use crate::wire::{Envelope, ErrorBody, PageOf, page_size};

/// Which rows to read.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only of this node.
    #[param(max_length = 255)]
    node: Option<String>,
    /// Only of this event, such as `session.revoked`, or of all that begin with it when it ends in a dot: `session.`.
    #[param(max_length = 64)]
    event: Option<String>,
    /// Only about this subject.
    #[param(max_length = 255)]
    subject: Option<String>,
    /// Only from then on. RFC 3339.
    #[param(format = DateTime)]
    since: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    after: Option<String>,
    /// At most this many; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// One thing that happened.
#[derive(Serialize, ToSchema)]
pub struct AuditEntry {
    /// Which node wrote it down.
    node: String,
    /// Its place in that node's chain.
    sequence: u64,
    /// When, to the millisecond. RFC 3339.
    #[schema(format = DateTime)]
    at: String,
    /// What.
    #[schema(example = "session.revoked")]
    event: String,
    /// A keyed hash that stands for the session.
    session: Option<String>,
    /// Whom it concerns.
    subject: Option<String>,
    /// Who did it, if somebody else.
    actor: Option<String>,
    /// The coarse network it came from.
    source: Option<String>,
    /// Why, as a code.
    reason: Option<String>,
    /// The request's id.
    request: Option<String>,
    /// How many of the same kind it stands for.
    count: u32,
    /// More.
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
}

impl AuditEntry {
    pub(crate) fn of(row: AuditRow) -> Self {
        let AuditRow { node, link, at, event, session, subject, actor, source, reason, request, count, detail } = row;
        Self {
            node: node.into(),
            sequence: link.sequence,
            at: to_the_millisecond(at),
            event: event.into(),
            session: session.map(Into::into),
            subject: subject.map(Into::into),
            actor: actor.map(Into::into),
            source: source.map(Into::into),
            reason: reason.map(Into::into),
            request: request.map(Into::into),
            count,
            detail: detail.and_then(|detail| serde_json::from_str(&detail).ok()),
        }
    }
}

/// Reads the audit log, newest first. What administrators did before the request is in it; what happened to sessions
/// may follow a moment later.
#[utoipa::path(get, path = "/api/admin/audit", operation_id = "admin_read_audit_log", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(AuditQuery),
    responses((status = 200, body = Envelope<PageOf<AuditEntry>>), (status = "default", body = ErrorBody)))]
pub async fn query(
    State(app): State<Arc<App>>,
    Query(query): Query<AuditQuery>,
) -> Result<Envelope<PageOf<AuditEntry>>, ApiError> {
    let query = rows(query)?;
    app.audit.flush().await;
    let (rows, next) = app.directory.audit.query(&query).await?;
    let items = rows.into_iter().map(AuditEntry::of).collect();
    Ok(Envelope::new(PageOf { items, next: next.map(|cursor| cursor.to_string()) }))
}

fn rows(query: AuditQuery) -> Result<Rows, ApiError> {
    let AuditQuery { node, event, subject, since, after, limit } = query;
    let mut problems = Vec::new();
    for (name, text, most, rule) in [
        ("node", &node, 255, "at most 255 characters"),
        ("event", &event, 64, "at most 64 characters"),
        ("subject", &subject, 255, "at most 255 characters"),
    ] {
        if text.as_ref().is_some_and(|text| text.chars().count() > most) {
            problems.push((name, rule));
        }
    }
    let since = since.map(|text| text.parse::<jiff::Timestamp>()).transpose().unwrap_or_else(|_| {
        problems.push(("since", "a time as RFC 3339 writes it"));
        None
    });
    let before = after.map(|text| cursor(&text)).transpose().unwrap_or_else(|()| {
        problems.push(("after", "`next` of the page before"));
        None
    });
    if !problems.is_empty() {
        return Err(ApiError::validation(&problems));
    }
    Ok(Rows {
        node: node.map(Into::into),
        event: event.map(Into::into),
        subject: subject.map(Into::into),
        since: since.map(|at| Timestamp::from_millis(at.as_millisecond())),
        before,
        most: page_size(limit)?,
    })
}

fn cursor(text: &str) -> Result<u64, ()> {
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(())
}

fn to_the_millisecond(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> AuditQuery {
        AuditQuery { node: None, event: None, subject: None, since: None, after: None, limit: None }
    }

    #[test]
    fn queries_are_read_or_refused() {
        let all = AuditQuery {
            event: Some("session.".into()),
            since: Some("2026-01-02T03:04:05.678+01:00".into()),
            after: Some("17".into()),
            limit: Some(9),
            ..nothing()
        };
        let since = Timestamp::from_millis(1_767_319_445_678);
        assert_eq!(
            rows(all).unwrap(),
            Rows { event: Some("session.".into()), since: Some(since), before: Some(17), most: 9, ..Rows::default() }
        );
        for hostile in [
            AuditQuery { since: Some("yesterday".into()), ..nothing() },
            AuditQuery { after: Some("+1".into()), ..nothing() },
            AuditQuery { after: Some("99999999999999999999".into()), ..nothing() },
            AuditQuery { event: Some("e".repeat(65)), ..nothing() },
            AuditQuery { limit: Some(0), ..nothing() },
        ] {
            assert!(rows(hostile).is_err());
        }
    }

    #[test]
    fn times_keep_their_milliseconds() {
        assert_eq!(to_the_millisecond(Timestamp::from_millis(1_767_319_445_070)), "2026-01-02T02:04:05.070Z");
        assert_eq!(to_the_millisecond(Timestamp::from_seconds(0)), "1970-01-01T00:00:00.000Z");
    }
}
