//! Choosing another password, proving oneself again, and one-time links for those who cannot get in.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wayleave::events::Cause;
use wayleave::{Freshness, Opened};
use wayleave_core::authentication::Method;
use wayleave_core::ports::Account;
use wayleave_core::subject::Subject;
use wayleave_core::token::LinkToken;
use wayleave_password::{Outcome, Password, SetPasswordError, Verified, Weak};

use super::opening::{self, Opening, TokenAnswer, TransportChoice, open_session, set_session_cookies};
use super::sign_in;
use crate::access::{Carrier, Context, must_change_password};
use crate::accounts::{Before, Proved, Secret, own_account, replace_secret};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::links;
use crate::wire::{Done, Envelope, ErrorBody, VaultInfo};

/// A password as it was sent.
///
/// # Errors
/// 422 when it is longer than 1024 bytes.
pub fn password(text: &str) -> Result<Password, ApiError> {
    Password::new(text.to_owned()).map_err(|_| ApiError::validation(&[("password", "at most 1024 bytes")]))
}

impl From<SetPasswordError> for ApiError {
    fn from(error: SetPasswordError) -> Self {
        match error {
            SetPasswordError::Weak(weak) => {
                let reason = match weak {
                    Weak::TooShort { .. } => "too_short",
                    Weak::TooCommon => "too_common",
                    Weak::ContainsContext => "contains_context",
                    Weak::Unchanged => "unchanged",
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
    let account = own_account(&app, &context).await?;
    // The proof of the old password opens nothing: the new one is proved below.
    let proof = prove_again(&app, &context, &account, &request.current_password).await?;
    if request.current_password == request.new_password {
        return Err(SetPasswordError::Weak(Weak::Unchanged).into());
    }
    let new = app.passwords.prepare(&proof.account, password(&request.new_password)?).await?;
    let proved = Proved { account: proof.account.id, epoch: proof.account.epoch, set_at: proof.set_at };
    let before = if request.end_other_sessions { Before::Ends } else { Before::Stays };
    let Some(account) = replace_secret(&app, &proved, before, Secret::Password(new).into()).await? else {
        app.record(crate::audit::Entry {
            subject: Some(format!("user:{}", proved.account).into()),
            reason: Some("overtaken"),
            ..context.entry("step_up.failure")
        });
        return Err(ApiError::new(ErrorCode::InvalidCredentials));
    };
    let subject = subject_of(&account)?;
    match before {
        // This session too: it goes on as a new one, opened by the new password.
        Before::Ends => {
            app.manager.end_all(&subject, Some(session.id()), Cause::CredentialChanged, &context.origin).await?;
        }
        Before::Stays => {}
    }
    app.record(crate::audit::Entry {
        subject: Some(subject.as_str().into()),
        session: Some(app.reference(&session.id())),
        ..context.entry("user.password_changed")
    });
    match go_on(&app, &context, &account, &request.new_password).await {
        Ok(opened) => reauthenticated(&app, transport(&context), &opened),
        Err(error) => {
            match before {
                // Nothing can be done with it any more, so it must not take the place of one that is good.
                Before::Ends => {
                    app.manager.end_all(&subject, None, Cause::CredentialChanged, &context.origin).await?;
                }
                Before::Stays => {}
            }
            Err(error)
        }
    }
}

/// Lets the session go on by the new password, which is proof enough of a recent sign-in; there is evidence of nobody
/// else.
async fn go_on(app: &App, context: &Context, account: &Account, new_password: &str) -> Result<Opened, ApiError> {
    let session = context.session()?;
    let proof = match app.passwords.verify_for_step_up(&account.id, password(new_password)?).await? {
        Outcome::Verified(verified) => verified,
        Outcome::Busy(busy) => {
            return Err(ApiError::new(ErrorCode::Overloaded).with_retry_after(busy.retry_after));
        }
        Outcome::Refused(_) | Outcome::Locked { .. } | Outcome::TurnedAway => {
            return Err(ApiError::new(ErrorCode::InvalidCredentials));
        }
    };
    let transport = transport(context);
    if must_change_password(session) {
        let opening = Opening {
            kind: session.kind().clone(),
            remember: session.record().remembered,
            transport,
            replaces: Some(session.id()),
            must_change_password: proof.must_change_password,
            vault: None,
        };
        open_session(app, context, proof.evidence, opening).await
    } else {
        let freshness = freshness(context, transport);
        Ok(app.manager.reauthenticate(session, proof.evidence, freshness, &context.origin).await?)
    }
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
    /// The vault, where the session opened it.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    vault: Option<VaultInfo>,
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
    let account = own_account(&app, &context).await?;
    let evidence = prove_again(&app, &context, &account, &request.password).await?.evidence;
    let transport = transport(&context);
    let opened = app.manager.reauthenticate(session, evidence, freshness(&context, transport), &context.origin).await?;
    app.record(crate::audit::Entry {
        subject: session.subject().map(|subject| subject.as_str().into()),
        session: Some(app.reference(&opened.record.id)),
        ..context.entry("session.step_up")
    });
    reauthenticated(&app, transport, &opened)
}

/// How a session of this client goes on after a fresh proof.
pub(super) fn freshness(context: &Context, transport: TransportChoice) -> Freshness {
    Freshness { refreshable: transport == TransportChoice::Bearer, client: opening::client(context) }
}

/// How the client holds its session.
pub(super) fn transport(context: &Context) -> TransportChoice {
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
) -> Result<Box<Verified>, ApiError> {
    match app.passwords.verify_for_step_up(&account.id, self::password(password)?).await? {
        Outcome::Verified(verified) => Ok(verified),
        Outcome::Refused(refused) => {
            app.record(crate::audit::Entry {
                subject: Some(format!("user:{}", account.id).into()),
                reason: Some(refused.reason().as_str()),
                ..context.entry("step_up.failure")
            });
            Err(ApiError::new(ErrorCode::InvalidCredentials))
        }
        Outcome::Locked { until } => Err(sign_in::locked(app, until.since(app.now()))),
        // Of step-ups nobody is.
        Outcome::TurnedAway => Err(ApiError::new(ErrorCode::RateLimited)),
        Outcome::Busy(busy) => Err(ApiError::new(ErrorCode::Overloaded).with_retry_after(busy.retry_after)),
    }
}

/// Answers with the session that goes on.
///
/// # Errors
/// 500 when a cookie cannot be made.
pub(super) fn reauthenticated(app: &App, transport: TransportChoice, opened: &Opened) -> Result<Response, ApiError> {
    let record = &opened.record;
    let tokens = match transport {
        TransportChoice::Bearer => Some(TokenAnswer::of(record, &opened.issued)),
        TransportChoice::Cookie => None,
    };
    let answer = Reauthenticated {
        session_id: record.id.to_string(),
        auth_time: record.authentication.map(|proof| crate::wire::rfc3339(proof.at)).unwrap_or_default(),
        tokens,
        vault: VaultInfo::of(record, app.now()),
    };
    let mut response = Envelope::new(answer).into_response();
    match transport {
        TransportChoice::Cookie => set_session_cookies(app, response.headers_mut(), opened)?,
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
    let new = password(&request.new_password)?;
    let link = links::take_reset(&app, &token).await?.ok_or_else(invalid)?;
    let account = app.directory.accounts.by_id(link.account()).await?.ok_or_else(invalid)?;
    // Whoever must choose another password must not choose the same by this way either.
    let in_force = if account.must_change_password {
        app.directory.credentials.find(&account.id, Method::Password).await?
    } else {
        None
    };
    let new = match app.passwords.prepare_other(&account, in_force.as_ref(), new).await {
        Ok(new) => new,
        Err(error) => {
            // A weak password must not cost the link.
            if matches!(error, SetPasswordError::Weak(_) | SetPasswordError::Busy(_)) {
                links::put_reset_back(&app, &token, &link).await?;
            }
            return Err(error.into());
        }
    };
    let proved = Proved { account: account.id, epoch: link.epoch(), set_at: link.set_at() };
    let account =
        replace_secret(&app, &proved, Before::Ends, Secret::Password(new).into()).await?.ok_or_else(invalid)?;
    let subject = subject_of(&account)?;
    app.manager.end_all(&subject, None, Cause::CredentialChanged, &context.origin).await?;
    app.passwords.unlock(&account).await?;
    app.record(crate::audit::Entry { subject: Some(subject.as_str().into()), ..context.entry("user.password_reset") });
    Ok(Done::YES)
}
