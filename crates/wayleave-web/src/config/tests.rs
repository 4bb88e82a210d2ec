//! Defaults, environment and refusals.

use std::collections::BTreeMap;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn from(variables: &[(&str, &str)]) -> Result<SessionConfig, ConfigError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    SessionConfig::from_variables(|name| variables.get(name).map(Into::into))
}

/// The documented defaults.
#[test]
fn the_defaults_are_tideways() {
    let config = from(&[]).unwrap();
    assert_eq!(
        format!("{config:?}"),
        "SessionConfig { backend: InMemory, default_ttl_seconds: 86400, cookie_name: \"tideway_session\", \
         cookie_domain: None, cookie_path: \"/\", cookie_secure: true, cookie_http_only: true, encryption_key: None, \
         allow_insecure_key: false }"
    );
    let cookie = config.cookie().unwrap().set("x", crate::cookies::Lifetime::BrowserSession).unwrap();
    assert_eq!(cookie, "tideway_session=x; Path=/; Secure; HttpOnly; SameSite=Lax");
}

#[test]
fn every_variable_is_read() {
    let config = from(&[
        ("TIDEWAY_SESSION_BACKEND", "cookie"),
        ("TIDEWAY_SESSION_TTL_SECONDS", "60"),
        ("TIDEWAY_SESSION_COOKIE_NAME", "mine"),
        ("TIDEWAY_SESSION_COOKIE_DOMAIN", "example.com"),
        ("TIDEWAY_SESSION_COOKIE_PATH", "/app"),
        ("TIDEWAY_SESSION_COOKIE_SECURE", "false"),
        ("TIDEWAY_SESSION_COOKIE_HTTP_ONLY", "false"),
        ("TIDEWAY_SESSION_ENCRYPTION_KEY", KEY),
        ("TIDEWAY_SESSION_ALLOW_INSECURE_KEY", "true"),
    ])
    .unwrap();
    assert_eq!(config.backend, SessionBackend::Cookie);
    assert_eq!(config.default_ttl(), Duration::from_secs(60));
    assert_eq!(config.encryption_key.as_ref().map(EncryptionKey::reveal), Some(KEY));
    assert!(config.allow_insecure_key);
    let cookie = config.cookie().unwrap().set("x", crate::cookies::Lifetime::BrowserSession).unwrap();
    assert_eq!(cookie, "mine=x; Path=/app; Domain=example.com; SameSite=Lax");
}

/// Our own prefix wins over Tideway's, and the bare name comes last.
#[test]
fn prefixes_have_an_order() {
    let name = |variables: &[(&str, &str)]| from(variables).unwrap().cookie_name;
    let all =
        [("SESSION_COOKIE_NAME", "c"), ("TIDEWAY_SESSION_COOKIE_NAME", "b"), ("WAYLEAVE_SESSION_COOKIE_NAME", "a")];
    assert_eq!(name(&all), "a");
    assert_eq!(name(&all[..2]), "b");
    assert_eq!(name(&all[..1]), "c");
}

#[test]
fn both_spellings_of_the_backend_are_read() {
    for text in ["in_memory", "inmemory"] {
        assert_eq!(from(&[("SESSION_BACKEND", text)]).unwrap().backend, SessionBackend::InMemory);
    }
}

/// A wrong value is refused with its variable's name and the reason, and never repeated.
#[test]
fn wrong_values_are_refused() {
    let table = [
        ("SESSION_BACKEND", "redis", "the backend is in_memory or cookie"),
        ("SESSION_BACKEND", "Cookie", "the backend is in_memory or cookie"),
        ("SESSION_TTL_SECONDS", "0", "a lifetime is a number of seconds from 1 to 34560000 (400 days)"),
        (
            "SESSION_TTL_SECONDS",
            "18446744073709551615",
            "a lifetime is a number of seconds from 1 to 34560000 (400 days)",
        ),
        ("SESSION_TTL_SECONDS", "1h", "a lifetime is a number of seconds from 1 to 34560000 (400 days)"),
        ("TIDEWAY_SESSION_COOKIE_SECURE", "yes", "the value is true or false"),
        ("SESSION_COOKIE_HTTP_ONLY", "TRUE", "the value is true or false"),
        ("WAYLEAVE_SESSION_ALLOW_INSECURE_KEY", "1", "the value is true or false"),
        (
            "SESSION_ENCRYPTION_KEY",
            "abcd",
            "the encryption key must be 64 bytes (128 hex characters), not 4 characters; make one with: openssl rand -hex 64",
        ),
    ];
    for (name, value, reason) in table {
        let error = from(&[(name, value)]).unwrap_err().to_string();
        assert_eq!(error, format!("{name}: {reason}"));
    }
    assert!(matches!(from(&[("SESSION_COOKIE_NAME", "a b")]), Err(ConfigError::Cookie(InvalidCookieSpec::Name))));
    assert!(matches!(
        from(&[("SESSION_COOKIE_NAME", "__Host-id"), ("SESSION_COOKIE_SECURE", "false")]),
        Err(ConfigError::Cookie(InvalidCookieSpec::NeedsSecure))
    ));
}

/// Sealed cookies need a key; a random one is for development and warns.
#[test]
fn a_key_is_required() {
    let config = SessionConfig::default();
    assert!(matches!(config.keys(), Err(ConfigError::Key(InvalidKey::Missing))));
    let insecure = SessionConfig { allow_insecure_key: true, ..SessionConfig::default() };
    assert_eq!(insecure.keys().is_ok(), cfg!(debug_assertions));
}

/// R062, A75: the key is not printed, by whatever way it came and however a configuration is shown.
#[test]
fn the_key_is_redacted() {
    let canary = "canary0".repeat(3);
    let read = from(&[("SESSION_ENCRYPTION_KEY", KEY)]).unwrap();
    assert!(!format!("{read:?}").contains("0123456789abcdef"));
    for key in [EncryptionKey::from(canary.as_str()), canary.clone().into()] {
        assert_eq!(key.reveal(), canary);
        let config = SessionConfig { encryption_key: Some(key), ..SessionConfig::default() };
        let shown = format!("{config:?} {:#?} {:?} {:?}", config.clone(), config.encryption_key, config.keys().err());
        assert!(!shown.contains("canary0"), "{shown}");
        assert!(shown.contains("encryption_key: Some([redacted])"), "{shown}");
    }
}
