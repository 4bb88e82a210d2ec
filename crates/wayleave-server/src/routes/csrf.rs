//! CSRF tokens for pages.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use wayleave_core::token::SessionToken;
use wayleave_web::cookies::{Lifetime, RequestCookies, put_cookie};
use wayleave_web::csrf::CsrfBinding;

use super::opening::cookie;
use crate::access::Context;
use crate::app::App;
use crate::error::ApiError;
use crate::wire::ErrorBody;

/// How long a visitor may take to sign in.
const PRE_SESSION: Duration = Duration::from_secs(24 * 3600);

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
            let lives = match context.prove(&app).await {
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
