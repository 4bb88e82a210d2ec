//! Extractors: what a handler demands of the request's session by naming it among its arguments.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{convert::Infallible, pin::Pin};

use axum_core::extract::{FromRequestParts, Request};
use axum_core::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use tower_layer::Layer;
use tower_service::Service;

use crate::cookies::Lifetime;
use crate::csrf::{CsrfBinding, Submitted};
use crate::layer::{FIELD, Loaded, Slot};
use crate::reject::SessionRejection;
use crate::session::Session;

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let slot = Arc::clone(parts.extensions.get::<Arc<Slot>>().ok_or(SessionRejection::NoLayer)?);
        slot.load(parts).await?;
        Ok(Self(slot))
    }
}

/// A session of somebody who is signed in; 401 `session_required` otherwise.
#[derive(Clone, Debug)]
pub struct Authenticated(Session);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionRejection> {
        let session = Session::from_request_parts(parts, state).await?;
        if session.is_signed_in() { Ok(Self(session)) } else { Err(SessionRejection::SignInRequired) }
    }
}

/// A session whose sign-in is recent, for what a stolen cookie must not do; 401 `insufficient_user_authentication`
/// otherwise (R025). [`SessionOptions::fresh_for`](crate::SessionOptions) says how recent;
/// [`Session::prove_again`] makes it so.
#[derive(Clone, Debug)]
pub struct Fresh(Session);

impl<S: Sync> FromRequestParts<S> for Fresh {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionRejection> {
        let Authenticated(session) = Authenticated::from_request_parts(parts, state).await?;
        let shared = &session.0.shared;
        let (most, now) = (shared.options.fresh_for, shared.now());
        let refused = SessionRejection::StepUpRequired { max_age_seconds: most.as_secs() };
        let is_fresh = match &session.0.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => session.fresh(most, now).is_ok(),
            // In both directions, so that a clock set back makes nothing recent.
            Some(Loaded::Data { data, .. }) => data.principal().is_some_and(|principal| {
                let at = principal.authentication.at;
                now.since(at) < most && at.since(now) < most
            }),
            Some(Loaded::Nobody(_)) | None => false,
        };
        if is_fresh { Ok(Self(session)) } else { Err(refused) }
    }
}

/// The name of a permission, as a type to demand it by.
///
/// ```
/// use wayleave_web::{PermissionName, RequirePermission};
///
/// struct WriteMessages;
/// impl PermissionName for WriteMessages {
///     const NAME: &'static str = "write:messages";
/// }
///
/// async fn post_message(session: RequirePermission<WriteMessages>) {}
/// ```
pub trait PermissionName {
    /// The permission.
    const NAME: &'static str;
}

/// A session of somebody who holds the permission `P`; 401 `session_required` where nobody is signed in, 403
/// `permission_denied` where somebody else is.
#[derive(Clone, Debug)]
pub struct RequirePermission<P>(Session, PhantomData<fn() -> P>);

impl<P: PermissionName, S: Sync> FromRequestParts<S> for RequirePermission<P> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionRejection> {
        let Authenticated(session) = Authenticated::from_request_parts(parts, state).await?;
        demand(&session, P::NAME)?;
        Ok(Self(session, PhantomData))
    }
}

fn demand(session: &Session, permission: &str) -> Result<(), SessionRejection> {
    if session.may(permission) {
        Ok(())
    } else {
        Err(SessionRejection::PermissionDenied { permission: permission.into() })
    }
}

macro_rules! is_a_session {
    ($($name:ident $(<$parameter:ident>)?,)+) => {$(
        impl $(<$parameter>)? Deref for $name $(<$parameter>)? {
            type Target = Session;

            fn deref(&self) -> &Session {
                &self.0
            }
        }
    )+};
}
is_a_session!(Authenticated, Fresh, RequirePermission<P>,);

