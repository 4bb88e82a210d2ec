//! Signing in and out: what handlers say, and what they are told.

use std::sync::Arc;

use axum_core::response::{IntoResponse, Response};
use wayleave::OpenError;
use wayleave_core::authentication::{Level, Method};
use wayleave_core::permission::{InvalidPermission, Permissions};
use wayleave_core::ports::StoreError;
use wayleave_core::record::MAX_LABEL;
use wayleave_core::subject::{InvalidSubject, Subject};
use wayleave_core::time::Timestamp;
use zeroize::Zeroizing;

use super::Session;
use crate::layer::Slot;
use crate::reject::SessionRejection;

/// Somebody whom the application has just seen prove who they are.
///
/// ```
/// use wayleave_web::SignIn;
///
/// let ann = SignIn::user("42")?.permissions(["write:messages"])?.remember(true);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SignIn {
    pub(super) subject: Subject,
    pub(super) permissions: Permissions,
    pub(super) method: Method,
    pub(super) level: Level,
    pub(super) remember: bool,
    pub(super) epoch: Option<u64>,
    pub(super) label: Option<Box<str>>,
}

impl SignIn {
    /// The account `id` of this application, without permissions.
    ///
    /// # Errors
    /// [`InvalidSubject`] when `id` is empty, too long or has characters that no subject has.
    pub fn user(id: &str) -> Result<Self, InvalidSubject> {
        Ok(Self::subject(format!("user:{id}").parse()?))
    }

    /// Any subject, without permissions.
    #[must_use]
    pub fn subject(subject: Subject) -> Self {
        Self {
            subject,
            permissions: Permissions::none(),
            method: Method::Password,
            level: Level::ONE,
            remember: false,
            epoch: None,
            label: None,
        }
    }

    /// What the session may do, at most.
    ///
    /// # Errors
    /// [`InvalidPermission`] when a name is malformed or there are too many.
    pub fn permissions<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPermission> {
        Ok(Self { permissions: Permissions::new(names)?, ..self })
    }

    /// Whether the person asked to be remembered.
    #[must_use]
    pub fn remember(self, remember: bool) -> Self {
        Self { remember, ..self }
    }

    /// How the person proved who they are; a password unless said otherwise.
    #[must_use]
    pub fn proved_by(self, method: Method, level: Level) -> Self {
        Self { method, level, ..self }
    }

    /// The epoch that the subject's standing was in when the proof began. With it, a sign-in that a change of the
    /// password has overtaken is refused; without it, the epoch is asked for now.
    #[must_use]
    pub fn at_epoch(self, epoch: u64) -> Self {
        Self { epoch: Some(epoch), ..self }
    }

    /// What the owner's list of sessions calls the client, such as `Firefox on Linux`; cut off at 256 bytes.
    #[must_use]
    pub fn label(self, label: &str) -> Self {
        let end = label.floor_char_boundary(MAX_LABEL);
        Self { label: label.get(..end).map(Into::into), ..self }
    }
}

/// A sign-in that went well.
pub struct SignedIn {
    /// The session's token, where the carrier is a bearer token: the client's, to be answered once. None for cookies,
    /// which go out by themselves.
    pub token: Option<Zeroizing<String>>,
    /// When the session ends, whatever happens.
    pub expires_at: Timestamp,
    /// How many other sessions of the subject ended to make room.
    pub evicted: usize,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The subject may have no sessions, or has ended everything that this proof is good for.
    #[error("the subject may not sign in")]
    Refused,
    /// The subject has as many sessions as it may.
    #[error("too many sessions")]
    LimitReached,
    /// The proof is about somebody else than the one who is signed in.
    #[error("this is somebody else")]
    SomebodyElse,
    /// Something failed.
    #[error(transparent)]
    Failed(#[from] SessionRejection),
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<InvalidSubject> for SignInError {
    /// Somebody who cannot be named has no account.
    fn from(_: InvalidSubject) -> Self {
        Self::Refused
    }
}

impl From<InvalidPermission> for SignInError {
    fn from(error: InvalidPermission) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "nobody can be granted this");
        Self::Refused
    }
}

