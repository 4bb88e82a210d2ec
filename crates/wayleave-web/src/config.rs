//! `SessionConfig`: the settings of Tideway's sessions under their names, with their defaults, from code or from the
//! environment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::cookies::{CookieOptions, CookieSpec, InvalidCookieSpec, SameSite, Transport, Visibility};
use crate::keys::{InvalidKey, SessionKey, SessionKeys};

#[cfg(test)]
mod tests;

/// Where sessions are kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum SessionBackend {
    /// In process memory: `in_memory` or `inmemory`.
    #[default]
    InMemory,
    /// In the client's cookie, sealed: `cookie`.
    Cookie,
}

/// How sessions are kept, and what their cookie is like.
///
/// ```
/// use wayleave_web::SessionConfig;
///
/// let config = SessionConfig { cookie_name: "my_session".into(), ..SessionConfig::default() };
/// assert_eq!(config.default_ttl_seconds, 86_400);
/// ```
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where sessions are kept.
    pub backend: SessionBackend,
    /// For how long they live, in seconds.
    pub default_ttl_seconds: u64,
    /// The cookie's name.
    pub cookie_name: String,
    /// The domain whose hosts all get it; none for the one host alone.
    pub cookie_domain: Option<String>,
    /// The path it is sent to.
    pub cookie_path: String,
    /// Whether it travels over TLS only.
    pub cookie_secure: bool,
    /// Whether it is kept from scripts.
    pub cookie_http_only: bool,
    /// 128 hex characters, or several such keys separated by commas, the newest first. Sealed cookies need one.
    pub encryption_key: Option<EncryptionKey>,
    /// Whether a random key takes the place of a missing one. For development: sessions end with the process.
    pub allow_insecure_key: bool,
}

impl Default for SessionConfig {
    /// In memory, 24 hours, `tideway_session` on `/` of this host, `Secure` and `HttpOnly`, without a key.
    fn default() -> Self {
        Self {
            backend: SessionBackend::InMemory,
            default_ttl_seconds: 86_400,
            cookie_name: "tideway_session".into(),
            cookie_domain: None,
            cookie_path: "/".into(),
            cookie_secure: true,
            cookie_http_only: true,
            encryption_key: None,
            allow_insecure_key: false,
        }
    }
}

/// The text of one or more keys: wiped when it is no longer needed, and never shown. Copies of a configuration share it.
#[derive(Clone)]
pub struct EncryptionKey(Arc<Zeroizing<String>>);

impl EncryptionKey {
    /// The text itself, for whoever makes keys of it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for EncryptionKey {
    fn from(text: String) -> Self {
        Self(Arc::new(Zeroizing::new(text)))
    }
}

