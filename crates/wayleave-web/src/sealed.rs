//! Sessions that their clients hold: sealed into the cookie itself.
//!
//! ```text
//! cookie  = base64url(envelope)          without padding; the envelope is that of `wayleave_core::seal`
//! inside  = session data, with its expiry and a handle of 128 random bits
//! bound to  the cookie's name, path and domain
//! ```
//!
//! Nobody can read or change such a session, and its end is inside. But an older state that a client kept opens like a
//! newer one, two parallel requests cannot be merged (the later answer wins), and a session that was ended opens until
//! its end unless [`Revocations`] remember it. So no money and no rights belong in it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use wayleave::kv::{Handle, Revocations, SaveError, SessionData, SessionStore};
use wayleave::{SystemClock, SystemEntropy};
use wayleave_core::ports::{Clock, Entropy, StoreError};
use wayleave_core::seal::{self, KeyRing, Place};

use crate::config::{ConfigError, SessionConfig};
use crate::cookies::{CookieSpec, Lifetime, MAX_NAME_AND_VALUE};
use crate::keys::{InvalidKey, SessionKeys};

mod tideway;

#[cfg(test)]
mod tests;

use tideway::TidewayCookies;

/// Seals sessions into cookies and opens them again.
///
/// As a [`SessionStore`] it takes the sealed text for the id, as Tideway's does: `load` opens it, `save` only checks that
/// the data fits a cookie, and `delete` revokes it if there are [`Revocations`].
pub struct CookieSessionStore {
    ring: KeyRing,
    cookie: CookieSpec,
    /// What envelopes are bound to.
    name: Box<[u8]>,
    /// The longest that any of its sessions can live, from its beginning.
    longest: Duration,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    revocations: Option<Arc<dyn Revocations>>,
    tideway: Option<TidewayCookies>,
    /// What lately opened, by its text: a browser sends the same one with every request.
    opened: Cache<Box<str>, Arc<SessionData>, Weight>,
}

/// Most bytes of texts that lately opened, and of what was in them.
const MAX_OPENED: u64 = 16 << 20;

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<SessionData>> for Weight {
    fn weight(&self, text: &Box<str>, _: &Arc<SessionData>) -> u64 {
        // What is inside is no longer than its text, but in pieces that each take some room.
        u64::try_from(text.len()).map_or(u64::MAX, |bytes| 4 * bytes + 256)
    }
}

const PURPOSE: &str = "session cookie";

impl CookieSessionStore {
    /// A store by Tideway's settings.
    ///
    /// # Errors
    /// [`ConfigError`] when the key is missing or not good enough, or the cookie cannot be so.
    pub fn new(config: &SessionConfig) -> Result<Self, ConfigError> {
        Ok(Self::with_keys(&config.keys()?, config.cookie()?)?)
    }

    /// A store that seals with the newest of `keys` and opens with every one.
    ///
    /// # Errors
    /// [`InvalidKey::Twice`].
    pub fn with_keys(keys: &SessionKeys, cookie: CookieSpec) -> Result<Self, InvalidKey> {
        Ok(Self {
            ring: keys.ring().map_err(|_| InvalidKey::Twice)?,
            name: cookie.place().as_bytes().into(),
            cookie,
            longest: SessionData::MAX_LIFETIME,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            revocations: None,
            tideway: None,
            opened: Cache::with_weighter(10_000, MAX_OPENED, Weight),
        })
    }

    /// Remembers ended sessions in `revocations`.
    #[must_use]
    pub fn with_revocations(self, revocations: Arc<dyn Revocations>) -> Self {
        Self { revocations: Some(revocations), ..self }
    }

    /// Binds cookies to an audience as well: two applications under one key whose cookies have one name, or one
    /// application in production and on trial, do not take each other's (R042).
    #[must_use]
    pub fn for_audience(self, audience: &str) -> Self {
        let name = [self.cookie.place(), "\n", audience].concat();
        self.opened.clear();
        Self { name: name.into_bytes().into(), ..self }
    }

    /// Says that no session lives longer than this, so that the end of one need not be remembered longer.
    pub(crate) fn living_at_most(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Takes time and randomness from elsewhere, for tests.
    #[must_use]
    pub fn with_ambient(self, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, ..self }
    }

    /// Also opens what Tideway 0.9 sealed under the same keys and cookie name, so that its users stay signed in while a
    /// deployment moves. Such cookies have no handle and cannot be revoked; what is sealed again is in our form. Switch
    /// it off when the last of them has expired.
    #[must_use]
    pub fn also_opening_tideway(self, keys: &SessionKeys) -> Self {
        let tideway = TidewayCookies::new(keys, self.cookie.name());
        Self { tideway: Some(tideway), ..self }
    }

