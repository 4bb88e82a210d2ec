//! Tideway's settings and cookies beside ours: the same defaults, the same attributes, the same refusals or stricter
//! ones.

use std::time::Duration;

use tideway::session as theirs;
use wayleave_web as ours;

use crate::cookies::KEY;

/// Names and values of every field.
#[test]
fn the_defaults_are_tideways() {
    let (theirs, ours) = (theirs::SessionConfig::default(), ours::SessionConfig::default());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    assert_eq!(ours.default_ttl(), theirs.default_ttl());
}

fn configs(key: &str) -> (theirs::SessionConfig, ours::SessionConfig) {
    let theirs = theirs::SessionConfig {
        cookie_name: "mine".into(),
        cookie_domain: Some("example.com".into()),
        cookie_path: "/app".into(),
        encryption_key: Some(key.into()),
        ..theirs::SessionConfig::default()
    };
    let ours = ours::SessionConfig {
        cookie_name: "mine".into(),
        cookie_domain: Some("example.com".into()),
        cookie_path: "/app".into(),
        encryption_key: Some(key.into()),
        ..ours::SessionConfig::default()
    };
    (theirs, ours)
}

/// The name and the attributes of the cookie, in any order.
#[test]
fn the_cookies_attributes_are_tideways() {
    let (theirs_config, ours_config) = configs(KEY);
    let theirs = theirs::CookieSessionStore::new(&theirs_config).unwrap();
    let ours = ours::CookieSessionStore::new(&ours_config).unwrap();
    let theirs = theirs.build_cookie(&tideway::SessionData::new(Duration::from_secs(3600))).unwrap().to_string();
    let ours = ours.build_cookie(&wayleave::kv::SessionData::new(Duration::from_secs(3600))).unwrap();
    assert_eq!(attributes(ours.to_str().unwrap()), attributes(&theirs));
}

fn attributes(cookie: &str) -> Vec<String> {
    let mut parts: Vec<_> = cookie
        .split("; ")
        .map(|part| match part.split_once('=') {
            Some(("mine", _)) => "mine=...".to_owned(),
            // Tideway rounds down what is left of the hour, and the two are not made in one instant.
            Some(("Max-Age", seconds)) => {
                assert!((3590..=3600).contains(&seconds.parse::<u32>().unwrap()), "{part}");
                "Max-Age=...".to_owned()
            }
            _ => part.to_owned(),
        })
        .collect();
    parts.sort();
    parts
}

/// What Tideway refuses as a key we refuse, with a text that says the same; and beyond that keys that nobody drew.
#[test]
fn keys_are_refused_as_by_tideway_and_weak_ones_too() {
    let weak = "0123456789abcdef".repeat(8);
    let repeated = "ab".repeat(64);
    let table = [
        ("zz", false, "hex"),
        ("abcd", false, "must be 64 bytes (128 hex characters)"),
        (weak.as_str(), true, ""),
        (repeated.as_str(), false, "repeats a few bytes"),
    ];
    for (key, accepted, text) in table {
        let (theirs_config, ours_config) = configs(key);
        let theirs = theirs::CookieSessionStore::new(&theirs_config);
        assert_eq!(theirs.is_ok(), accepted || key == repeated, "{key}");
        match ours::CookieSessionStore::new(&ours_config) {
            Ok(_) => assert!(accepted, "{key}"),
            Err(error) => assert!(!accepted && error.to_string().contains(text), "{key}: {error}"),
        }
    }
    let ours = ours::CookieSessionStore::new(&ours::SessionConfig::default()).err().unwrap().to_string();
    let theirs = theirs::CookieSessionStore::new(&theirs::SessionConfig::default()).err().unwrap().to_string();
    for text in [ours, theirs] {
        assert!(text.contains("require an encryption key") && text.contains("openssl rand -hex 64"), "{text}");
    }
}

/// `SessionData`, method by method, on the same data.
#[test]
fn the_data_has_tideways_methods() {
    let mut theirs = tideway::SessionData::new(Duration::from_secs(3600));
    let mut ours = wayleave::kv::SessionData::new(Duration::from_secs(3600));
    theirs.set("user_id".to_string(), "123".to_string());
    ours.set("user_id".to_string(), "123".to_string());
    assert_eq!(ours.get("user_id"), theirs.get("user_id").map(String::as_str));
    assert_eq!(ours.get("role"), theirs.get("role").map(String::as_str));
    assert_eq!(ours.remove("user_id"), theirs.remove("user_id"));
    assert_eq!(ours.remove("user_id"), theirs.remove("user_id"));
    assert_eq!(ours.is_expired(), theirs.is_expired());
    theirs.extend(Duration::from_secs(7200));
    ours.extend(Duration::from_secs(7200));
    let end = wayleave_core::time::Timestamp::MIN
        .plus(theirs.expires_at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap());
    assert!(ours.expires_at().since(end) < Duration::from_secs(5) && end.since(ours.expires_at()).is_zero());
    assert!(wayleave::kv::SessionData::new(Duration::ZERO).is_expired());
}

/// The documented default, and the time that `new` is given.
#[test]
fn the_memory_store_makes_data_for_a_day() {
    let lives = |store: &wayleave::kv::InMemorySessionStore| {
        let data = store.fresh();
        data.expires_at().since(data.created_at())
    };
    assert_eq!(lives(&wayleave::kv::InMemorySessionStore::default()), Duration::from_secs(86_400));
    assert_eq!(lives(&wayleave::kv::InMemorySessionStore::new(Duration::from_secs(60))), Duration::from_secs(60));
}