/// A CSRF token for a page with a form or a script: each use of the extractor gives another, and all are good as long as
/// the session. Forms send it in the hidden field of [`CsrfToken::field`], scripts in the header `x-csrf-token`; they
/// can read it in the cookie that ends in `-csrf`.
#[derive(Clone)]
pub struct CsrfToken(String);

impl CsrfToken {
    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A hidden field for a form, in HTML.
    #[must_use]
    pub fn field(&self) -> String {
        // Nothing in a token needs escaping.
        format!("<input type=\"hidden\" name=\"{FIELD}\" value=\"{}\">", self.0)
    }
}

impl std::fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CsrfToken(..)")
    }
}

impl<S: Sync> FromRequestParts<S> for CsrfToken {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SessionRejection> {
        let session = Session::from_request_parts(parts, state).await?;
        session.0.csrf_token().map(Self)
    }
}

impl Slot {
    /// A token for the session as it is now, or for the visitor where there is none.
    fn csrf_token(&self) -> Result<String, SessionRejection> {
        let Some(cookies) = &self.shared.cookies else { return Err(SessionRejection::NoCarrier) };
        let mut state = self.state.lock();
        let credential = match &state.loaded {
            Some(Loaded::Record { token, .. }) => Some(token.clone()),
            Some(Loaded::Data { id, .. }) => Some(id.clone()),
            Some(Loaded::Nobody(_)) | None => None,
        };
        let session = credential.and_then(|credential| self.shared.binding(&credential));
        let visitor = match (&session, &state.brought.visitor) {
            (Some(_), _) => Box::default(),
            (None, Some(visitor)) => visitor.clone(),
            (None, None) => {
                let visitor: Box<str> = URL_SAFE_NO_PAD.encode(self.shared.random::<32>()?).into();
                let lifetime = Lifetime::BrowserSession;
                let cookie = cookies.visitor.set(&visitor, lifetime).map_err(|_| SessionRejection::CookieTooLarge)?;
                state.set_cookie(cookie);
                state.brought.visitor = Some(visitor.clone());
                visitor
            }
        };
        let binding = match &session {
            Some(hash) => CsrfBinding::Session(hash),
            None => CsrfBinding::PreSession(visitor.as_bytes()),
        };
        state.no_store = true;
        let token = self.shared.csrf.issue(binding, &*self.shared.options.entropy)?;
        let held = state.brought.csrf.clone();
        let brought = Submitted { explicit: held.as_deref(), cookie: held.as_deref() };
        if self.shared.csrf.verify(brought, binding).is_err() {
            let cookie =
                cookies.csrf.set(&token, Lifetime::BrowserSession).map_err(|_| SessionRejection::CookieTooLarge)?;
            state.set_cookie(cookie);
            state.brought.csrf = Some(token.as_str().into());
        }
        Ok(token)
    }
}

/// Demands a permission of everybody who wants to come to the routes under it, as [`RequirePermission`] does.
///
/// ```
/// # use axum::{Router, routing::post};
/// # async fn write() {}
/// let messages: Router = Router::new().route("/messages", post(write)).route_layer(wayleave_web::require("write:messages"));
/// ```
#[must_use]
pub fn require(permission: &'static str) -> RequireLayer {
    RequireLayer { permission }
}

/// See [`require`].
#[derive(Copy, Clone, Debug)]
pub struct RequireLayer {
    permission: &'static str,
}

impl<S> Layer<S> for RequireLayer {
    type Service = RequireService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireService { inner, permission: self.permission }
    }
}

/// A service for those who hold a permission; see [`require`].
#[derive(Clone, Debug)]
pub struct RequireService<S> {
    inner: S,
    permission: &'static str,
}

impl<S> Service<Request> for RequireService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let permission = self.permission;
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let admitted = Authenticated::from_request_parts(&mut parts, &()).await;
            match admitted.and_then(|session| demand(&session, permission)) {
                Ok(()) => ready.call(Request::from_parts(parts, body)).await,
                Err(error) => Ok(error.into_response()),
            }
        })
    }
}
