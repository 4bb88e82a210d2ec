//! The `Cookie` header, in any number of fields: whatever comes, it is read without panic, and what is found is made of
//! cookie octets, stood in the header under exactly that name, and stood there once.
#![no_main]

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use wayleave_web::cookies::{InvalidCookie, RequestCookies};

const NAME: &str = "__Host-id";

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for field in input.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(field) {
            headers.append(COOKIE, value);
        }
    }
    let Ok(cookies) = RequestCookies::read(&headers) else { return };
    // Counted by other means: by the plain grammar, without a limit.
    let pairs = || {
        headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';')).filter_map(|piece| {
            let piece = piece.strip_prefix(b" ").unwrap_or(piece);
            let end = piece.iter().position(|byte| *byte == b'=')?;
            Some((&piece[..end], &piece[end + 1..]))
        })
    };
    let named: Vec<_> = pairs().filter(|(name, _)| *name == NAME.as_bytes()).map(|(_, value)| value).collect();
    let octets = |value: &[u8]| value.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\'));
    match cookies.find(NAME) {
        Ok(None) => assert!(named.is_empty()),
        Ok(Some(value)) => {
            assert_eq!(named, [value.as_bytes()]);
            assert!(octets(value.as_bytes()));
        }
        Err(InvalidCookie::Duplicate) => assert!(named.len() > 1),
        Err(InvalidCookie::Malformed) => assert!(named.len() == 1 && !octets(named[0])),
        Err(InvalidCookie::TooLarge) => panic!("only reading finds it too large"),
    }
});
