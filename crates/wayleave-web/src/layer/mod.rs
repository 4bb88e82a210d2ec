//! The tower layer: gives every request its session, and answers with what became of it.

use std::sync::Arc;

use wayleave::kv::{Revocations, SessionStore};
use wayleave::{Options, Parts, Rules, SessionManager};
use wayleave_core::authentication::Authority;
use wayleave_core::memory::MemoryStore;
use wayleave_core::ports;
use wayleave_core::ports::EntropyFailure;

use crate::config::{ConfigError, SessionBackend, SessionConfig};
use crate::cookies::{CookieOptions, CookieSpec, InvalidCookieSpec, Visibility};
use crate::keys::{InvalidKey, SessionKey, SessionKeys};
use crate::sealed::CookieSessionStore;

mod guard;
pub(crate) mod key_value;
mod kinds;
mod options;
mod service;
mod shared;
mod slot;
mod watch;

pub use options::{Carrier, CsrfMode, Everybody, Lifetimes, Migrate, Migration, Schema, SessionOptions};
pub use service::SessionService;
pub use watch::{SessionEnd, SessionWatch};

pub(crate) use guard::FIELD;
pub(crate) use shared::Backend;
pub(crate) use slot::{Change, Loaded, Nobody, Slot, State, schema_of, set_schema};
pub(crate) use watch::{DataPlace, WatchSource};

use shared::{Cookies, Shared};

/// Gives the routes under it sessions. Cheap to clone; all clones share their sessions.
///
/// Routes that do not ask for the session are answered as if the layer were not there: nothing is read, nothing is set.
#[derive(Clone)]
pub struct SessionLayer {
    shared: Arc<Shared>,
}

impl SessionLayer {
    /// Sessions in process memory, under random keys: they end with the process.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn in_memory(options: SessionOptions) -> Result<Self, StartError> {
        let keys = SessionKeys::new(SessionKey::generate(&*options.entropy)?);
        Self::on_record(Arc::new(MemoryStore::default()), &keys, options)
    }

    /// Sessions on record in `store`: memory, SQLite or any other. This layer, with its clones, keeps what it has read in
    /// memory; where other layers or processes write to the same store, set [`SessionOptions::warm_sessions`] to 0, so that
    /// what they end is over here, too.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn on_record(
        store: Arc<dyn ports::SessionStore>,
        keys: &SessionKeys,
        options: SessionOptions,
    ) -> Result<Self, StartError> {
        let mut random = [0; 16];
        options.entropy.fill(&mut random)?;
        let (kinds, kind, guest) = kinds::kinds(&options.lifetimes)?;
        let manager = SessionManager::new(Parts {
            store,
            subjects: Arc::clone(&options.subjects),
            clock: Arc::clone(&options.clock),
            entropy: Arc::clone(&options.entropy),
            authority: Authority::new(random),
            routing: keys.routing_key(),
            cluster: None,
            rules: Rules { kinds, ..Rules::default() },
            // No kind here has signed tokens.
            audience: wayleave::jwt::Audience { issuer: Box::default(), audience: Box::default() },
            options: Options { warm_sessions: options.warm_sessions, ..Options::default() },
        });
        let authority = Authority::new(random);
        Self::new(Backend::Records { manager: Arc::new(manager), authority, kind, guest }, keys, options)
    }

    /// Sessions sealed into the cookie itself: nothing is kept here. What that cannot promise stands at
    /// [`CookieSessionStore`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn sealed(keys: &SessionKeys, options: SessionOptions) -> Result<Self, StartError> {
        Self::sealed_by(Self::seal(keys, &options)?, keys, options)
    }

    /// As [`Self::sealed`], with a memory of those that were ended.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn sealed_and_revocable(
        keys: &SessionKeys,
        revocations: Arc<dyn Revocations>,
        options: SessionOptions,
    ) -> Result<Self, StartError> {
        Self::sealed_by(Self::seal(keys, &options)?.with_revocations(revocations), keys, options)
    }

    fn seal(keys: &SessionKeys, options: &SessionOptions) -> Result<CookieSessionStore, StartError> {
        let Carrier::Cookie(cookie) = &options.carrier else { return Err(StartError::SealedBearer) };
        let cookies = CookieSessionStore::with_keys(keys, CookieSpec::new(cookie.clone())?)?;
        let Lifetimes { guest, signed_in, idle: _, remembered } = options.lifetimes;
        let cookies = cookies
            .living_at_most(guest.max(signed_in).max(remembered))
            .with_ambient(Arc::clone(&options.clock), Arc::clone(&options.entropy));
        Ok(if options.audience.is_empty() { cookies } else { cookies.for_audience(&options.audience) })
    }

    /// Sessions sealed by `cookies`, whose cookie is the carrier whatever the options say.
    ///
    /// # Errors
    /// See [`StartError`].
    fn sealed_by(cookies: CookieSessionStore, keys: &SessionKeys, options: SessionOptions) -> Result<Self, StartError> {
        Self::new(Backend::Sealed(Arc::new(cookies)), keys, options)
    }

    /// Sessions in a store of key-value sessions, which may be one's own. They hold their identity in their data: nobody
    /// can list a subject's sessions or end them all, and there is no limit to their number.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn key_value(
        store: Arc<dyn SessionStore>,
        keys: &SessionKeys,
        options: SessionOptions,
    ) -> Result<Self, StartError> {
        if !store.supports_revocation() {
            return Err(StartError::KeepsNothing);
        }
        Self::new(Backend::KeyValue(store), keys, options)
    }

    /// A layer by Tideway's settings: in memory or sealed.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn from_config(config: &SessionConfig) -> Result<Self, StartError> {
        let ttl = config.default_ttl();
        let lifetimes = Lifetimes { guest: ttl, signed_in: ttl, idle: ttl, remembered: ttl };
        let carrier = Carrier::Cookie(config.cookie_options());
        let options = SessionOptions { carrier, lifetimes, ..SessionOptions::default() };
        match config.backend {
            SessionBackend::InMemory => Self::in_memory(options),
            SessionBackend::Cookie => Self::sealed(&config.keys()?, options),
        }
    }

    fn new(backend: Backend, keys: &SessionKeys, options: SessionOptions) -> Result<Self, StartError> {
        kinds::kinds(&options.lifetimes)?;
        let cookies = match &options.carrier {
            Carrier::Cookie(cookie) => Some(cookies(cookie)?),
            Carrier::Bearer => None,
        };
        Ok(Self { shared: Arc::new(Shared::new(backend, options, cookies, keys.csrf_key())) })
    }

    /// The manager of sessions that are on record: to list them, to end those of a subject, to hear of what happens.
    #[must_use]
    pub fn manager(&self) -> Option<&Arc<SessionManager>> {
        match &self.shared.backend {
            Backend::Records { manager, .. } => Some(manager),
            Backend::KeyValue(_) | Backend::Sealed(_) => None,
        }
    }
}