impl From<OpenError> for SignInError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Refused | OpenError::TooWeak | OpenError::Unlicensed => Self::Refused,
            OpenError::LimitReached => Self::LimitReached,
            OpenError::ForeignEvidence
            | OpenError::UnknownKind
            | OpenError::Store(_)
            | OpenError::Entropy(_)
            | OpenError::CannotIssue(_) => Self::Failed(super::save::unopened(error)),
        }
    }
}

impl IntoResponse for SignInError {
    /// Refusals are 401 `session_required`, whatever the reason.
    fn into_response(self) -> Response {
        match self {
            Self::Refused | Self::LimitReached | Self::SomebodyElse => SessionRejection::SignInRequired.into_response(),
            Self::Failed(error) => error.into_response(),
        }
    }
}

impl Session {
    /// Signs somebody in: a new session under a new id takes the place of the request's, whoever's it was (R011). Of a
    /// guest's data it keeps the keys of [`SessionOptions::kept_at_sign_in`](crate::SessionOptions), and nothing of
    /// anybody else's (R012).
    ///
    /// The application has checked the proof before it calls this. Nothing else makes anybody signed in.
    ///
    /// # Errors
    /// See [`SignInError`]. Nobody is signed in then who was not before.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<SignedIn, SignInError> {
        to_its_end(Arc::clone(&self.0), |slot| async move { slot.sign_in(sign_in).await }).await
    }

    /// Takes a fresh proof of the one who is signed in: the session goes on under a new id, with its data and its end,
    /// and is [`Fresh`](crate::Fresh) again.
    ///
    /// # Errors
    /// [`SignInError::SomebodyElse`] when the proof is another's or nobody is signed in, and as [`Self::sign_in`].
    pub async fn prove_again(&self, sign_in: SignIn) -> Result<SignedIn, SignInError> {
        to_its_end(Arc::clone(&self.0), |slot| async move { slot.prove_again(sign_in).await }).await
    }

    /// Signs out: ends the session, and takes cookie and cached pages from the browser. What the request changed is
    /// forgotten. A sealed cookie that somebody kept stays good without
    /// [`Revocations`](wayleave::kv::Revocations).
    ///
    /// # Errors
    /// [`SessionRejection::Store`] when the session may not have ended. The cookie goes all the same.
    pub async fn sign_out(&self) -> Result<(), SessionRejection> {
        to_its_end(Arc::clone(&self.0), |slot| async move {
            let ended = slot.end_shown().await;
            slot.leave();
            Ok(ended?)
        })
        .await
    }

    /// Ends every session of whoever is signed in, on all devices. Where the store cannot do that, it ends this one and
    /// says so.
    ///
    /// # Errors
    /// As [`Self::sign_out`].
    pub async fn sign_out_everywhere(&self) -> Result<Reach, SessionRejection> {
        to_its_end(Arc::clone(&self.0), |slot| async move {
            let ended = slot.end_all().await;
            let here = slot.end_shown().await;
            slot.leave();
            let reach = ended?;
            here?;
            Ok(reach)
        })
        .await
    }
}

/// How far a sign-out reached.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use = "a store that keeps no list of somebody's sessions ends this one alone"]
pub enum Reach {
    /// Every session of the subject has ended.
    Everywhere,
    /// This session alone: sealed cookies without [`Revocations`](wayleave::kv::Revocations), and stores of key-value
    /// sessions, know of no others.
    HereAlone,
}

/// Carries a sign-in or sign-out to its end also when the client hangs up: half of one is none.
async fn to_its_end<T, F>(slot: Arc<Slot>, act: impl FnOnce(Arc<Slot>) -> F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let acting = act(slot);
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => match runtime.spawn(acting).await {
            Ok(outcome) => outcome,
            Err(lost) if lost.is_panic() => std::panic::resume_unwind(lost.into_panic()),
            // The runtime is going down, and everything with it.
            Err(_) => std::future::pending().await,
        },
        Err(_) => acting.await,
    }
}
