//! What sealed cookies promise, and what they cannot.

use std::time::Duration;

use wayleave::kv::{SaveError, SessionData};

use super::Stateless;
use super::saving::data;
use crate::bench::Bench;

fn seal(cookies: &Stateless, data: &SessionData) -> String {
    (cookies.seal)(data).unwrap()
}

async fn open(cookies: &Stateless, sealed: &str) -> Option<SessionData> {
    cookies.store.load(sealed).await.unwrap().map(|data| data.at_revision(None))
}

pub(super) async fn opens_what_was_sealed(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let data = data(&[("user_id", "123"), ("text", "gr\u{fc}n \u{2603}")]);
    let mut opened = open(&cookies, &seal(&cookies, &data)).await.unwrap();
    // Sealing may give it a name.
    opened.set_handle(None);
    assert_eq!(opened, data);
}

/// R152: randomness is fresh each time.
pub(super) async fn two_seals_of_one_state_differ(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let data = data(&[("a", "1")]);
    assert_ne!(seal(&cookies, &data), seal(&cookies, &data));
}

/// R154, R156: wherever it is changed, and however it is cut, it is as good as none.
pub(super) async fn a_changed_character_opens_nothing(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let sealed = seal(&cookies, &data(&[("a", "1")]));
    for at in 0..sealed.len() {
        let other = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
        assert_eq!(open(&cookies, &changed).await, None, "{at}");
        assert_eq!(open(&cookies, &sealed[..at]).await, None, "{at}");
    }
    for longer in [format!("{sealed}A"), format!("{sealed}="), format!(" {sealed}"), format!("{sealed}{sealed}")] {
        assert_eq!(open(&cookies, &longer).await, None);
    }
    for nonsense in ["", "A", "%41", "\u{2603}"] {
        assert_eq!(open(&cookies, nonsense).await, None, "{nonsense:?}");
    }
}

/// R042: by the end inside, whatever the cookie's own lifetime was.
pub(super) async fn an_expired_one_opens_nothing(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let short = SessionData::new(Duration::from_millis(50));
    let sealed = seal(&cookies, &short);
    while !short.is_expired() {
        tokio::task::yield_now().await;
    }
    assert_eq!(open(&cookies, &sealed).await, None);
}

/// R033: before the browser drops it silently.
pub(super) async fn says_by_how_much_it_is_too_long(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let too_long = |length: usize| match (cookies.seal)(&data(&[("a", &"v".repeat(length))])) {
        Ok(_) => None,
        Err(SaveError::CookieTooLarge { by }) => Some(by),
        Err(other) => panic!("{other:?}"),
    };
    let first = (0..4096).find(|length| too_long(*length).is_some()).expect("a limit");
    assert!(first > 2000, "room for {first} bytes only");
    assert!(matches!(too_long(first), Some(1..=4)), "{:?}", too_long(first));
    assert!(too_long(first + 300) >= Some(300));
}

pub(super) async fn shows_nothing_of_what_is_in_it(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let sealed = seal(&cookies, &data(&[("secret-key", "secret-value")]));
    assert!(!sealed.contains("secret"));
    assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')), "{sealed}");
}

/// R043: a deleted session that its client kept is refused by a store that says so, and opens in every other.
pub(super) async fn revokes_if_and_only_if_it_says_so(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let sealed = seal(&cookies, &data(&[("a", "1")]));
    cookies.store.delete(&sealed).await.unwrap();
    assert_eq!(open(&cookies, &sealed).await.is_none(), cookies.store.supports_revocation());
}

/// No store, no memory: money and rights do not belong here.
pub(super) async fn cannot_tell_an_older_state_from_a_newer(bench: Bench<Stateless>) {
    let cookies = bench.fresh().await;
    let older = seal(&cookies, &data(&[("balance", "100")]));
    let mut data = open(&cookies, &older).await.unwrap();
    data.set("balance", "0");
    let newer = seal(&cookies, &data);
    assert_eq!(open(&cookies, &older).await.unwrap().get("balance"), Some("100"));
    assert_eq!(open(&cookies, &newer).await.unwrap().get("balance"), Some("0"));
}
