//! Tables of `Cookie` headers and of cookie descriptions.

use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::*;

const NAME: &str = "__Host-id";

fn headers(fields: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(COOKIE, HeaderValue::from_bytes(field).unwrap());
    }
    headers
}

fn find(field: &[u8]) -> Result<Option<String>, InvalidCookie> {
    let headers = headers(&[field]);
    let cookies = RequestCookies::read(&headers)?;
    cookies.find(NAME).map(|value| value.map(str::to_owned))
}

fn found(value: &str) -> Result<Option<String>, InvalidCookie> {
    Ok(Some(value.to_owned()))
}

#[test]
fn reads_the_named_cookie_among_others() {
    assert_eq!(find(b"__Host-id=abc"), found("abc"));
    assert_eq!(find(b"a=1; __Host-id=abc; b=2"), found("abc"));
    assert_eq!(find(b"a=1;__Host-id=abc;b=2"), found("abc"));
    assert_eq!(find(b"__Host-id=a=b="), found("a=b="));
    assert_eq!(find(b"__Host-id="), found(""));
    assert_eq!(find(b"a=1"), Ok(None));
    assert_eq!(find(b""), Ok(None));
    assert_eq!(find(b"other=\"json{x:1}\" \xff; __Host-id=abc"), found("abc"));
}

/// R036, A03: a name that comes twice is refused in either order, equal values included, and across split headers.
#[test]
fn duplicates_are_refused() {
    for field in ["__Host-id=a; __Host-id=b", "__Host-id=b; __Host-id=a", "__Host-id=a; x=1; __Host-id=a"] {
        assert_eq!(find(field.as_bytes()), Err(InvalidCookie::Duplicate), "{field}");
    }
    let split = headers(&[b"__Host-id=a", b"x=1; __Host-id=b"]);
    assert_eq!(RequestCookies::read(&split).unwrap().find(NAME), Err(InvalidCookie::Duplicate));
    assert_eq!(find(b"id=evil; __Host-id=good"), found("good"));
}

/// A04: case twins, blanks and nameless cookies are not the cookie.
#[test]
fn only_the_exact_name_counts() {
    assert_eq!(find(b"__host-id=evil; __Host-id=good"), found("good"));
    assert_eq!(find(b"__HOST-ID=evil"), Ok(None));
    assert_eq!(find(b"__Host-id =evil"), Ok(None));
    assert_eq!(find(b"  __Host-id=evil"), Ok(None));
    assert_eq!(find(b"\t__Host-id=evil"), Ok(None));
    assert_eq!(find(b"=__Host-id=evil"), Ok(None));
    assert_eq!(find(b"=__Host-id=evil; __Host-id=good"), found("good"));
    assert_eq!(find(b"__Host-id"), Ok(None));
}

/// A05, R037: nothing of RFC 2109 is understood, and a quoted value is not a value.
#[test]
fn quotes_have_no_meaning() {
    assert_eq!(find(b"\"__Host-id\"=\"abc\""), Ok(None));
    assert_eq!(find(b"__Host-id=\"abc\""), Err(InvalidCookie::Malformed));
    assert_eq!(find(b"$Version=1; __Host-id=abc; $Path=/"), found("abc"));
    assert_eq!(find(b"x=\"; __Host-id=abc; y=\""), found("abc"));
    assert_eq!(find(b"__Host-id=%22abc%22"), found("%22abc%22"));
    for hostile in [
        &b"__Host-id=a b"[..],
        b"__Host-id= a",
        b"__Host-id=a,b",
        b"__Host-id=a\\b",
        b"__Host-id=\xc3\xa4",
        b"__Host-id=a\tb",
    ] {
        assert_eq!(find(hostile), Err(InvalidCookie::Malformed), "{:?}", String::from_utf8_lossy(hostile));
    }
}