/// The cookies beside the session's: of the same place, with names of their own.
fn cookies(session: &CookieOptions) -> Result<Cookies, InvalidCookieSpec> {
    let beside = |rest: &str, visibility| {
        // A `__Host-` or `__Secure-` cookie has neighbours of its kind; a script must be able to read one of them.
        let own = session.name.as_str();
        let of = |prefix: &str| own.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix));
        let (prefix, name) = if let Some(http) = of("__Host-Http-") {
            ("__Host-", own.get(http.len()..).unwrap_or_default())
        } else if let Some(http) = of("__Http-") {
            ("__Secure-", own.get(http.len()..).unwrap_or_default())
        } else {
            ("", own)
        };
        let name = format!("{prefix}{name}-{rest}");
        CookieSpec::new(CookieOptions { name, visibility, ..session.clone() })
    };
    Ok(Cookies {
        session: CookieSpec::new(session.clone())?,
        visitor: beside("visitor", Visibility::HttpOnly)?,
        csrf: beside("csrf", Visibility::Script)?,
    })
}

/// A layer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyFailure),
    /// A key is none.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// A cookie cannot be so.
    #[error(transparent)]
    Cookie(#[from] InvalidCookieSpec),
    /// The settings do not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A lifetime is none.
    #[error("a lifetime of sessions is a second to 400 days: {0}")]
    Lifetime(#[from] wayleave_core::policy::InvalidPolicy),
    /// A store that keeps nothing cannot hold sessions under ids; see [`SessionLayer::sealed`].
    #[error("a store of sessions must keep and end them; for sealed cookies there is SessionLayer::sealed")]
    KeepsNothing,
    /// A sealed session travels in a cookie.
    #[error("a sealed session travels in a cookie, not in a bearer token")]
    SealedBearer,
}
