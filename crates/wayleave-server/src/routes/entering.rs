//! What a client has after signing in, whatever it proved itself by: its session, how it holds it, and what the account
//! knows it by.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use wayleave_core::authentication::Evidence;
use wayleave_core::policy::KindName;
use wayleave_core::ports::{Account, AccountId, KnownDevice};
use wayleave_core::token::DeviceToken;
use wayleave_web::cookies::{Lifetime, RequestCookies, put_cookie};

use super::opening::{Opening, TokenAnswer, TransportChoice, cookie, kind, open_session, set_session_cookies};
use crate::access::{Context, require_csrf};
use crate::accounts::change_account;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::vault::{self, Right};
use crate::wire::{Envelope, User, VaultInfo, rfc3339};

/// How long a browser is remembered as a known device, and how many of an account are.
const DEVICE: Duration = Duration::from_secs(180 * 86_400);
const DEVICES: u32 = 10;
/// Longest device token that is looked at.
const MAX_DEVICE_TOKEN: usize = 64;

/// Who signed in, and until when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginAnswer {
    user: User,
    session: LoginSession,
    /// Whether the session can do nothing but choose a new password.
    must_change_password: bool,
    /// The vault, where it was asked for.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vault: Option<VaultInfo>,
    /// The sessions that made room for this one, where the account had as many as it may have.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evicted: Vec<String>,
}

/// What signing in gave, by the transport that was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum SignedIn {
    /// The cookies hold the session.
    Cookie(LoginAnswer),
    /// The client holds the tokens.
    Bearer(BearerAnswer),
}

/// A session with its tokens, and what the account knows the client by.
#[derive(Serialize, ToSchema)]
pub struct BearerAnswer {
    /// The session.
    #[serde(flatten)]
    tokens: TokenAnswer,
    /// To be kept, and shown at the next sign-in; where it was asked for.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<String>,
    /// The vault, where it was asked for.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vault: Option<VaultInfo>,
    /// The sessions that made room for this one, where the account had as many as it may have.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evicted: Vec<String>,
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

/// How a client wants to hold its session, as the fields of a request say.
#[derive(Copy, Clone)]
pub(super) struct Wish<'a> {
    pub(super) transport: TransportChoice,
    pub(super) remember_me: bool,
    pub(super) session_type: Option<&'a str>,
    pub(super) remember_device: bool,
    pub(super) device_token: Option<&'a str>,
}

/// A wish that can be fulfilled.
pub(super) struct Holding {
    transport: TransportChoice,
    remember_me: bool,
    kind: Option<KindName>,
    device: Option<DeviceToken>,
    /// Whether the device came as a token in the body.
    shows_token: bool,
    remember_device: bool,
}

impl Holding {
    /// Checks the wish, and where cookies are involved the CSRF token.
    ///
    /// # Errors
    /// 403 `csrf_failed`, 422 for what does not go together.
    pub(super) fn read(app: &App, headers: &HeaderMap, wish: Wish<'_>) -> Result<Self, ApiError> {
        let Wish { transport, remember_me, session_type, remember_device, device_token } = wish;
        let cookies = RequestCookies::read(headers)?;
        if transport == TransportChoice::Cookie || !cookies.is_empty() {
            require_csrf(app, headers, &cookies)?;
        }
        let kind = match (session_type, transport) {
            (Some(_), TransportChoice::Cookie) => return Err(ApiError::new(ErrorCode::UnsupportedOption)),
            (Some(name), TransportChoice::Bearer) => Some(kind(app, name)?),
            (None, _) => None,
        };
        if transport == TransportChoice::Cookie && (remember_device || device_token.is_some()) {
            return Err(ApiError::new(ErrorCode::UnsupportedOption));
        }
        let device = shown_device(app, &cookies, device_token)?;
        Ok(Self { transport, remember_me, kind, device, shows_token: device_token.is_some(), remember_device })
    }

    /// The hash of what the client says that the account knows it by.
    pub(super) fn known_device(&self) -> Option<[u8; 32]> {
        self.device.as_ref().map(|device| device.hash().0)
    }
}

