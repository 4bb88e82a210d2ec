//! The session of the request and its account: whose it is, and signing out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::SET_COOKIE;
use serde::Serialize;
use utoipa::ToSchema;
use wayleave_core::ports::AccountId;
use wayleave_web::cookies::put_cookie;

use crate::access::Context;
use crate::accounts::own_account;
use crate::app::App;
use crate::error::ApiError;
use crate::wire::{Done, Envelope, ErrorBody, User, rfc3339};

/// Signs out: ends the session behind the cookie or the bearer token, and removes the cookies. Always 200, also when
/// there was no session, but for requests that a foreign page made and a store that does not answer. Of several session
/// cookies none ends a session, and all are removed.
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
    if context.duplicate_cookies {
        // Beside the others: they are other cookies, of the same name.
        for twin in &app.cookies.twins {
            headers.append(SET_COOKIE, twin.removal());
        }
    }
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
