//! What all requests of one layer share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::{CancellationToken, DropGuard};
use wayleave::kv::{SessionData, SessionStore};
use wayleave::{Background, SessionManager};
use wayleave_core::authentication::Authority;
use wayleave_core::policy::KindName;
use wayleave_core::ports::EntropyFailure;
use wayleave_core::time::Timestamp;
use wayleave_core::token::SessionToken;

use super::options::SessionOptions;
use super::watch::Watchers;
use crate::cookies::CookieSpec;
use crate::csrf::CsrfKey;
use crate::sealed::CookieSessionStore;

/// Credentials remembered as replaced.
const REPLACED: usize = 10_000;

pub(crate) struct Shared {
    pub(crate) backend: Backend,
    pub(crate) options: SessionOptions,
    /// None for bearer tokens.
    pub(crate) cookies: Option<Cookies>,
    pub(crate) csrf: CsrfKey,
    pub(crate) watchers: Arc<Watchers>,
    /// When clients were given other credentials in the place of these, or left.
    replaced: Cache<[u8; 32], Timestamp>,
    upkeep: OnceLock<DropGuard>,
}

/// The cookies of a layer.
pub(crate) struct Cookies {
    pub(crate) session: CookieSpec,
    /// What CSRF tokens are bound to before there is a session.
    pub(crate) visitor: CookieSpec,
    /// The CSRF token, for scripts to read.
    pub(crate) csrf: CookieSpec,
}

/// Where sessions are.
pub(crate) enum Backend {
    /// On record, in any store.
    Records { manager: Arc<SessionManager>, authority: Authority, kind: KindName, guest: KindName },
    /// In a store of key-value sessions, identity and all.
    KeyValue(Arc<dyn SessionStore>),
    /// With the client.
    Sealed(Arc<CookieSessionStore>),
}

impl Shared {
    pub(super) fn new(backend: Backend, options: SessionOptions, cookies: Option<Cookies>, csrf: CsrfKey) -> Self {
        let watchers = Arc::new(Watchers::default());
        let replaced = Cache::new(REPLACED);
        Self { backend, options, cookies, csrf, watchers, replaced, upkeep: OnceLock::new() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.options.clock.now()
    }

    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], EntropyFailure> {
        let mut bytes = [0; N];
        self.options.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// How long a session of this data may go unused.
    pub(crate) fn idle(&self, data: &SessionData) -> Duration {
        let lifetimes = &self.options.lifetimes;
        match data.principal() {
            None => lifetimes.guest,
            Some(principal) if principal.remembered => lifetimes.remembered,
            Some(_) => lifetimes.idle,
        }
    }

    /// When a session of this data ends, whatever happens.
    pub(crate) fn absolute_end(&self, data: &SessionData) -> Timestamp {
        let lifetimes = &self.options.lifetimes;
        let lifetime = match data.principal() {
            None => lifetimes.guest,
            Some(principal) if principal.remembered => lifetimes.remembered,
            Some(_) => lifetimes.signed_in,
        };
        data.created_at().plus(lifetime)
    }

    /// Notes that the client of this credential has another one from now on, or none.
    pub(crate) fn note_replaced(&self, credential: &str) {
        let now = self.now();
        self.replaced.insert(Sha256::digest(credential).into(), now);
        if let (Backend::Sealed(_), Some(handle)) = (&self.backend, self.binding(credential)) {
            self.replaced.insert(handle, now);
        }
    }

    /// Whether the client of this credential got another one within the last minute. A request that was under way then
    /// still bears the old one; nothing of its answer may take the new one from the client (R067).
    pub(crate) fn was_replaced(&self, credential: &str) -> bool {
        const UNDER_WAY: Duration = Duration::from_secs(60);
        let known = |key: &[u8; 32]| self.replaced.get(key).is_some_and(|at| self.now().since(at) < UNDER_WAY);
        known(&Sha256::digest(credential).into())
            || matches!(self.backend, Backend::Sealed(_))
                && self.binding(credential).is_some_and(|handle| known(&handle))
    }

    /// What a session's CSRF tokens are bound to: dies with the id.
    pub(crate) fn binding(&self, credential: &str) -> Option<[u8; 32]> {
        match &self.backend {
            Backend::Records { .. } => SessionToken::parse(credential).ok().map(|token| token.hash().0),
            Backend::KeyValue(_) => Some(Sha256::digest(credential).into()),
            Backend::Sealed(cookies) => {
                let handle = cookies.decrypt(credential)?.handle()?;
                Some(Sha256::digest(handle.0).into())
            }
        }
    }

    /// Starts, once, what goes on besides requests: writing activity down and removing what has ended.
    pub(super) fn start_upkeep(&self) {
        if self.upkeep.get().is_some() || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let _ = self.upkeep.get_or_init(|| {
            let stop = CancellationToken::new();
            match &self.backend {
                Backend::Records { manager, .. } => {
                    let running = Arc::clone(manager).run_background(Background::default(), stop.clone());
                    tokio::spawn(running);
                }
                Backend::KeyValue(store) => {
                    tokio::spawn(clean_up(Arc::clone(store), stop.clone()));
                }
                Backend::Sealed(_) => {}
            }
            stop.drop_guard()
        });
    }
}

async fn clean_up(store: Arc<dyn SessionStore>, stop: CancellationToken) {
    let mut every = tokio::time::interval(Duration::from_secs(60));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {
                if let Err(error) = store.cleanup_expired().await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "expired sessions could not be removed");
                }
            }
        }
    }
}
