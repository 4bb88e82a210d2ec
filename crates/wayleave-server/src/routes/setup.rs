//! The first administrator: a one-time token, which exists only while there is none, becomes an account.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use wayleave_core::authentication::Method;
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{EmailAddress, InsertAccount, SetSetting};
use wayleave_core::ticket::Purpose;
use wayleave_core::token::LinkToken;

use super::password;
use crate::access::{ADMIN, Context};
use crate::accounts;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body;
use crate::http::limits::{is_json, is_media};
use crate::wire::{Envelope, ErrorBody, User};

/// The setting whose existence says that the first administrator was made.
const CLAIMED: &str = "first-administrator";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}\
label{display:block;margin:1rem 0 .25rem}input{width:100%;padding:.5rem;font:inherit;box-sizing:border-box}\
button{margin-top:1.5rem;padding:.6rem 1.2rem;font:inherit}p.error{color:#b00020}\
@media(prefers-color-scheme:dark){body{background:#121212;color:#eee}p.error{color:#ff8a80}}";

/// Takes the token out of the address, where it never reaches a server, and out of the history.
const SCRIPT: &str = "if(location.hash.length>1){document.getElementById('token').value=\
decodeURIComponent(location.hash.slice(1));history.replaceState(null,'',location.pathname)}";

/// The page that makes the first administrator.
#[utoipa::path(get, path = "/setup", operation_id = "setup_page", tag = "account", security(()),
    responses((status = 200, description = "The form.", content_type = "text/html", body = String),
              (status = "default", body = ErrorBody)))]
pub async fn page(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    if app.directory.accounts.anybody_holds(ADMIN).await? {
        return Err(ApiError::new(ErrorCode::SetupClosed));
    }
    Ok(form(StatusCode::OK, None))
}

/// The first administrator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// What stands behind the `#` of the link that the server gave at its start.
    #[schema(max_length = 64)]
    token: String,
    /// What the account will be called.
    #[schema(max_length = 254, example = "admin@example.com")]
    email: String,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    password: String,
    /// What to call the person.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// Makes the first administrator. Takes the page's form or the same as JSON.
#[utoipa::path(post, path = "/setup", operation_id = "setup", tag = "account", security(()),
    request_body(content((SetupRequest = "application/json"), (SetupRequest = "application/x-www-form-urlencoded"))),
    responses((status = 201, description = "The account; for the page's form, a page that says so.",
               content((Envelope<User> = "application/json"), (String = "text/html"))),
              (status = "default", content((ErrorBody = "application/json"), (String = "text/html")))))]
pub async fn submit(State(app): State<Arc<App>>, context: Context, request: Request) -> Result<Response, ApiError> {
    let json = is_json(request.headers());
    if !json && !is_media(request.headers(), "application/x-www-form-urlencoded") {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType));
    }
    let bytes = body::read(request).await?;
    let request = if json {
        body::parse_json(&bytes)?
    } else {
        serde_urlencoded::from_bytes(&bytes).map_err(|_| ApiError::new(ErrorCode::BadRequest))?
    };
    match make(&app, &context, request).await {
        Ok(user) if json => Ok((StatusCode::CREATED, Envelope::new(user)).into_response()),
        Ok(_) => Ok(done()),
        Err(error) if json => Err(error),
        Err(error) => Ok(form(error.status(), Some(error.code()))),
    }
}

/// Two tokens may be about, of two starts within their lifetime, and be used at once; one of them makes an
/// administrator. So the claim is read before the look for an administrator and moved after it, and whoever inserted an
/// account looks whether the claim is still theirs before the account gets a password.
async fn make(app: &App, context: &Context, request: SetupRequest) -> Result<User, ApiError> {
    let closed = || ApiError::new(ErrorCode::SetupClosed);
    let claimed = app.directory.settings.get(CLAIMED).await?.map(|setting| setting.revision);
    if app.directory.accounts.anybody_holds(ADMIN).await? {
        return Err(closed());
    }
    let email: EmailAddress =
        request.email.parse().map_err(|_| ApiError::validation(&[("email", "an e-mail address")]))?;
    let name = accounts::display_name(&request.name)?;
    let password = password::password(&request.password)?;
    let token = LinkToken::parse(&request.token).map_err(|_| ApiError::new(ErrorCode::LinkInvalid))?;
    let permissions = Permissions::new([ADMIN].into_iter().chain(app.options.default_permissions.iter()))
        .map_err(|_| ApiError::new(ErrorCode::InternalError))?;
    let account = accounts::new_account(app, email, name, permissions)?;
    // The password is judged before the token is spent, so that a weak one costs nothing.
    let credential = app.passwords.prepare(&account, password).await?;
    let ticket = app.store.take(Purpose::Setup, token.hash().0, app.now()).await?;
    if ticket.is_none() {
        app.record(context.entry("setup.refused"));
        return Err(ApiError::new(ErrorCode::LinkInvalid));
    }
    match app.directory.settings.set(CLAIMED, account.id.as_str().as_bytes(), claimed).await? {
        SetSetting::Done(_) => {}
        SetSetting::Conflict => return Err(closed()),
    }
    if app.directory.accounts.anybody_holds(ADMIN).await? {
        return Err(closed());
    }
    match app.directory.accounts.insert(&account).await? {
        InsertAccount::Done => {}
        InsertAccount::Exists => return Err(ApiError::new(ErrorCode::EmailTaken)),
    }
    let claim = app.directory.settings.get(CLAIMED).await?;
    if claim.is_none_or(|claim| *claim.value != *account.id.as_str().as_bytes()) {
        accounts::change_account(app, &account.id, |account| {
            account.permissions = Permissions::none();
            account.disabled = true;
        })
        .await?;
        return Err(closed());
    }
    app.directory.credentials.set(&account.id, Method::Password, &credential).await?;
    (app.options.setup_done)();
    app.record(crate::audit::Entry {
        subject: Some(format!("user:{}", account.id).into()),
        ..context.entry("setup.completed")
    });
    Ok(User::of(&account))
}

fn form(status: StatusCode, problem: Option<ErrorCode>) -> Response {
    let problem = problem.map(|code| format!("<p class=\"error\" role=\"alert\">{}</p>", code.message()));
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>First administrator</title><style>{STYLE}</style>\
         <h1>First administrator</h1>{}<form method=\"post\" action=\"/setup\">\
         <label for=\"token\">Token from the link</label>\
         <input id=\"token\" name=\"token\" required autocomplete=\"off\" maxlength=\"64\">\
         <label for=\"name\">Name</label><input id=\"name\" name=\"name\" required maxlength=\"200\" \
         autocomplete=\"name\">\
         <label for=\"email\">E-mail address</label><input id=\"email\" name=\"email\" type=\"email\" required \
         maxlength=\"254\" autocomplete=\"username\">\
         <label for=\"password\">Password, at least 8 characters</label><input id=\"password\" name=\"password\" \
         type=\"password\" required minlength=\"8\" maxlength=\"1024\" autocomplete=\"new-password\">\
         <button>Make administrator</button></form><script>{SCRIPT}</script></html>",
        problem.unwrap_or_default()
    );
    html(status, body)
}

fn done() -> Response {
    html(
        StatusCode::CREATED,
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Done</title><style>{STYLE}</style>\
             <h1>Done</h1><p>The administrator's account is made. Sign in with it now.</p></html>"
        ),
    )
}

fn html(status: StatusCode, body: String) -> Response {
    let mut response = (status, Html(body)).into_response();
    let hash = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response.extensions_mut().insert(crate::http::error_body::KeepBody);
    response
}
