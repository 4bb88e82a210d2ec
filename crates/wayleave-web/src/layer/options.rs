//! What a [`SessionLayer`](super::SessionLayer) is told.

use std::sync::Arc;
use std::time::Duration;

use wayleave::kv::SessionData;
use wayleave::{SystemClock, SystemEntropy};
use wayleave_core::decide::Standing;
use wayleave_core::ports::{Clock, Entropy, StoreError, Subjects};
use wayleave_core::subject::Subject;

use crate::cookies::{CookieOptions, SameSite, Transport, Visibility};
use crate::fetch_metadata::OriginPolicy;

/// How sessions behave. Every field has a default that is safe over HTTPS.
#[derive(Clone)]
pub struct SessionOptions {
    /// How clients show their sessions.
    pub carrier: Carrier,
    /// How requests that change something are told from forged ones. For cookies; a bearer token needs none.
    pub csrf: CsrfMode,
    /// The origins of one's own pages and of others that may act for a user. Where none are named, browsers are asked
    /// by Fetch Metadata alone, and those too old for it are told by the CSRF token.
    pub origins: OriginPolicy,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// Keys of a guest's data that stay with the session when somebody signs in. Everything else of the guest's is
    /// forgotten, since it may be of somebody else (R012).
    pub kept_at_sign_in: Vec<String>,
    /// The layout of the application's data.
    pub schema: Schema,
    /// Whom sealed cookies are for. Two applications that share keys and the cookie's name must differ in it; empty where
    /// there is only one.
    pub audience: String,
    /// Sessions on record that are kept in memory, so that most requests do not ask the store. 0 where somebody else
    /// writes to the same store: another process, or another layer that is not a clone of this one.
    pub warm_sessions: usize,
    /// How recent a sign-in has to be for [`Fresh`](crate::Fresh).
    pub fresh_for: Duration,
    /// What subjects may do right now; asked whenever a session is not answered from memory.
    pub subjects: Arc<dyn Subjects>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tokens come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for SessionOptions {
    /// Cookie `__Host-id`, `SameSite=Lax`; CSRF tokens; [`Lifetimes::default`]; nothing kept at the sign-in; fresh for
    /// ten minutes; 100,000 sessions in memory; every subject may have sessions with all that it is granted.
    fn default() -> Self {
        Self {
            carrier: Carrier::default(),
            csrf: CsrfMode::Token,
            origins: OriginPolicy::default(),
            lifetimes: Lifetimes::default(),
            kept_at_sign_in: Vec::new(),
            schema: Schema::default(),
            audience: String::new(),
            warm_sessions: 100_000,
            fresh_for: Duration::from_secs(600),
            subjects: Arc::new(Everybody),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

/// How clients show their sessions: one way or the other, never both.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// In this cookie.
    Cookie(CookieOptions),
    /// In `Authorization: Bearer`. The application answers the sign-in with the token; guests have no sessions.
    Bearer,
}

impl Carrier {
    /// The cookie `__Host-id`: TLS, this host alone, hidden from scripts, `SameSite=Lax`.
    #[must_use]
    pub fn host_cookie() -> Self {
        Self::Cookie(CookieOptions {
            name: "__Host-id".into(),
            path: "/".into(),
            domain: None,
            same_site: SameSite::Lax,
            visibility: Visibility::HttpOnly,
            transport: Transport::Secure,
        })
    }
}

impl Default for Carrier {
    fn default() -> Self {
        Self::host_cookie()
    }
}

/// How requests that change something are told from forged ones.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CsrfMode {
    /// By Fetch Metadata and `Origin`, and by a token that the page got from [`CsrfToken`](crate::CsrfToken) and sends in
    /// the header `x-csrf-token` or the form field `csrf_token` (R044-R047).
    Token,
    /// By Fetch Metadata and `Origin` alone. A request from a browser that sends neither is refused.
    Origin,
    /// Not at all: something in front of this layer does it.
    DangerousOff,
}

/// How long sessions live.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of a guest, in all.
    pub guest: Duration,
    /// Of somebody who is signed in, in all. Nothing moves this end.
    pub signed_in: Duration,
    /// Of somebody who is signed in and does nothing.
    pub idle: Duration,
    /// Of somebody who asked to be remembered, in all and doing nothing.
    pub remembered: Duration,
}

impl Default for Lifetimes {
    /// Guests and those signed in 24 hours, 30 minutes without activity; 30 days for the remembered.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { guest: DAY, signed_in: DAY, idle: Duration::from_secs(30 * 60), remembered: DAY.saturating_mul(30) }
    }
}

/// Brings a session's data from an older layout to the current one. Is given the version that the data is in.
pub type Migrate = dyn Fn(u32, &mut SessionData) -> Migration + Send + Sync;

/// The version of the layout of the application's data, and the way to it from older ones.
#[derive(Clone)]
pub struct Schema {
    /// The current version.
    pub version: u32,
    /// The way from every other version, newer ones included: during a deployment both run.
    pub migrate: Arc<Migrate>,
}

/// What becomes of data of another version.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// It is of the current version now.
    Done,
    /// It is forgotten. Who is signed in stays so.
    Forget,
    /// The session stays where it is and is not touched; the client starts over without one. For a version that will be
    /// back, or that somebody wants to look at.
    KeepAside,
}

impl Default for Schema {
    /// Version 0; data of any other version is forgotten.
    fn default() -> Self {
        Self { version: 0, migrate: Arc::new(|_, _| Migration::Forget) }
    }
}

/// For applications whose subjects may all have sessions, with all that they are granted at the sign-in.
#[derive(Copy, Clone, Debug, Default)]
pub struct Everybody;

#[async_trait::async_trait]
impl Subjects for Everybody {
    async fn standing(&self, _: &Subject) -> Result<Standing, StoreError> {
        Ok(Standing::UNRESTRICTED)
    }
}