/// A06, R007: too many or too large cookies are refused as a whole, wherever ours stands.
#[test]
fn the_limits_hold_exactly() {
    let many = |count: usize| (0..count).map(|n| format!("c{n}=v")).collect::<Vec<_>>().join("; ");
    assert!(find(format!("{}; __Host-id=a", many(MAX_COOKIE_PAIRS - 1)).as_bytes()).is_ok());
    assert_eq!(find(format!("__Host-id=a; {}", many(MAX_COOKIE_PAIRS)).as_bytes()), Err(InvalidCookie::TooLarge));
    let padding = |total: usize| format!("__Host-id=a; p={}", "x".repeat(total - "__Host-id=a; p=".len()));
    assert_eq!(find(padding(MAX_COOKIE_BYTES).as_bytes()), found("a"));
    assert_eq!(find(padding(MAX_COOKIE_BYTES + 1).as_bytes()), Err(InvalidCookie::TooLarge));
}

fn options() -> CookieOptions {
    CookieOptions {
        name: NAME.to_owned(),
        path: "/".to_owned(),
        domain: None,
        same_site: SameSite::Lax,
        visibility: Visibility::HttpOnly,
        transport: Transport::Secure,
    }
}

fn spec() -> CookieSpec {
    CookieSpec::new(options()).unwrap()
}

/// R031: the attributes of the session cookie, and its exact removal.
#[test]
fn writes_and_removes_the_same_cookie() {
    let set = spec().set("abc", Lifetime::For(Duration::from_secs(60))).unwrap();
    assert_eq!(set, "__Host-id=abc; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax");
    assert!(set.is_sensitive());
    assert_eq!(
        spec().set("abc", Lifetime::BrowserSession).unwrap(),
        "__Host-id=abc; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(
        spec().removal(),
        "__Host-id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    let wide = CookieSpec::new(CookieOptions {
        name: "__Secure-id".to_owned(),
        domain: Some("example.com".to_owned()),
        visibility: Visibility::Script,
        same_site: SameSite::Strict,
        ..options()
    });
    assert_eq!(
        wide.unwrap().set("a", Lifetime::BrowserSession).unwrap(),
        "__Secure-id=a; Path=/; Domain=example.com; Secure; SameSite=Strict"
    );
}

/// R031, R032: prefixes oblige, in whatever case they are written.
#[test]
fn prefixes_oblige() {
    let check = |change: fn(&mut CookieOptions)| {
        let mut options = options();
        change(&mut options);
        CookieSpec::new(options).map(|_| ())
    };
    assert_eq!(check(|o| o.domain = Some("example.com".into())), Err(InvalidCookieSpec::NeedsHost));
    assert_eq!(check(|o| o.path = "/api".into()), Err(InvalidCookieSpec::NeedsHost));
    assert_eq!(check(|o| o.transport = Transport::AlsoPlaintext), Err(InvalidCookieSpec::NeedsSecure));
    for name in ["__host-id", "__HOST-id", "__HoSt-Http-id"] {
        let twin = CookieOptions { name: name.to_owned(), path: "/api".to_owned(), ..options() };
        assert_eq!(CookieSpec::new(twin).map(|_| ()), Err(InvalidCookieSpec::NeedsHost), "{name}");
    }
    for name in ["__Http-id", "__Host-Http-id", "__http-id", "__host-HTTP-id"] {
        let visible = CookieOptions { name: name.to_owned(), visibility: Visibility::Script, ..options() };
        assert_eq!(CookieSpec::new(visible).map(|_| ()), Err(InvalidCookieSpec::NeedsHttpOnly), "{name}");
        let plain = CookieOptions { name: name.to_owned(), transport: Transport::AlsoPlaintext, ..options() };
        assert_eq!(CookieSpec::new(plain).map(|_| ()), Err(InvalidCookieSpec::NeedsSecure), "{name}");
    }
    assert_eq!(
        check(|o| {
            o.name = "id".into();
            o.same_site = SameSite::None;
            o.transport = Transport::AlsoPlaintext;
        }),
        Err(InvalidCookieSpec::NeedsSecure)
    );
    assert_eq!(
        check(|o| {
            o.name = "auth-session".into();
            o.transport = Transport::AlsoPlaintext;
            o.path = "/app".into();
        }),
        Ok(())
    );
}

