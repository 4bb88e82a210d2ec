//! Logging in by OPAQUE.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wayleave_core::authentication::{Evidence, Method};
use wayleave_core::ports::{Account, AccountId, EmailAddress};
use wayleave_opaque::{Attempt, Ke1, Ke3, Login, StartError};
use wayleave_web::cookies::RequestCookies;

use super::{Stretching, charge, message, opaque, refund};
use crate::access::Context;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::opaque::{Handshake, HandshakeError, LIVES, LoginId};
use crate::routes::entering::{Holding, Proof, SignedIn, Wish, enter, shown_device};
use crate::routes::opening::TransportChoice;
use crate::routes::sign_in::refuse;
use crate::vault::Right;
use crate::wire::{Envelope, ErrorBody};

/// The first half of a login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpaqueLoginStart {
    /// What the account is called.
    #[schema(max_length = 254, example = "ann@example.com")]
    identifier: String,
    /// KE1: 96 bytes in base64url.
    #[schema(min_length = 128, max_length = 128)]
    request: String,
    /// The `device_token` of an earlier sign-in: strangers' failures do not keep this client waiting. Bearer tokens only.
    #[serde(default)]
    #[schema(max_length = 64, format = Password)]
    device_token: Option<String>,
}

/// The server's answer. The same in form for every identifier, whether or not there is an account.
#[derive(Serialize, ToSchema)]
pub struct OpaqueLoginStarted {
    /// Names this login in its second half, within a minute and once.
    #[schema(min_length = 43, max_length = 43)]
    login_id: String,
    /// KE2: 320 bytes in base64url.
    #[schema(min_length = 427, max_length = 427)]
    response: String,
    /// What the client registered with, and must be willing to spend.
    key_stretching: Stretching,
}

/// Begins a login by OPAQUE (RFC 9807). Counts as a failed sign-in until the login is finished, since it is the client who
/// can tell by the answer whether the password is right.
///
/// An unknown address, an account without OPAQUE and a disabled one are answered alike, with what nobody can finish.
#[utoipa::path(post, path = "/api/auth/opaque/login/start", operation_id = "opaque_login_start", tag = "sign-in",
    security(()), request_body = OpaqueLoginStart,
    responses((status = 200, body = Envelope<OpaqueLoginStarted>), (status = "default", body = ErrorBody)))]
pub async fn start(
    State(app): State<Arc<App>>,
    context: Context,
    headers: HeaderMap,
    JsonBody(request): JsonBody<OpaqueLoginStart>,
) -> Result<Envelope<OpaqueLoginStarted>, ApiError> {
    let opaque = opaque(&app)?;
    if request.identifier.len() > EmailAddress::MAX {
        return Err(ApiError::validation(&[("identifier", "at most 254 bytes")]));
    }
    let ke1 = message("request", &request.request, Ke1::parse)?;
    let device = shown_device(&app, &RequestCookies::read(&headers)?, request.device_token.as_deref())?;
    let counted = charge(&app, &context, &request.identifier, device.map(|device| device.hash().0)).await?;
    let account = counted.account.as_ref();
    let id = account.map_or(&counted.nobody, |account| &account.id);
    let credential = app.directory.credentials.find(id, Method::Opaque).await?;
    // Somebody who may not sign in must not learn that the password is right.
    let enrolled = account.filter(|account| !account.disabled).and(credential.as_ref());
    let known = opaque.known(&request.identifier, enrolled);
    let attempt = Attempt { ke1, record: known.record.as_ref(), identifier: known.identifier, context: None };
    let (ke2, state) = Login::start(opaque.authenticator().setup(), attempt, &*app.entropy)?;
    let handshake = Handshake {
        account: account.map(|account| account.id.clone()),
        epoch: account.map_or(0, |account| account.epoch),
        counter: counted.counter,
        known_device: counted.known_device,
        state,
    };
    let login_id = handshake.deposit(&*app.store, &*app.entropy, app.now()).await?;
    Ok(Envelope::new(OpaqueLoginStarted {
        login_id: login_id.reveal(),
        response: URL_SAFE_NO_PAD.encode(ke2.0),
        key_stretching: Stretching::of(known.key_stretching),
    }))
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Entropy(error) => error.into(),
            StartError::Refused => {
                tracing::error!(%error, "a login could not be answered");
                Self::new(ErrorCode::InternalError)
            }
        }
    }
}

impl From<HandshakeError> for ApiError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::TooMany => Self::new(ErrorCode::Overloaded).with_retry_after(LIVES),
            HandshakeError::Store(error) => error.into(),
            HandshakeError::Entropy(error) => error.into(),
        }
    }
}

