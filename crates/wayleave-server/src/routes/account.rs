//! Making an account, choosing a password, proving oneself again.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wayleave::Freshness;
use wayleave::events::Cause;
use wayleave_core::authentication::Method;
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Account, AccountId, EmailAddress, InsertAccount};
use wayleave_core::record::Revision;
use wayleave_core::subject::Subject;
use wayleave_core::token::LinkToken;
use wayleave_password::{Outcome, SetPasswordError, Weak};

use super::sign_in::{self, Opening, TokenAnswer, TransportChoice};
use crate::access::{Carrier, Context, MUST_CHANGE_PASSWORD};
use crate::app::App;
use crate::config::Registration;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::links;
use crate::wire::{Done, Envelope, ErrorBody, User};

/// Somebody's wish for an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// What the account will be called.
    #[schema(max_length = 254, example = "ann@example.com")]
    email: String,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    password: String,
    /// What to call the person.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// From the invitation's link, where one is needed.
    #[schema(max_length = 64)]
    invitation: Option<String>,
}

/// Makes an account, if the deployment lets people make their own: by invitation, or freely. Signing in comes after.
///
/// An address that is taken is answered like one that is not allowed, so that nobody learns who has an account.
#[utoipa::path(post, path = "/api/auth/register", tag = "account", security(()), request_body = RegisterRequest,
    responses((status = 201, body = Envelope<User>), (status = "default", body = ErrorBody)))]
pub async fn register(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<RegisterRequest>,
) -> Result<Response, ApiError> {
    let policy = app.policy.current();
    let needs_invitation = match policy.policy.registration {
        Registration::Closed => return Err(ApiError::new(ErrorCode::RegistrationClosed)),
        Registration::Invitation => true,
        Registration::Open => false,
    };
    let email: EmailAddress =
        request.email.parse().map_err(|_| ApiError::validation(&[("email", "an e-mail address")]))?;
    let name = display_name(&request.name)?;
    let password = sign_in::password(&request.password)?;
    let now = app.now();
    let invitation = match request.invitation.as_deref().map(LinkToken::parse) {
        Some(Ok(token)) => Some(token.hash().0),
        Some(Err(_)) => return Err(ApiError::new(ErrorCode::InvitationInvalid)),
        None if needs_invitation => return Err(ApiError::new(ErrorCode::InvitationInvalid)),
        None => None,
    };
    let mut account = new_account(&app, email, name, app.options.default_permissions.clone())?;
    // The password is judged before the invitation is spent, so that a weak one costs nothing.
    let credential = app.passwords.prepare(&account, password).await?;
    if let Some(key) = invitation {
        let invalid = || ApiError::new(ErrorCode::InvitationInvalid);
        let invitation = app.directory.invitations.take(key, now).await?.ok_or_else(invalid)?;
        if invitation.email.as_ref().is_some_and(|bound| *bound != account.email) {
            // Put back: whoever it is for can still use it.
            app.directory.invitations.insert(&invitation).await?;
            return Err(invalid());
        }
        account.permissions = invitation.permissions;
    }
    match app.directory.accounts.insert(&account).await? {
        InsertAccount::Done => {}
        InsertAccount::Exists => {
            app.record(crate::audit::Entry { reason: Some("email_taken"), ..context.entry("user.register_refused") });
            return Err(ApiError::new(ErrorCode::RegistrationClosed));
        }
    }
    app.directory.credentials.set(&account.id, Method::Password, &credential).await?;
    app.record(crate::audit::Entry {
        subject: Some(format!("user:{}", account.id).into()),
        ..context.entry("user.registered")
    });
    Ok((http::StatusCode::CREATED, Envelope::new(User::of(&account))).into_response())
}

/// An account that nobody has yet.
///
/// # Errors
/// 500 when there is no entropy.
pub fn new_account(
    app: &App,
    email: EmailAddress,
    name: Box<str>,
    permissions: Permissions,
) -> Result<Account, ApiError> {
    let mut random = [0; 16];
    app.entropy.fill(&mut random)?;
    let now = app.now();
    Ok(Account {
        id: AccountId::new(random),
        email,
        name,
        role: Box::from(DEFAULT_ROLE),
        phone: None,
        labels: Vec::new(),
        avatar: None,
        permissions,
        disabled: false,
        must_change_password: false,
        epoch: 0,
        created_at: now,
        updated_at: now,
        last_sign_in_at: None,
        revision: Revision::default(),
    })
}

/// The role of an account that nobody gave one.
pub const DEFAULT_ROLE: &str = "Personel";