/// R033, A07: 4096 bytes of name and value fit, 4097 do not.
#[test]
fn the_size_limit_holds_exactly() {
    let fits = "v".repeat(MAX_NAME_AND_VALUE - NAME.len());
    assert!(spec().set(&fits, Lifetime::BrowserSession).is_ok());
    assert_eq!(spec().set(&format!("{fits}v"), Lifetime::BrowserSession), Err(CookieTooLarge));
    let path = |length: usize| CookieOptions {
        name: "id".to_owned(),
        path: format!("/{}", "p".repeat(length - 1)),
        ..options()
    };
    assert!(CookieSpec::new(path(MAX_ATTRIBUTE)).is_ok());
    assert_eq!(CookieSpec::new(path(MAX_ATTRIBUTE + 1)).map(|_| ()), Err(InvalidCookieSpec::Path));
}

/// R034: no cookie is asked to live longer than 400 days.
#[test]
fn the_lifetime_is_capped() {
    let age = |days: u64| {
        let value = spec().set("a", Lifetime::For(Duration::from_secs(days * 86_400))).unwrap();
        value.to_str().unwrap().to_owned()
    };
    assert!(age(400).contains("; Max-Age=34560000;"));
    assert_eq!(age(400), age(401));
    assert_eq!(age(400), age(u64::from(u32::MAX)));
}

/// A08: nothing that could start another header, attribute or cookie gets through.
#[test]
fn injection_is_refused() {
    for text in ["a\r\nSet-Cookie: x=y", "a\0", "a; Domain=evil.example", "a b", "\"a\"", "ä", "a,b", "a\\"] {
        assert_eq!(spec().set(text, Lifetime::BrowserSession), Err(CookieTooLarge), "{text:?}");
        for (options, error) in [
            (CookieOptions { name: text.to_owned(), ..options() }, InvalidCookieSpec::Name),
            (CookieOptions { domain: Some(text.to_owned()), ..options() }, InvalidCookieSpec::Domain),
        ] {
            assert_eq!(CookieSpec::new(options).map(|_| ()), Err(error), "{text:?}");
        }
    }
    for path in ["", "api", "/a;b", "/a\r\n", "/\0", "/ä"] {
        let options = CookieOptions { name: "id".to_owned(), path: path.to_owned(), ..options() };
        assert_eq!(CookieSpec::new(options).map(|_| ()), Err(InvalidCookieSpec::Path), "{path:?}");
    }
    for domain in ["", "com", ".example.com", "example.com.", "Example.com", "-a.example", "a..b"] {
        let options = CookieOptions { name: "id".to_owned(), domain: Some(domain.to_owned()), ..options() };
        assert_eq!(CookieSpec::new(options).map(|_| ()), Err(InvalidCookieSpec::Domain), "{domain:?}");
    }
}

/// R035: the later cookie of a name replaces the earlier one and leaves the others.
#[test]
fn a_response_sets_a_cookie_once() {
    let mut headers = HeaderMap::new();
    headers.append(SET_COOKIE, HeaderValue::from_static("other=1"));
    put_cookie(&mut headers, spec().set("old", Lifetime::BrowserSession).unwrap());
    put_cookie(&mut headers, spec().removal());
    let all: Vec<_> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    assert_eq!(all, [HeaderValue::from_static("other=1"), spec().removal()]);
}

proptest! {
    /// R037: whatever the header, reading never fails by half and a value is made of cookie octets that stand in it.
    #[test]
    fn any_header_is_read_or_refused(field in proptest::collection::vec(prop_oneof![
        Just(b';'), Just(b'='), Just(b' '), Just(b'"'), 0x20_u8..=0x7e, 0x80_u8..=0xff
    ], 0..200)) {
        let map = headers(&[&field]);
        if let Ok(cookies) = RequestCookies::read(&map)
            && let Ok(Some(value)) = cookies.find("a")
        {
            prop_assert!(value.bytes().all(is_cookie_octet));
            let pair = format!("a={value}");
            prop_assert!(field.windows(pair.len()).any(|window| window == pair.as_bytes()));
        }
    }

    /// Everything the builder writes reads back as one cookie with that value.
    #[test]
    fn what_is_written_reads_back(value in "[!#-+\\--:<-\\[\\]-~]{0,100}") {
        let set = spec().set(&value, Lifetime::BrowserSession).unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        prop_assert_eq!(find(pair.as_bytes()), found(&value));
    }
}
