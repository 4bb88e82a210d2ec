//! Whether a session is valid: the answer that is asked for most.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use wayleave_core::subject::Subject;
use wayleave_web::cookies::put_cookie;

use crate::access::{Context, settled};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::wire::{Envelope, ErrorBody, json, push_json_string, rfc3339};

/// Whether the session is valid, and for how long.
#[derive(Serialize, ToSchema)]
pub struct Validation<'a> {
    /// Always `true` here; a 401 carries `false` and a reason.
    valid: bool,
    /// When the presented token ends. RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
    /// Seconds until then.
    time_remaining: u64,
    /// When the session ends, whatever happens. RFC 3339.
    #[schema(format = DateTime)]
    session_expires_at: String,
    /// Its public handle.
    session_id: String,
    /// Its kind.
    session_type: &'a str,
    /// Whose it is.
    subject: Option<&'a str>,
    /// What it may do right now.
    permissions: Vec<&'a str>,
}

/// Checks the session of the request. Does not count as activity. A 401 also says `data: {valid: false, reason}`, and so
/// does the 403 of a session that must first choose a new password.
#[utoipa::path(get, path = "/api/auth/sessions/validate", operation_id = "validate_session", tag = "sessions",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<Validation<'_>>), (status = "default", body = ErrorBody)))]
pub async fn validate(State(app): State<Arc<App>>, context: Context) -> Result<Response, ApiError> {
    let invalid =
        |error: ApiError, reason: &str| error.with_data(serde_json::json!({ "valid": false, "reason": reason }));
    let proved = match context.prove(&app).await {
        Ok(session) => settled(&session).map(|()| session),
        Err(error) => Err(error),
    };
    let session = match proved {
        Ok(session) => session,
        Err(error) => {
            let reason = match error.code() {
                ErrorCode::SessionRequired => "no_token",
                ErrorCode::SessionExpired => "expired",
                ErrorCode::SessionInvalid => "invalid",
                ErrorCode::PasswordChangeRequired => "password_change_required",
                _ => return Err(error),
            };
            let is_stale = context.is_stale_cookie(&app, &error);
            let mut response = invalid(error, reason).into_response();
            if is_stale {
                put_cookie(response.headers_mut(), app.cookies.session.removal());
            }
            return Ok(response);
        }
    };
    let answer = Validation {
        valid: true,
        expires_at: rfc3339(session.expires_at()),
        time_remaining: session.expires_at().since(app.now()).as_secs(),
        session_expires_at: rfc3339(session.session_expires_at()),
        session_id: session.id().to_string(),
        session_type: session.kind().as_str(),
        subject: session.subject().map(Subject::as_str),
        permissions: session.permissions().iter().collect(),
    };
    Ok(answer.into_response())
}

impl IntoResponse for Validation<'_> {
    /// In its [`Envelope`], as `serde` would write it, by hand: no other answer is asked for as often.
    fn into_response(self) -> Response {
        json(self.text().into_bytes())
    }
}

impl Validation<'_> {
    fn text(&self) -> String {
        let Self {
            valid,
            expires_at,
            time_remaining,
            session_expires_at,
            session_id,
            session_type,
            subject,
            permissions,
        } = self;
        let mut text = String::with_capacity(512);
        text.push_str(r#"{"success":true,"data":{"valid":"#);
        text.push_str(if *valid { "true" } else { "false" });
        text.push_str(r#","expires_at":"#);
        push_json_string(&mut text, expires_at);
        text.push_str(r#","time_remaining":"#);
        // Writing to a string cannot fail.
        let _ = write!(text, "{time_remaining}");
        for (key, value) in [
            (r#","session_expires_at":"#, Some(&**session_expires_at)),
            (r#","session_id":"#, Some(&**session_id)),
            (r#","session_type":"#, Some(*session_type)),
            (r#","subject":"#, *subject),
        ] {
            text.push_str(key);
            match value {
                Some(value) => push_json_string(&mut text, value),
                None => text.push_str("null"),
            }
        }
        text.push_str(r#","permissions":["#);
        for (place, permission) in permissions.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            push_json_string(&mut text, permission);
        }
        text.push_str("]}}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_is_written_as_serde_writes_it() {
        for (subject, permissions) in [
            (Some("user:ann"), vec!["read:profile", "write:messages"]),
            (Some("ext:crm:\"a\\b\u{1}\u{7f}é"), vec!["admin"]),
            (None, vec![]),
        ] {
            let validation = Validation {
                valid: true,
                expires_at: "2026-11-21T15:00:00Z".to_owned(),
                time_remaining: 86_399,
                session_expires_at: "2026-11-22T15:00:00Z".to_owned(),
                session_id: "web_q83vASNFZ4mrze8BI0VniavN".to_owned(),
                session_type: "web",
                subject,
                permissions,
            };
            assert_eq!(validation.text(), serde_json::to_string(&Envelope::new(validation)).unwrap());
        }
    }
}