/// A name to call somebody by.
///
/// # Errors
/// 422 when it is empty, longer than 200 characters, or has control characters.
pub fn display_name(text: &str) -> Result<Box<str>, ApiError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        return Err(ApiError::validation(&[("name", "1 to 200 characters without control characters")]));
    }
    Ok(text.into())
}

impl From<SetPasswordError> for ApiError {
    fn from(error: SetPasswordError) -> Self {
        match error {
            SetPasswordError::Weak(weak) => {
                let reason = match weak {
                    Weak::TooShort { .. } => "too_short",
                    Weak::TooCommon => "too_common",
                    Weak::ContainsContext => "contains_context",
                };
                Self::new(ErrorCode::WeakPassword)
                    .with_details(json!({ "reason": reason, "message": weak.to_string() }))
            }
            SetPasswordError::Busy(busy) => Self::new(ErrorCode::Overloaded).with_retry_after(busy.retry_after),
            SetPasswordError::Failed(error) => error.into(),
        }
    }
}

/// A new password for one's own account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one in force.
    #[schema(max_length = 1024, format = Password)]
    current_password: String,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    new_password: String,
    /// Whether all other sessions end; they do unless told otherwise.
    #[serde(default = "yes")]
    #[schema(default = true)]
    end_other_sessions: bool,
}

const fn yes() -> bool {
    true
}

/// Changes the password of the account behind the session. The session goes on under a new id.
#[utoipa::path(post, path = "/api/auth/password", tag = "account", security(("session" = []), ("bearer" = [])),
    request_body = PasswordChange,
    responses((status = 200, body = Envelope<Reauthenticated>), (status = "default", body = ErrorBody)))]
pub async fn change_password(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<PasswordChange>,
) -> Result<Response, ApiError> {
    let session = context.session()?;
    let account = sign_in::own_account(&app, &context).await?;
    // The proof of the old password opens nothing: the new one is proved below.
    drop(prove_again(&app, &context, &account, &request.current_password).await?);
    app.passwords.set_password(&account, sign_in::password(&request.new_password)?).await?;
    let ends_others = request.end_other_sessions;
    let account = sign_in::change_account(&app, &account.id, |account| {
        account.must_change_password = false;
        if ends_others {
            account.epoch += 1;
        }
    })
    .await?;
    let subject = subject_of(&account)?;
    app.manager.subject_changed(&subject);
    if ends_others {
        // This session too: it goes on as a new one, opened by the new password.
        app.manager.end_all(&subject, Some(session.id()), Cause::CredentialChanged, &context.origin).await?;
    }
    app.record(crate::audit::Entry {
        subject: Some(subject.as_str().into()),
        session: Some(app.reference(&session.id())),
        ..context.entry("user.password_changed")
    });
    // The new password is proof enough of a recent sign-in, and there is evidence of nobody else.
    let password = sign_in::password(&request.new_password)?;
    let evidence = match app.passwords.verify_for_step_up(&account.id, password).await? {
        Outcome::Verified(verified) => verified.evidence,
        Outcome::Busy(busy) => {
            return Err(ApiError::new(ErrorCode::Overloaded).with_retry_after(busy.retry_after));
        }
        Outcome::Refused(_) | Outcome::Locked { .. } => return Err(ApiError::new(ErrorCode::InvalidCredentials)),
    };
    let transport = transport(&context);
    let opened = if session.record().context.get(MUST_CHANGE_PASSWORD).is_some() {
        let opening = Opening {
            kind: session.kind().clone(),
            remember: session.record().remembered,
            transport,
            replaces: Some(session.id()),
            must_change_password: false,
        };
        sign_in::open_session(&app, &context, evidence, opening).await?
    } else {
        let freshness = Freshness { refreshable: transport == TransportChoice::Bearer };
        app.manager.reauthenticate(session, evidence, freshness, &context.origin).await?
    };
    reauthenticated(&app, transport, &opened)
}

/// A fresh proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpRequest {
    /// Exactly as typed.
    #[schema(max_length = 1024, format = Password)]
    password: String,
}

/// How the session goes on after a fresh proof: new tokens for bearer clients, a new cookie for the others.
#[derive(Serialize, ToSchema)]
pub struct Reauthenticated {
    /// The session's new handle.
    session_id: String,
    /// When its sign-in was. RFC 3339.
    #[schema(format = DateTime)]
    auth_time: String,
    /// For bearer clients.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokenAnswer>,
}

/// Proves again who is behind the session, for actions that want a recent sign-in. The session goes on under a new id
/// and with new tokens.
#[utoipa::path(post, path = "/api/auth/step-up", tag = "account", security(("session" = []), ("bearer" = [])),
    request_body = StepUpRequest,
    responses((status = 200, body = Envelope<Reauthenticated>), (status = "default", body = ErrorBody)))]
