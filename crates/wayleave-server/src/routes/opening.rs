//! Opening sessions: what every way of signing in has in common, from the evidence to what the client holds.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wayleave::{Open, OpenError, Opened};
use wayleave_core::authentication::Evidence;
use wayleave_core::entries::Entries;
use wayleave_core::id::SessionId;
use wayleave_core::permission::Permissions;
use wayleave_core::policy::KindName;
use wayleave_core::record::Client;
use wayleave_web::cookies::{Lifetime, put_cookie};
use wayleave_web::csrf::CsrfBinding;

use crate::access::{Context, MUST_CHANGE_PASSWORD};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::vault::{self, Right};
use crate::wire::rfc3339;

/// How the client wants to hold its session.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransportChoice {
    /// In an HttpOnly cookie.
    #[default]
    Cookie,
    /// As tokens, for clients that are no browser pages.
    Bearer,
}

/// A session with its tokens, for bearer clients.
#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// Proves the session: `Authorization: Bearer ...`.
    pub session_token: String,
    /// Renews it, once.
    #[schema(required = false)]
    pub refresh_token: Option<String>,
    /// When `session_token` ends. RFC 3339.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// When the session ends, whatever happens. RFC 3339.
    #[schema(format = DateTime)]
    pub session_expires_at: String,
    /// Its public handle.
    pub session_id: String,
    /// Its kind.
    pub session_type: String,
    /// What it was granted.
    pub permissions: Vec<String>,
}

impl TokenAnswer {
    /// From a new session.
    #[must_use]
    pub fn of(record: &wayleave_core::record::Record, issued: &wayleave::Issued) -> Self {
        Self {
            session_token: issued.access.to_string(),
            refresh_token: issued.refresh.as_ref().map(|token| token.to_string()),
            expires_at: rfc3339(record.token_expires_at),
            session_expires_at: rfc3339(record.absolute_expires_at),
            session_id: record.id.to_string(),
            session_type: record.kind.to_string(),
            permissions: record.permissions.iter().map(str::to_owned).collect(),
        }
    }
}

/// The kind called `name`.
///
/// # Errors
/// 422 when there is none.
pub fn kind(app: &App, name: &str) -> Result<KindName, ApiError> {
    let unknown = || ApiError::validation(&[("session_type", "a kind that this server knows")]);
    let kind: KindName = name.parse().map_err(|_| unknown())?;
    if app.manager.rules().kinds.policy(&kind).is_some() { Ok(kind) } else { Err(unknown()) }
}

/// What kind of session a proof should open.
pub struct Opening {
    /// Its kind.
    pub kind: KindName,
    /// Whether to be remembered.
    pub remember: bool,
    /// How the client holds it.
    pub transport: TransportChoice,
    /// The session whose place it takes.
    pub replaces: Option<SessionId>,
    /// Whether it may do nothing but choose a new password.
    pub must_change_password: bool,
    /// What it may do with the vault, for whoever signs in by OPAQUE and asks for it.
    pub vault: Option<Right>,
}

/// Opens a session from evidence.
///
/// # Errors
/// As the manager says; refusals for reasons of the account look like a wrong password.
pub async fn open_session(
    app: &App,
    context: &Context,
    evidence: Evidence,
    opening: Opening,
) -> Result<Opened, ApiError> {
    let mut held_open = Entries::new();
    let permissions = if opening.must_change_password {
        held_open.set(MUST_CHANGE_PASSWORD, b"1").map_err(|_| ApiError::new(ErrorCode::InternalError))?;
        Some(Permissions::none())
    } else {
        None
    };
    // Also for whoever has to choose another password: the vault's key must be wrapped anew for that.
    if let Some(right) = opening.vault {
        let rules = app.manager.rules();
        let absolute = rules.kinds.policy(&opening.kind).map(|policy| policy.absolute(opening.remember));
        let session_ends_at = app.now().plus(absolute.unwrap_or_default());
        vault::open(app, right, session_ends_at, &mut held_open)?;
    }
    let open = Open {
        kind: opening.kind,
        permissions,
        duration: None,
        remember: opening.remember,
        // Nothing that others could check by themselves, and nothing that could be renewed instead of being used.
        refreshable: opening.transport == TransportChoice::Bearer && !opening.must_change_password,
        client: client(context),
        replaces: opening.replaces,
        data: Entries::new(),
        context: held_open,
    };
    app.manager.open(evidence, open, &context.origin).await.map_err(ApiError::from)
}

/// What is kept of the client that opens a session.
#[must_use]
pub fn client(context: &Context) -> Client {
    Client {
        label: context.device(),
        network: context.origin.network.as_deref().map(Into::into),
        fingerprint: context.fingerprint,
    }
}

impl From<OpenError> for ApiError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused => Self::new(ErrorCode::InvalidCredentials),
            OpenError::LimitReached => Self::new(ErrorCode::SessionLimitReached),
            OpenError::UnknownKind => Self::validation(&[("session_type", "a kind that this server knows")]),
            OpenError::TooWeak | OpenError::Unlicensed => Self::new(ErrorCode::PermissionDenied),
            OpenError::Store(error) => error.into(),
            OpenError::Entropy(error) => error.into(),
            OpenError::ForeignEvidence | OpenError::CannotIssue(_) => {
                tracing::error!(%error, "a session could not be opened");
                Self::new(ErrorCode::InternalError)
            }
        }
    }
}

/// Sets the session cookie and a CSRF token bound to it.
///
/// # Errors
/// 500 when there is no entropy.
pub fn set_session_cookies(app: &App, headers: &mut HeaderMap, opened: &Opened) -> Result<(), ApiError> {
    let record = &opened.record;
    // Counted from the sign-in, so that 30 days are 30 days to the second.
    let lives = Lifetime::For(record.token_expires_at.since(record.last_seen_at));
    put_cookie(headers, cookie(app.cookies.session.set(&opened.issued.access, lives))?);
    let token = app.csrf.issue(CsrfBinding::Session(&record.token.0), &*app.entropy)?;
    put_cookie(headers, cookie(app.cookies.csrf.set(&token, lives))?);
    Ok(())
}

/// A cookie that was made.
///
/// # Errors
/// 500 when it is too large for browsers.
pub(super) fn cookie(
    made: Result<http::HeaderValue, wayleave_web::cookies::CookieTooLarge>,
) -> Result<http::HeaderValue, ApiError> {
    made.map_err(|error| {
        tracing::error!(%error, "a cookie could not be made");
        ApiError::new(ErrorCode::InternalError)
    })
}
