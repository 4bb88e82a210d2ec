//! Sealed cookies: what nobody sealed opens nothing; what was sealed and then changed opens nothing; what is inside an
//! envelope is read without panic, and written again as it was read.
#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use wayleave_web::{CookieSessionStore, SessionConfig, SessionData};

fn store() -> &'static CookieSessionStore {
    static STORE: OnceLock<CookieSessionStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let config = SessionConfig { encryption_key: Some("0123456789abcdef".repeat(8).into()), ..SessionConfig::default() };
        let store = CookieSessionStore::new(&config).expect("a store");
        store.also_opening_tideway(&config.keys().expect("keys"))
    })
}

fuzz_target!(|input: &[u8]| {
    // As the cookie itself.
    if let Ok(text) = std::str::from_utf8(input) {
        assert!(store().decrypt(text).is_none(), "nobody sealed this");
    }
    // As what is in a cookie.
    if let Ok(data) = SessionData::from_bytes(input) {
        assert_eq!(SessionData::from_bytes(&data.to_bytes()), Ok(data), "what is read is written as it was");
    }
    // As a change of a cookie that was sealed: an offset and what to put there.
    let [high, low, mask, rest @ ..] = input else { return };
    let mut data = SessionData::new(Duration::from_secs(60));
    data.set("value", String::from_utf8_lossy(rest));
    let Ok(sealed) = store().encrypt(&data) else { return };
    assert_eq!(store().decrypt(&sealed).expect("what was sealed opens").get("value"), data.get("value"));
    let at = usize::from(u16::from_be_bytes([*high, *low])) % sealed.len();
    let mut changed = sealed.clone().into_bytes();
    changed[at] ^= mask & 0x7f;
    if let Ok(changed) = String::from_utf8(changed)
        && changed != sealed
    {
        assert!(store().decrypt(&changed).is_none(), "a changed cookie opens nothing");
    }
});
