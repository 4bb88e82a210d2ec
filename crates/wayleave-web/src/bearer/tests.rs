//! Tables of `Authorization` headers.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn read(values: &[&[u8]]) -> Result<Option<String>, InvalidAuthorization> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
    }
    authorization(&headers).map(|found| match found {
        Authorization::Absent => None,
        Authorization::Bearer(token) => Some(token.as_str().to_owned()),
        Authorization::OtherScheme => Some("<other>".to_owned()),
    })
}

/// R075: the scheme's case does not matter; the token's alphabet does.
#[test]
fn accepts_what_the_grammar_accepts() {
    assert_eq!(read(&[]), Ok(None));
    for text in ["Bearer abc", "bearer abc", "BEARER abc", "bEaReR   abc"] {
        assert_eq!(read(&[text.as_bytes()]), Ok(Some("abc".to_owned())), "{text:?}");
    }
    assert_eq!(read(&[b"Bearer a-b._~+/c=="]), Ok(Some("a-b._~+/c==".to_owned())));
    for other in ["Basic dXNlcjpwYXNz", "DPoP abc", "Bearers abc", "Negotiate"] {
        assert_eq!(read(&[other.as_bytes()]), Ok(Some("<other>".to_owned())), "{other:?}");
    }
}

/// A10, R074: malformed credentials are told from absent ones.
#[test]
fn refuses_what_the_grammar_refuses() {
    let hostile: &[&[u8]] = &[
        b"",
        b" ",
        b" Bearer abc",
        b"Bearer",
        b"Bearer ",
        b"Bearer    ",
        b"Bearer\tabc",
        b"Bearer \tabc",
        b"Bearer abc\t",
        b"Bearer abc ",
        b"Bearer abc def",
        b"Bearer abc, Bearer def",
        b"Bearer =",
        b"Bearer a=b",
        b"Bearer \"abc\"",
        b"Bearer a,b",
        b"Bearer a%41",
        "Bearer \u{430}bc".as_bytes(),
        b"Bearer \xff",
        b"Be arer",
    ];
    for value in hostile {
        let found = read(&[value]);
        let expected =
            if *value == b"Be arer" { Ok(Some("<other>".to_owned())) } else { Err(InvalidAuthorization::Malformed) };
        assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(value));
    }
}

/// R009: two headers are refused, even when they are equal or one is empty.
#[test]
fn refuses_two_headers() {
    for second in ["Bearer abc", "Bearer def", "DPoP abc", ""] {
        assert_eq!(read(&[b"Bearer abc", second.as_bytes()]), Err(InvalidAuthorization::Repeated), "{second:?}");
    }
}

/// R007, A10: the limit holds to the byte.
#[test]
fn refuses_a_value_that_is_too_long() {
    let fits = format!("Bearer {}", "a".repeat(MAX_AUTHORIZATION - 7));
    assert!(read(&[fits.as_bytes()]).is_ok());
    let long = format!("{fits}a");
    assert_eq!(read(&[long.as_bytes()]), Err(InvalidAuthorization::TooLong));
}

proptest! {
    /// R037's sibling for this header: whatever comes, a token is made of the alphabet and nothing else.
    #[test]
    fn a_token_is_always_token68(bytes in proptest::collection::vec(0x20_u8..=0xff, 0..60)) {
        let value = [b"Bearer ".as_slice(), &bytes].concat();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value);
            if let Ok(Authorization::Bearer(token)) = authorization(&headers) {
                prop_assert!(!token.as_str().is_empty());
                prop_assert!(token.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b)));
            }
        }
    }
}
