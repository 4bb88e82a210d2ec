//! The session cookie, both ways, and what comes instead of it.

use axum::body::Body;
use http::{Method, StatusCode};
use wayleave_web::{Carrier, SessionOptions};

use crate::client::{Kept, World};

/// A03, R036: two cookies of the name are refused, whatever they hold and in whatever order.
#[tokio::test]
async fn duplicates_are_refused() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let good = client.session().unwrap().to_owned();
        for header in [
            format!("__Host-id={good}; __Host-id={good}"),
            format!("__Host-id=other; __Host-id={good}"),
            format!("__Host-id={good}; a=1; __Host-id="),
        ] {
            let refused = client.clone().get_with_cookies("/me", &header).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (StatusCode::BAD_REQUEST, "invalid_request"),
                "{kept:?}"
            );
        }
        client.get("/me").await.ok();
    }
}

/// A04, A05, R036, R037: names are compared byte for byte, and values are not interpreted.
#[tokio::test]
async fn nothing_that_resembles_the_cookie_is_it() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let good = client.session().unwrap().to_owned();
        for header in [
            format!("__host-id={good}"),
            format!("__HOST-ID={good}"),
            format!("__Host-id ={good}"),
            format!("__Host-id=\"{good}\""),
            format!("__Host-id={good} "),
            format!("__Host-id=%77{}", &good[1..]),
            format!("$Version=1; __Host-id={good}; $Path=/").replace("__Host-id=", "__Host-id= "),
            format!("={good}"),
            format!("__Host-id={good}A"),
            format!("__Host-id={}", &good[..good.len() - 1]),
        ] {
            let refused = client.clone().get_with_cookies("/me", &header).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{kept:?} {header}");
        }
    }
}

/// A04: twins of the name and cookies without one stand beside the real one and are nobody's.
#[tokio::test]
async fn twins_do_not_matter() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let good = client.session().unwrap().to_owned();
        for header in [
            format!("__host-id=evil; __Host-id={good}"),
            format!("__Host-id={good}; __HOST-ID=evil; id=evil"),
            format!("=__Host-id=evil; __Host-id={good}"),
            format!("__Host-id =evil; __Host-id={good}; __Host-id"),
        ] {
            let answer = client.clone().get_with_cookies("/me", &header).await;
            assert_eq!(answer.ok().body, "user:ann", "{kept:?} {header}");
        }
    }
}

/// A06, R007: an oversized header is refused as a whole.
#[tokio::test]
async fn oversized_headers_are_refused() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.jar.insert("a".into(), "v".repeat(17 * 1024));
        let refused = client.get("/read/a").await;
        assert_eq!(refused.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{kept:?}");
        client.get("/plain").await.ok();
    }
}

/// R017: a stale cookie is answered with its exact removal and nothing else.
#[tokio::test]
async fn a_stale_cookie_is_removed() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.jar.insert("__Host-id".into(), "nobody-issued-this".into());
        let answer = client.get("/read/a").await.ok();
        let removal =
            "__Host-id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(answer.cookies(), [removal], "{kept:?}");
        assert!(client.jar.is_empty());
        client.jar.insert("__Host-id".into(), "nobody-issued-this".into());
        assert!(client.get("/plain").await.ok().cookies().is_empty(), "{kept:?}: a route that does not ask");
    }
}

/// A14, R016: what browsers and pages do by themselves is no activity.
#[tokio::test]
async fn polling_keeps_nobody_signed_in() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        for minute in 0..3 {
            world.clock.advance(std::time::Duration::from_secs(9 * 60 + 59));
            for method in [Method::HEAD, Method::OPTIONS] {
                let request = client.request(method, "/me", Body::empty());
                assert_eq!(client.send(request).await.status, StatusCode::OK, "{kept:?} {minute}");
            }
            let mut polling = client.clone();
            polling.sent.push(("x-wayleave-background", "1".into()));
            polling.get("/me").await.ok();
            client.jar = polling.jar;
            client.get("/plain").await.ok();
        }
        world.clock.advance(std::time::Duration::from_secs(4));
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
    }
}