pub async fn step_up(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<StepUpRequest>,
) -> Result<Response, ApiError> {
    let session = context.session()?;
    let account = sign_in::own_account(&app, &context).await?;
    let evidence = prove_again(&app, &context, &account, &request.password).await?;
    let transport = transport(&context);
    let freshness = Freshness { refreshable: transport == TransportChoice::Bearer };
    let opened = app.manager.reauthenticate(session, evidence, freshness, &context.origin).await?;
    app.record(crate::audit::Entry {
        subject: session.subject().map(|subject| subject.as_str().into()),
        session: Some(app.reference(&opened.record.id)),
        ..context.entry("session.step_up")
    });
    reauthenticated(&app, transport, &opened)
}

fn transport(context: &Context) -> TransportChoice {
    match context.carrier {
        Carrier::Bearer => TransportChoice::Bearer,
        Carrier::Cookie | Carrier::Nothing => TransportChoice::Cookie,
    }
}

async fn prove_again(
    app: &App,
    context: &Context,
    account: &Account,
    password: &str,
) -> Result<wayleave_core::authentication::Evidence, ApiError> {
    match app.passwords.verify_for_step_up(&account.id, sign_in::password(password)?).await? {
        Outcome::Verified(verified) => Ok(verified.evidence),
        Outcome::Refused(refused) => {
            app.record(crate::audit::Entry {
                subject: Some(format!("user:{}", account.id).into()),
                reason: Some(refused.reason().as_str()),
                ..context.entry("step_up.failure")
            });
            Err(ApiError::new(ErrorCode::InvalidCredentials))
        }
        Outcome::Locked { until } => Err(sign_in::locked(app, until.since(app.now()))),
        Outcome::Busy(busy) => Err(ApiError::new(ErrorCode::Overloaded).with_retry_after(busy.retry_after)),
    }
}

fn reauthenticated(app: &App, transport: TransportChoice, opened: &wayleave::Opened) -> Result<Response, ApiError> {
    let record = &opened.record;
    let tokens = match transport {
        TransportChoice::Bearer => Some(TokenAnswer::of(record, &opened.issued)),
        TransportChoice::Cookie => None,
    };
    let answer = Reauthenticated {
        session_id: record.id.to_string(),
        auth_time: record.authentication.map(|proof| crate::wire::rfc3339(proof.at)).unwrap_or_default(),
        tokens,
    };
    let mut response = Envelope::new(answer).into_response();
    match transport {
        TransportChoice::Cookie => sign_in::set_session_cookies(app, response.headers_mut(), opened)?,
        TransportChoice::Bearer => {}
    }
    Ok(response)
}

fn subject_of(account: &Account) -> Result<Subject, ApiError> {
    account.subject().ok_or_else(|| ApiError::new(ErrorCode::InternalError))
}

/// A new password by a one-time link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// What stands behind the `#` of the link.
    #[schema(max_length = 64)]
    token: String,
    /// At least 8 characters, at most 1024 bytes, and not a common one.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    new_password: String,
}

/// Sets a new password by a link that an administrator made. Ends every session of the account.
#[utoipa::path(post, path = "/api/auth/password/reset", tag = "account", security(()), request_body = PasswordReset,
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn reset_password(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<PasswordReset>,
) -> Result<Done, ApiError> {
    let invalid = || ApiError::new(ErrorCode::LinkInvalid);
    let token = LinkToken::parse(&request.token).map_err(|_| invalid())?;
    let password = sign_in::password(&request.new_password)?;
    let id = links::take_reset(&app, &token).await?.ok_or_else(invalid)?;
    let account = app.directory.accounts.by_id(&id).await?.filter(|account| !account.disabled).ok_or_else(invalid)?;
    if let Err(error) = app.passwords.set_password(&account, password).await {
        // A weak password must not cost the link.
        if matches!(error, SetPasswordError::Weak(_) | SetPasswordError::Busy(_)) {
            links::put_reset_back(&app, &token, &id).await?;
        }
        return Err(error.into());
    }
    let account = sign_in::change_account(&app, &id, |account| {
        account.must_change_password = false;
        account.epoch += 1;
    })
    .await?;
    let subject = subject_of(&account)?;
    app.manager.subject_changed(&subject);
    app.manager.end_all(&subject, None, Cause::CredentialChanged, &context.origin).await?;
    app.passwords.unlock(&account).await?;
    app.record(crate::audit::Entry { subject: Some(subject.as_str().into()), ..context.entry("user.password_reset") });
    Ok(Done::YES)
}
