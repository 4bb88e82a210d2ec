//! Our form, Tideway's, and what must not open.

use std::time::Duration;

use proptest::prelude::*;
use wayleave_core::time::Timestamp;
use wayleave_testkit::clock::FakeClock;
use wayleave_testkit::entropy::SeededEntropy;

use super::*;
use crate::cookies::{CookieOptions, SameSite, Transport, Visibility};

/// The key and cookie of the published vector.
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                   0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const VECTOR: &str = "AAECAwQFBgcICQoL+ib+fHKGADLh6bxgEs39qSzuLpzqwhk/1falri+2GHUmr9YHAprV5jkyo98uQySPbCVL9Qgkzd6DHCURfR965AT8\
                      Ar4ew1M8+RQDYM/fV7ehdz7/HZV6WMndnQQXkDSjJD4S3o/STesCqS6L9OL/qftEEs7OBq3yJueuA1QfSRqJ+goxsWzio71e2ktAmpGc\
                      kmU/YgGh3bTfRuyVhPk4cz1GpufhUx+vADulGrNgrOY=";
const BEFORE_ITS_END: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn keys() -> SessionKeys {
    SessionKeys::from_hex(KEY).unwrap()
}

fn spec(name: &str, path: &str) -> CookieSpec {
    CookieSpec::new(CookieOptions {
        name: name.into(),
        path: path.into(),
        domain: None,
        same_site: SameSite::Lax,
        visibility: Visibility::HttpOnly,
        transport: Transport::Secure,
    })
    .unwrap()
}

fn store(name: &str) -> CookieSessionStore {
    CookieSessionStore::with_keys(&keys(), spec(name, "/"))
        .unwrap()
        .with_ambient(Arc::new(FakeClock::new(BEFORE_ITS_END)), Arc::new(SeededEntropy::new(1)))
}

fn data() -> SessionData {
    let mut data = SessionData::new_at(Duration::from_secs(3600), BEFORE_ITS_END);
    data.set("user_id", "123");
    data
}

/// Tideway's own cookie opens only behind the switch, and what is sealed next is ours.
#[tokio::test]
async fn opens_tideways_vector_on_demand() {
    assert!(store("tideway_session").decrypt(VECTOR).is_none());
    let both = store("tideway_session").also_opening_tideway(&keys());
    let opened = both.load(VECTOR).await.unwrap().unwrap();
    assert_eq!(opened.iter().collect::<Vec<_>>(), [("user_id", "123")]);
    assert_eq!(opened.created_at(), Timestamp::from_seconds(1_700_000_000));
    assert_eq!(opened.expires_at(), Timestamp::from_seconds(1_900_000_000));
    let again = both.encrypt(&opened).unwrap();
    assert!(!again.contains(['+', '/', '=']));
    let ours = store("tideway_session").decrypt(&again).unwrap();
    assert_eq!(ours.get("user_id"), Some("123"));
    assert!(ours.handle().is_some());
}

/// A03, R154: a cookie serves under its own name and path alone, in either form.
#[test]
fn a_cookie_moved_elsewhere_opens_nothing() {
    let sealed = store("one").encrypt(&data()).unwrap();
    assert!(store("one").decrypt(&sealed).is_some());
    assert!(store("two").decrypt(&sealed).is_none());
    let elsewhere = CookieSessionStore::with_keys(&keys(), spec("one", "/app")).unwrap();
    assert!(elsewhere.decrypt(&sealed).is_none());
    assert!(store("other").also_opening_tideway(&keys()).decrypt(VECTOR).is_none());
}

/// R042: the end inside counts, at the instant itself.
#[tokio::test]
async fn the_end_is_inside() {
    let clock = Arc::new(FakeClock::new(BEFORE_ITS_END));
    let store = store("id").with_ambient(clock.clone(), Arc::new(SeededEntropy::new(2)));
    let sealed = store.encrypt(&data()).unwrap();
    clock.advance(Duration::from_millis(3_599_999));
    assert!(store.load(&sealed).await.unwrap().is_some());
    clock.advance(Duration::from_millis(1));
    assert!(store.load(&sealed).await.unwrap().is_none());
}

/// R034, A07: the header's own lifetime is what is left; too much data is an error and no header.
#[test]
fn the_header_is_exact() {
    let store = store("id");
    let header = store.build_cookie(&data()).unwrap();
    let text = header.to_str().unwrap();
    assert!(text.ends_with("; Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax"), "{text}");
    assert!(header.is_sensitive());
    let mut large = data();
    large.set("a", "v".repeat(3000));
    assert!(matches!(store.build_cookie(&large), Err(SaveError::CookieTooLarge { by: 1.. })));
}

/// The handle stays through changes, so that ending the session ends its every state.
#[test]
fn the_handle_stays() {
    let store = store("id");
    let first = store.decrypt(&store.encrypt(&data()).unwrap()).unwrap();
    let mut changed = first.clone();
    changed.set("a", "1");
    let second = store.decrypt(&store.encrypt(&changed).unwrap()).unwrap();
    assert_eq!(first.handle(), second.handle());
    let other = store.decrypt(&store.encrypt(&data()).unwrap()).unwrap();
    assert_ne!(first.handle(), other.handle());
}

/// No cookie without randomness.
#[test]
fn nothing_is_sealed_without_entropy() {
    let entropy = SeededEntropy::new(1);
    entropy.fail_after(0);
    let store = store("id").with_ambient(Arc::new(FakeClock::new(BEFORE_ITS_END)), Arc::new(entropy));
    assert!(matches!(store.encrypt(&data()), Err(SaveError::Store(_))));
}

proptest! {
    #[test]
    fn hostile_cookies_never_panic(text in ".{0,200}") {
        let store = store("id").also_opening_tideway(&keys());
        prop_assert!(store.decrypt(&text).is_none());
    }

    #[test]
    fn the_length_is_known_before_sealing(length in 0_usize..3000) {
        let store = store("id");
        let mut data = data();
        data.set("a", "v".repeat(length));
        let plain = { let mut data = data.clone(); data.set_handle(Some(Handle([0; 16]))); data.to_bytes().len() };
        if let Ok(sealed) = store.encrypt(&data) {
            prop_assert_eq!(sealed.len(), text_length(plain + seal::OVERHEAD));
        }
    }
}