    /// The sealed text of `data`. Data without a handle gets one.
    ///
    /// # Errors
    /// [`SaveError::TooLarge`] and [`SaveError::CookieTooLarge`]; [`SaveError::Store`] when there is no randomness.
    pub fn encrypt(&self, data: &SessionData) -> Result<String, SaveError> {
        data.check()?;
        let mut data = data.clone();
        if data.handle().is_none() {
            data.set_handle(Some(Handle(self.random()?)));
        }
        // Nobody compares revisions of what nobody keeps.
        let plain = data.at_revision(None).to_bytes();
        let length = self.cookie.name().len() + text_length(plain.len() + seal::OVERHEAD);
        if length > MAX_NAME_AND_VALUE {
            return Err(SaveError::CookieTooLarge { by: length - MAX_NAME_AND_VALUE });
        }
        let envelope = self.ring.seal(self.place(), &plain, self.random()?);
        Ok(URL_SAFE_NO_PAD.encode(envelope))
    }

    /// The data behind a sealed text; none when it was changed, sealed for another cookie, sealed under a key that is
    /// gone, or of another version. An expired one opens: [`SessionStore::load`] is what asks for its end.
    #[must_use]
    pub fn decrypt(&self, sealed: &str) -> Option<SessionData> {
        self.opened(sealed).map(Arc::unwrap_or_clone)
    }

    fn opened(&self, sealed: &str) -> Option<Arc<SessionData>> {
        if let Some(data) = self.opened.get(sealed) {
            return Some(data);
        }
        let data = Arc::new(self.open(sealed)?);
        self.opened.insert(sealed.into(), Arc::clone(&data));
        Some(data)
    }

    fn open(&self, sealed: &str) -> Option<SessionData> {
        if sealed.len() > MAX_NAME_AND_VALUE {
            return None;
        }
        let opened =
            URL_SAFE_NO_PAD.decode(sealed).ok().and_then(|envelope| self.ring.open(self.place(), &envelope).ok());
        match opened {
            Some(plain) => SessionData::from_bytes(&plain).ok(),
            None => self.tideway.as_ref()?.open(sealed),
        }
    }

    /// The data behind a sealed text, if it has not ended.
    ///
    /// # Errors
    /// [`StoreError`] when those who remember what was ended cannot answer.
    pub(crate) async fn live(&self, sealed: &str) -> Result<Option<Arc<SessionData>>, StoreError> {
        let Some(data) = self.opened(sealed) else { return Ok(None) };
        let ended = data.is_expired_at(self.clock.now()) || self.is_revoked(&data).await?;
        Ok((!ended).then_some(data))
    }

    /// The `Set-Cookie` value for `data`, which the browser keeps as long as the data lives.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    pub fn build_cookie(&self, data: &SessionData) -> Result<HeaderValue, SaveError> {
        let sealed = self.encrypt(data)?;
        let lifetime = Lifetime::For(data.expires_at().since(self.clock.now()));
        self.cookie.set(&sealed, lifetime).map_err(|_| SaveError::CookieTooLarge { by: 1 })
    }

    /// The cookie.
    #[must_use]
    pub const fn cookie(&self) -> &CookieSpec {
        &self.cookie
    }

    /// Who remembers what was ended.
    #[must_use]
    pub fn revocations(&self) -> Option<&Arc<dyn Revocations>> {
        self.revocations.as_ref()
    }

    fn place(&self) -> Place<'_> {
        Place { purpose: PURPOSE, name: &self.name }
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes).map_err(StoreError::unavailable)?;
        Ok(bytes)
    }

    /// Whether a session that opened was ended.
    pub(crate) async fn is_revoked(&self, data: &SessionData) -> Result<bool, StoreError> {
        let Some(revocations) = &self.revocations else { return Ok(false) };
        if let Some(principal) = data.principal()
            && principal.generation < revocations.generation(&principal.subject).await?
        {
            return Ok(true);
        }
        match data.handle() {
            Some(handle) => revocations.is_revoked(handle).await,
            None => Ok(false),
        }
    }
}

/// How long the text of so many bytes is.
const fn text_length(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

#[async_trait]
impl SessionStore for CookieSessionStore {
    async fn load(&self, session_id: &str) -> Result<Option<SessionData>, StoreError> {
        Ok(self.live(session_id).await?.map(Arc::unwrap_or_clone))
    }

    async fn save(&self, _: &str, data: SessionData) -> Result<(), SaveError> {
        self.encrypt(&data).map(drop)
    }

    async fn delete(&self, session_id: &str) -> Result<(), StoreError> {
        let Some(revocations) = &self.revocations else { return Ok(()) };
        let Some(data) = self.decrypt(session_id) else { return Ok(()) };
        // Another cookie of the same session may live longer than the one that was shown.
        let until = data.created_at().plus(self.longest).max(data.expires_at());
        match data.handle() {
            Some(handle) => revocations.revoke(handle, until).await,
            None => Ok(()),
        }
    }

    async fn cleanup_expired(&self) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn is_healthy(&self) -> bool {
        true
    }

    fn supports_revocation(&self) -> bool {
        self.revocations.is_some()
    }
}