/// A12: how much of a credential is right cannot be told from how long its refusal takes, as its hash is looked up.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "two distributions of the real time are compared")]
async fn a_right_beginning_is_not_measurable() {
    use std::time::Instant;
    use wayleave_testkit::distribution::compare;
    let world = World::new(Kept::Memory).await;
    let mut client = world.client();
    client.post("/sign-in/ann").await.ok();
    let good = client.session().unwrap().to_owned();
    let mut found = Vec::new();
    for _ in 0..3 {
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for round in 0..400 {
            for (right, samples) in [(good.len() - 6, &mut near), (3, &mut far)] {
                // Well formed but for the checksum at its end, and never the same twice.
                let rest: String = (0..good.len() - right)
                    .map(|at| (b'a'..=b'z').map(char::from).nth((round + at) % 26).unwrap())
                    .collect();
                client.jar.insert("__Host-id".into(), format!("{}{rest}", &good[..right]));
                let start = Instant::now();
                let status = client.get("/me").await.status;
                samples.push(start.elapsed().as_secs_f64());
                assert_eq!(status, StatusCode::UNAUTHORIZED);
            }
        }
        let comparison = compare(&near, &far).unwrap();
        if comparison.indistinguishable() {
            return;
        }
        found.push(comparison);
    }
    panic!("{found:#?}");
}

/// A15: no clock, however absurd, makes a panic, and none revives anybody.
#[tokio::test]
async fn absurd_clocks_do_no_harm() {
    use wayleave_core::time::Timestamp;
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        for now in [Timestamp::MIN, Timestamp::from_seconds(i64::from(i32::MAX)), Timestamp::MAX] {
            world.clock.set(now);
            let mut client = world.client();
            let _ = client.post("/sign-in/ann").await;
            let _ = client.get("/set/a/1").await;
            for later in [Timestamp::MIN, Timestamp::from_seconds(1 << 33), Timestamp::MAX] {
                world.clock.set(later);
                let answer = client.get("/me").await;
                assert!(matches!(answer.status.as_u16(), 200 | 401), "{kept:?} {now:?} {later:?}: {}", answer.status);
            }
        }
    }
}

/// A15: a clock that is set back revives nothing that was found expired, where there is a store to remember it.
#[tokio::test]
async fn a_clock_set_back_revives_nothing() {
    for kept in [Kept::Memory, Kept::Sqlite] {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let copy = client.clone();
        world.clock.advance(std::time::Duration::from_secs(31 * 60));
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED);
        world.clock.rewind(std::time::Duration::from_secs(30 * 60));
        assert_eq!(copy.clone().get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
    }
}

/// A15: a server whose clock is behind honours nothing that was opened later, and takes nobody's cookie for it, which is
/// good at every other server.
#[tokio::test]
async fn a_clock_that_is_behind_takes_no_cookie_away() {
    for kept in [Kept::Memory, Kept::Sqlite] {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        world.clock.rewind(std::time::Duration::from_secs(60 * 60));
        assert_eq!(client.get("/me").await.status, StatusCode::UNAUTHORIZED, "{kept:?}");
        world.clock.advance(std::time::Duration::from_secs(60 * 60));
        client.get("/me").await.ok();
    }
}

/// A07, A08, R031, R032: a cookie that a browser would misread cannot be configured.
#[test]
fn cookies_that_browsers_misread_cannot_be_made() {
    use wayleave_web::SessionLayer;
    use wayleave_web::cookies::{CookieOptions, SameSite, Transport, Visibility};
    let cookie = |name: &str, path: &str, domain: Option<&str>, transport| {
        let carrier = Carrier::Cookie(CookieOptions {
            name: name.into(),
            path: path.into(),
            domain: domain.map(Into::into),
            same_site: SameSite::Lax,
            visibility: Visibility::HttpOnly,
            transport,
        });
        SessionLayer::in_memory(SessionOptions { carrier, ..SessionOptions::default() }).is_ok()
    };
    assert!(cookie("__Host-id", "/", None, Transport::Secure));
    assert!(cookie("__Secure-id", "/app", Some("example.com"), Transport::Secure));
    assert!(cookie("id", "/", None, Transport::AlsoPlaintext));
    assert!(!cookie("__Host-id", "/", None, Transport::AlsoPlaintext));
    assert!(!cookie("__host-id", "/app", None, Transport::Secure));
    assert!(!cookie("__Host-id", "/", Some("example.com"), Transport::Secure));
    for name in ["", "a b", "a;b", "a=b", "a\r\nSet-Cookie: b", "\u{e4}"] {
        assert!(!cookie(name, "/", None, Transport::Secure), "{name:?}");
    }
    for path in ["", "app", "/a;b", "/a\r\nb"] {
        assert!(!cookie("id", path, None, Transport::Secure), "{path:?}");
    }
}

/// R008: an id in the URL is nobody's.
#[tokio::test]
async fn the_url_carries_nothing() {
    for kept in Kept::ALL {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let good = client.session().unwrap().to_owned();
        let mut other = world.client();
        for path in [format!("/me?__Host-id={good}"), format!("/me?session={good}"), format!("/me?access_token={good}")]
        {
            assert_eq!(other.get(&path).await.status, StatusCode::UNAUTHORIZED, "{kept:?} {path}");
        }
    }
}