/// What the client says that the account knows it by: a token in the body, or the cookie.
///
/// # Errors
/// 422 for a token that is too long.
pub(super) fn shown_device(
    app: &App,
    cookies: &RequestCookies<'_>,
    device_token: Option<&str>,
) -> Result<Option<DeviceToken>, ApiError> {
    let shown = match device_token {
        Some(token) if token.len() > MAX_DEVICE_TOKEN => {
            return Err(ApiError::validation(&[("device_token", "at most 64 characters")]));
        }
        Some(token) => Some(token),
        None => cookies.find(app.cookies.device.name())?,
    };
    Ok(shown.and_then(|text| DeviceToken::parse(text).ok()))
}

/// Somebody who proved who they are.
pub(super) struct Proof {
    pub(super) account: Account,
    pub(super) evidence: Evidence,
    /// Whether the session can do nothing but choose a new password.
    pub(super) must_change_password: bool,
    /// Whether the account knew the client before.
    pub(super) known_device: bool,
    /// What the session is to do with the vault.
    pub(super) vault: Option<Right>,
}

/// Opens the session and answers with it.
///
/// # Errors
/// As [`open_session`].
pub(super) async fn enter(app: &App, context: &Context, proof: Proof, holding: Holding) -> Result<Response, ApiError> {
    let Proof { account, evidence, must_change_password, known_device, vault } = proof;
    let Holding { transport, remember_me, kind, device, shows_token, remember_device: asks } = holding;
    // The session that this browser had ends with the sign-in, whoever's it was.
    let replaces = context.held(app).await?.map(|session| session.id());
    app.metrics.login("success");
    let open = Opening {
        kind: match transport {
            TransportChoice::Cookie => app.options.cookie_kind.clone(),
            TransportChoice::Bearer => kind.unwrap_or_else(|| app.options.bearer_kind.clone()),
        },
        remember: remember_me && transport == TransportChoice::Cookie,
        transport,
        replaces,
        must_change_password,
        vault,
    };
    let opened = open_session(app, context, evidence, open).await?;
    app.record(crate::audit::Entry {
        subject: opened.record.subject.as_ref().map(|subject| subject.as_str().into()),
        session: Some(app.reference(&opened.record.id)),
        // For whoever watches the log: somebody signed in where nobody had before (R105).
        reason: (transport == TransportChoice::Cookie && !known_device).then_some("new_device"),
        ..context.entry("login.success")
    });
    vault::note_opened(app, context, &opened.record);
    note_sign_in(app, &account.id).await;
    let vault = VaultInfo::of(&opened.record, app.now());
    let evicted = opened.evicted.iter().map(|gone| gone.id.to_string()).collect();
    match transport {
        TransportChoice::Bearer => {
            let tokens = TokenAnswer::of(&opened.record, &opened.issued);
            let shown = device.as_ref().filter(|_| shows_token);
            let device_token =
                if asks || shown.is_some() { remember_device(app, &account.id, shown).await } else { None };
            Ok(Envelope::new(SignedIn::Bearer(BearerAnswer { tokens, device_token, vault, evicted })).into_response())
        }
        TransportChoice::Cookie => {
            let answer = LoginAnswer {
                user: User::of(&account),
                session: LoginSession {
                    session_id: opened.record.id.to_string(),
                    expire: rfc3339(opened.record.token_expires_at),
                },
                must_change_password: account.must_change_password,
                vault,
                evicted,
            };
            let mut response = Envelope::new(SignedIn::Cookie(answer)).into_response();
            set_session_cookies(app, response.headers_mut(), &opened)?;
            let known = remember_device(app, &account.id, device.as_ref()).await;
            if let Some(known) = known {
                put_cookie(response.headers_mut(), cookie(app.cookies.device.set(&known, Lifetime::For(DEVICE)))?);
            }
            put_cookie(response.headers_mut(), app.cookies.pre_session.removal());
            Ok(response)
        }
    }
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