/// The second half of a login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpaqueLoginFinish {
    /// From the first half.
    #[schema(min_length = 43, max_length = 43)]
    login_id: String,
    /// KE3: 64 bytes in base64url.
    #[schema(min_length = 86, max_length = 86)]
    finish: String,
    /// 30 days instead of 24 hours. Cookies only.
    #[serde(default, alias = "rememberMe")]
    remember_me: bool,
    /// How to hold the session.
    #[serde(default)]
    transport: TransportChoice,
    /// The kind of session to open with bearer tokens.
    #[serde(default)]
    #[schema(max_length = 32)]
    session_type: Option<String>,
    /// Whether the account should know this client from now on, as it knows a browser by its cookie: the answer has a
    /// `device_token` then. Bearer tokens only.
    #[serde(default)]
    remember_device: bool,
    /// The `device_token` of an earlier sign-in. The answer has the next one. Bearer tokens only.
    #[serde(default)]
    #[schema(max_length = 64, format = Password)]
    device_token: Option<String>,
    /// What the session should do with the vault, which it holds open from now on; nothing unless told.
    #[serde(default)]
    vault: Option<Right>,
}

/// Finishes a login by OPAQUE: the answer is that of a sign-in with a password.
///
/// A proof that is not right, a login that is unknown, finished already or older than a minute, and an account that was
/// disabled or changed meanwhile are answered alike, as a wrong password is.
#[utoipa::path(post, path = "/api/auth/opaque/login/finish", operation_id = "opaque_login_finish", tag = "sign-in",
    security(()), request_body = OpaqueLoginFinish,
    params(("x-csrf-token" = Option<String>, Header, max_length = 256,
            description = "From `GET /api/csrf`; for the cookie transport.")),
    responses((status = 200, body = Envelope<SignedIn>), (status = "default", body = ErrorBody)))]
pub async fn finish(
    State(app): State<Arc<App>>,
    context: Context,
    headers: HeaderMap,
    JsonBody(request): JsonBody<OpaqueLoginFinish>,
) -> Result<Response, ApiError> {
    opaque(&app)?;
    let wish = Wish {
        transport: request.transport,
        remember_me: request.remember_me,
        session_type: request.session_type.as_deref(),
        remember_device: request.remember_device,
        device_token: request.device_token.as_deref(),
    };
    let holding = Holding::read(&app, &headers, wish)?;
    let Proved { account, evidence, known_device } = prove(&app, &context, &request.login_id, &request.finish).await?;
    let must_change_password = account.must_change_password;
    let proof = Proof { account, evidence, must_change_password, known_device, vault: request.vault };
    enter(&app, &context, proof, holding).await
}

/// Somebody who proved to know the password.
pub(super) struct Proved {
    pub(super) account: Account,
    pub(super) evidence: Evidence,
    /// Whether the account knew the client when the login began.
    pub(super) known_device: bool,
}

/// Ends a login: takes what the first half left, and checks the client's proof. Takes back what the first half was charged
/// with.
///
/// # Errors
/// 400 for what is no message of the protocol, 401 `invalid_credentials` for everything that is not right, 404 where OPAQUE
/// is turned off, 503.
pub(super) async fn prove(app: &App, context: &Context, login_id: &str, finish: &str) -> Result<Proved, ApiError> {
    let opaque = opaque(app)?;
    let ke3 = message("finish", finish, Ke3::parse)?;
    let refused = |account: Option<&AccountId>, reason| Err(refuse(app, context, account, reason));
    let now = app.now();
    let taken = match LoginId::parse(login_id) {
        Some(id) => Handshake::take(&*app.store, &id, now).await?,
        None => None,
    };
    let Some(Handshake { account, epoch, counter, known_device, state }) = taken else {
        return refused(None, "no_such_login");
    };
    let (Some(id), Ok(proof)) = (&account, Login::finish(&state, ke3)) else {
        return refused(account.as_ref(), if account.is_some() { "wrong_password" } else { "unknown_account" });
    };
    let account = app.directory.accounts.by_id(id).await?.filter(|account| !account.disabled);
    let Some(account) = account else { return refused(Some(id), "disabled") };
    let subject = account.subject().ok_or_else(|| ApiError::new(ErrorCode::InternalError))?;
    let evidence = opaque.authenticator().testify(proof, subject, epoch, now).map_err(|error| {
        tracing::error!(%error, "a login could not be testified to");
        ApiError::new(ErrorCode::InternalError)
    })?;
    app.passwords.forgive(counter).await?;
    refund(app, context);
    Ok(Proved { account, evidence, known_device })
}