impl From<&str> for EncryptionKey {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Prefixes of environment variables, the first that is set wins.
const PREFIXES: [&str; 3] = ["WAYLEAVE_SESSION_", "TIDEWAY_SESSION_", "SESSION_"];
/// Longest lifetime, in seconds: 400 days.
const MAX_TTL: u64 = 400 * 86_400;

impl SessionConfig {
    /// The defaults, with what the process's environment says: `WAYLEAVE_SESSION_...`, else `TIDEWAY_SESSION_...`, else
    /// `SESSION_...`, for `BACKEND`, `TTL_SECONDS`, `COOKIE_NAME`, `COOKIE_DOMAIN`, `COOKIE_PATH`, `COOKIE_SECURE`,
    /// `COOKIE_HTTP_ONLY`, `ENCRYPTION_KEY` and `ALLOW_INSECURE_KEY`.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and says what is wrong with its value. Nothing is guessed.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// As [`Self::from_env`], from any source of variables.
    ///
    /// # Errors
    /// As [`Self::from_env`].
    pub fn from_variables(lookup: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self, ConfigError> {
        let variables = Variables { lookup };
        let mut config = Self::default();
        if let Some(found) = variables.find("BACKEND")? {
            config.backend = match found.value.as_str() {
                "in_memory" | "inmemory" => SessionBackend::InMemory,
                "cookie" => SessionBackend::Cookie,
                _ => return Err(found.refused(Reason::Backend)),
            };
        }
        if let Some(found) = variables.find("TTL_SECONDS")? {
            let seconds = found.value.parse().ok().filter(|seconds| (1..=MAX_TTL).contains(seconds));
            config.default_ttl_seconds = seconds.ok_or_else(|| found.refused(Reason::Ttl))?;
        }
        if let Some(found) = variables.find("COOKIE_NAME")? {
            config.cookie_name = found.value.as_str().to_owned();
        }
        if let Some(found) = variables.find("COOKIE_DOMAIN")? {
            config.cookie_domain = Some(found.value.as_str().to_owned()).filter(|domain| !domain.is_empty());
        }
        if let Some(found) = variables.find("COOKIE_PATH")? {
            config.cookie_path = found.value.as_str().to_owned();
        }
        variables.boolean("COOKIE_SECURE", &mut config.cookie_secure)?;
        variables.boolean("COOKIE_HTTP_ONLY", &mut config.cookie_http_only)?;
        variables.boolean("ALLOW_INSECURE_KEY", &mut config.allow_insecure_key)?;
        if let Some(found) = variables.find("ENCRYPTION_KEY")? {
            SessionKeys::from_hex(&found.value).map_err(|reason| found.refused(Reason::Key(reason)))?;
            config.encryption_key = Some(EncryptionKey(Arc::new(found.value)));
        }
        config.cookie()?;
        Ok(config)
    }

    /// For how long sessions live; between a second and 400 days.
    #[must_use]
    pub fn default_ttl(&self) -> Duration {
        Duration::from_secs(self.default_ttl_seconds.clamp(1, MAX_TTL))
    }

    /// The cookie, `SameSite=Lax`.
    ///
    /// # Errors
    /// [`ConfigError::Cookie`] when browsers would not take it so.
    pub fn cookie(&self) -> Result<CookieSpec, ConfigError> {
        Ok(CookieSpec::new(self.cookie_options())?)
    }

    pub(crate) fn cookie_options(&self) -> CookieOptions {
        CookieOptions {
            name: self.cookie_name.clone(),
            path: self.cookie_path.clone(),
            domain: self.cookie_domain.clone(),
            same_site: SameSite::Lax,
            visibility: if self.cookie_http_only { Visibility::HttpOnly } else { Visibility::Script },
            transport: if self.cookie_secure { Transport::Secure } else { Transport::AlsoPlaintext },
        }
    }

    /// The keys, or random ones where that is allowed.
    ///
    /// # Errors
    /// [`ConfigError::Key`] when there is none, or it is not good enough. An insecure key is allowed in builds with
    /// debug assertions only: a release build refuses.
    pub fn keys(&self) -> Result<SessionKeys, ConfigError> {
        match (&self.encryption_key, self.allow_insecure_key) {
            (Some(key), _) => Ok(SessionKeys::from_hex(key.reveal())?),
            (None, false) => Err(ConfigError::Key(InvalidKey::Missing)),
            (None, true) if !cfg!(debug_assertions) => Err(ConfigError::InsecureKey),
            (None, true) => {
                tracing::error!(
                    "SESSIONS ARE SEALED WITH A RANDOM KEY, because allow_insecure_key is set and encryption_key is \
                     not: they end when this process does, and no other instance can read them. Never do this in \
                     production."
                );
                let key = SessionKey::generate(&wayleave::SystemEntropy)
                    .map_err(|_| ConfigError::Key(InvalidKey::Missing))?;
                Ok(SessionKeys::new(key))
            }
        }
    }
}

struct Variables<L> {
    lookup: L,
}

/// A variable that is set.
struct Found {
    name: String,
    value: Zeroizing<String>,
}

impl Found {
    fn refused(&self, reason: Reason) -> ConfigError {
        ConfigError::Variable { name: self.name.clone().into(), reason }
    }
}

impl<L: Fn(&str) -> Option<std::ffi::OsString>> Variables<L> {
    fn find(&self, rest: &str) -> Result<Option<Found>, ConfigError> {
        for prefix in PREFIXES {
            let name = format!("{prefix}{rest}");
            if let Some(value) = (self.lookup)(&name) {
                let value = value
                    .into_string()
                    .map_err(|_| ConfigError::Variable { name: name.clone().into(), reason: Reason::NotText })?;
                return Ok(Some(Found { name, value: Zeroizing::new(value) }));
            }
        }
        Ok(None)
    }

    fn boolean(&self, rest: &str, to: &mut bool) -> Result<(), ConfigError> {
        if let Some(found) = self.find(rest)? {
            *to = match found.value.as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(found.refused(Reason::Boolean)),
            };
        }
        Ok(())
    }
}

/// The settings do not fit.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An environment variable has a value that it cannot have.
    #[error("{name}: {reason}")]
    Variable {
        /// Which.
        name: Box<str>,
        /// Why not.
        reason: Reason,
    },
    /// The cookie cannot be so.
    #[error(transparent)]
    Cookie(#[from] InvalidCookieSpec),
    /// The key is none.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// A random key is for development.
    #[error("allow_insecure_key is for development; a release build needs encryption_key: openssl rand -hex 64")]
    InsecureKey,
}

/// Why a variable's value is refused. The value itself is not repeated.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is not Unicode.
    #[error("the value is not text")]
    NotText,
    /// It is no backend.
    #[error("the backend is in_memory or cookie")]
    Backend,
    /// It is no lifetime.
    #[error("a lifetime is a number of seconds from 1 to 34560000 (400 days)")]
    Ttl,
    /// It is not a boolean.
    #[error("the value is true or false")]
    Boolean,
    /// It is no key.
    #[error(transparent)]
    Key(InvalidKey),
}
