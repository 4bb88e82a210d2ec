//! Tests of the canaries: every encoding is recognised, and nothing else is.

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;

fn percent(bytes: &[u8], keep: impl Fn(u8) -> bool) -> String {
    bytes.iter().map(|byte| if keep(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn check(canary: &Canary, written: &str, expected: Encoding) {
    for (before, after) in [("", ""), ("token=", "&next=1"), ("{\"a\":\"", "\"}")] {
        let haystack = format!("{before}{written}{after}");
        let found = canary.find_in(haystack.as_bytes());
        assert_eq!(found, [Sighting { encoding: expected, at: before.len() }], "{haystack}");
    }
    assert!(Canary::password(canary.label(), 43).find_in(written.as_bytes()).is_empty(), "{written}");
}

#[test]
fn a_password_is_found_in_every_writing() {
    let canary = Canary::password("login", 42);
    let text = canary.text().unwrap();
    check(&canary, text, Encoding::Raw);
    check(&canary, &hex(text.as_bytes()), Encoding::Hex);
    check(&canary, &hex(text.as_bytes()).to_uppercase(), Encoding::Hex);
    check(&canary, &percent(text.as_bytes(), |byte| byte.is_ascii_alphanumeric()), Encoding::Percent);
    check(&canary, &percent(text.as_bytes(), |_| false).to_lowercase(), Encoding::Percent);
    check(&canary, format!("{text:?}").trim_matches('"'), Encoding::Escaped);
    let json = text.replace('\\', "\\\\").replace('"', "\\\"");
    check(&canary, &json, Encoding::Escaped);
    check(&canary, &json.replace('/', "\\/").replace('ä', "\\u00e4"), Encoding::Escaped);
    check(&canary, &json.replace('\\', "\\\\").replace('"', "\\\""), Encoding::Escaped);
}

#[test]
fn a_key_is_found_in_every_writing() {
    let canary = Canary::key("master", 42);
    let secret = canary.secret();
    assert_eq!(canary.find_in(secret), [Sighting { encoding: Encoding::Raw, at: 0 }]);
    let debug = format!("{secret:?}");
    assert_eq!(canary.find_in(debug.as_bytes()), [Sighting { encoding: Encoding::Decimal, at: 1 }]);
    for before in 0..4 {
        for after in 0..4 {
            let longer = [&vec![b'<'; before][..], secret, &vec![b'>'; after]].concat();
            for encoded in [STANDARD.encode(&longer), URL_SAFE_NO_PAD.encode(&longer)] {
                let found = canary.find_in(encoded.as_bytes());
                assert_eq!(found.len(), 1, "{encoded}");
                assert!(matches!(found[0].encoding, Encoding::Base64 | Encoding::Base64Url));
            }
        }
    }
}

#[test]
fn surrogate_pairs_are_read() {
    let canary = Canary::of("emoji", "key 🔑 ring".as_bytes()).unwrap();
    let found = canary.find_in(br"say key \ud83d\udd11 ring");
    assert_eq!(found, [Sighting { encoding: Encoding::Escaped, at: 4 }]);
    let found = canary.find_in(br"say key \u{1f511} ring");
    assert_eq!(found, [Sighting { encoding: Encoding::Escaped, at: 4 }]);
    let found = canary.find_in("say key+%F0%9F%94%91+ring".as_bytes());
    assert_eq!(found, [Sighting { encoding: Encoding::Percent, at: 4 }]);
}

#[test]
fn other_canaries_and_broken_escapes_are_nothing() {
    let (one, other) = (Canary::key("one", 1), Canary::key("other", 2));
    assert!(one.find_in(other.secret()).is_empty());
    for junk in [r"\", r"\u", r"\u12", r"\u{", r"\u{zz}", r"\x1", r"\ud800", "%", "%4", "%zz"] {
        assert!(one.find_in(junk.as_bytes()).is_empty(), "{junk}");
    }
}

#[test]
fn never_shows_the_secret_itself() {
    let canary = Canary::password("login", 42);
    assert!(canary.find_in(format!("{canary:?}").as_bytes()).is_empty());
    assert_eq!(Canary::of("short", b"1234567"), Err(TooShort));
}
