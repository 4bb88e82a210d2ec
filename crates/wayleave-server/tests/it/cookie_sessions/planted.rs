//! Cookies that somebody else put into the browser, and cookies that are not quite ours.

use serde_json::json;
use wayleave_testkit::StoreVerb;

use super::{ANN, BOB, CSRF, PRE_SESSION, SESSION, cookies, face, is_removal, unknown_token};
use crate::support::request;
use crate::world::{Keeping, ORIGIN, PASSWORD, World};

/// A01, R011: whatever session cookie stands in the browser, signing in makes a new one and the planted one is dead.
#[tokio::test]
async fn sign_in_never_keeps_a_planted_cookie() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    let live = world.signed_in(BOB).await.token();
    for planted in [live, unknown_token(1)] {
        let mut victim = world.holding(&planted);
        assert_eq!(victim.sign_in(ANN, PASSWORD).await.status, 200);
        let fresh = victim.token();
        assert_ne!(fresh, planted);
        assert_ne!(fresh, unknown_token(1));
        world.assert_unknown(&planted, "planted before sign-in").await;
        assert_eq!(victim.status().await, 200);
    }
}

/// A01, R011, R012: the visitor's cookie proves nothing, does not outlive sign-in, and its CSRF token neither.
#[tokio::test]
async fn what_a_visitor_held_ends_with_sign_in() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.client();
    client.get("/api/csrf").await;
    let (visitor, early) = (client.jar[PRE_SESSION].clone(), client.jar[CSRF].clone());
    world.assert_unknown(&visitor, "a visitor's cookie").await;
    let answer = client.post("/api/auth/login", &json!({ "email": ANN, "password": PASSWORD })).await;
    let set = cookies(&answer);
    assert!(is_removal(&set[PRE_SESSION]), "{set:?}");
    assert!(!client.jar.contains_key(PRE_SESSION));
    client.jar.insert(CSRF.into(), early);
    assert_eq!(client.post("/api/auth/sessions/extend", &json!({})).await.code(), "csrf_failed");
}

/// A18, R026: nothing else that a browser holds is taken for a session.
#[tokio::test]
async fn other_cookies_are_no_session() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let client = world.signed_in(ANN).await;
    for (name, value) in &client.jar {
        if name != SESSION {
            world.assert_unknown(value, name).await;
        }
    }
    let mut renamed = world.client();
    for name in ["id", "session", "auth-session", "__Secure-id", "__Host-pre", "wl-id"] {
        renamed.jar.insert(name.into(), client.token());
    }
    assert_eq!(renamed.get("/api/auth/session").await.code(), "session_required");
}

/// A02, R005: a well-formed token that nobody issued is removed, never adopted, and noticed.
#[tokio::test]
async fn an_unknown_token_is_never_adopted() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let token = unknown_token(2);
    let mut client = world.holding(&token);
    let answer = client.get("/api/auth/session").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, "session_invalid".into()));
    assert_eq!(
        cookies(&answer)[SESSION],
        "__Host-id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(cookies(&answer).len(), 1);
    for line in ["GET /api/csrf", "GET /api/auth/sessions/validate", "GET /healthz", "GET /nowhere"] {
        let answer = world.holding(&token).ask(line, None).await;
        assert!(cookies(&answer).get(SESSION).is_none_or(|cookie| is_removal(cookie)), "{line}");
    }
    assert_eq!(world.holding(&token).status().await, 401);
    assert_eq!(world.store.as_ref().unwrap().faults().calls_of(StoreVerb::Insert), 0);
    assert_eq!(world.events(&mut 0).await, ["session.unknown_token"]);
}

/// A03, A04, A05, R036, R037: which `Cookie` headers hold the session of `GOOD`. A name that comes twice is never
/// decided by its place.
#[tokio::test]
async fn only_the_exact_cookie_counts_and_only_once() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    let good = world.signed_in(ANN).await.token();
    let evil = world.signed_in(BOB).await.token();
    let cases: [(&[&str], u16, &str); 24] = [
        (&["__Host-id=GOOD"], 200, ""),
        (&["id=EVIL; __Host-id=GOOD"], 200, ""),
        (&["__Host-id=GOOD; id=EVIL"], 200, ""),
        (&["__host-id=EVIL; __Host-id=GOOD"], 200, ""),
        (&["__Host-id=GOOD; __HOST-ID=EVIL"], 200, ""),
        (&["__Host-id=GOOD; __Host-id =EVIL"], 200, ""),
        (&["__Host-id=GOOD; =__Host-id=EVIL"], 200, ""),
        (&["$Version=1; __Host-id=GOOD; $Path=/; $Domain=x"], 200, ""),
        (&["a=\"x; __Host-id=GOOD; b=\""], 200, ""),
        (&["a=1", "__Host-id=GOOD"], 200, ""),
        (&["__Host-id=EVIL; __Host-id=GOOD"], 400, "invalid_request"),
        (&["__Host-id=GOOD; __Host-id=EVIL"], 400, "invalid_request"),
        (&["__Host-id=GOOD; __Host-id=GOOD"], 400, "invalid_request"),
        (&["__Host-id=GOOD; a=1; __Host-id="], 400, "invalid_request"),
        (&["__Host-id=GOOD", "__Host-id=EVIL"], 400, "invalid_request"),
        (&["__Host-id=\"GOOD\""], 400, "invalid_request"),
        (&["__Host-id= GOOD"], 400, "invalid_request"),
        (&["__Host-id=GOOD,__Host-id=EVIL"], 400, "invalid_request"),
        (&["__host-id=GOOD"], 401, "session_required"),
        (&["__Host-id =GOOD"], 401, "session_required"),
        (&["=__Host-id=GOOD"], 401, "session_required"),
        (&["\"__Host-id\"=\"GOOD\""], 401, "session_required"),
        (&["__Host-id"], 401, "session_required"),
        (&["__Host%2Did=GOOD; __Host-%69d=GOOD"], 401, "session_required"),
    ];
    for (fields, status, code) in cases {
        let fields: Vec<_> = fields.iter().map(|text| text.replace("GOOD", &good).replace("EVIL", &evil)).collect();
        let fields: Vec<_> = fields.iter().map(|text| ("cookie", text.as_str())).collect();
        let answer = world.client().ask_as_is(request("GET /api/auth/user", &fields, "")).await;
        assert_eq!(answer.status, status, "{fields:?}");
        if status == 200 {
            assert_eq!(answer.json()["data"]["email"], ANN, "{fields:?}");
        } else {
            assert_eq!(answer.code(), code, "{fields:?}");
        }
    }
}

/// A03, R036: duplicates are refused on routes without a session too, change nothing, and are noticed.
#[tokio::test]
async fn duplicates_are_refused_everywhere() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let client = world.signed_in(ANN).await;
    let (token, csrf) = (client.token(), client.jar[CSRF].clone());
    let twice = format!("{SESSION}={token}; {SESSION}={}; {CSRF}={csrf}", unknown_token(3));
    let mut seen = 0;
    world.events(&mut seen).await;
    for line in ["GET /api/csrf", "POST /api/auth/login", "GET /api/auth/verify"] {
        let fields = [
            ("cookie", twice.as_str()),
            ("origin", ORIGIN),
            ("x-csrf-token", &csrf),
            ("content-type", "application/json"),
        ];
        let body = json!({ "email": ANN, "password": PASSWORD }).to_string();
        let body = if line.ends_with("login") { body } else { String::new() };
        let answer = client.ask_as_is(request(line, &fields, body)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request".into()), "{line}");
        assert!(cookies(&answer).is_empty(), "{line}");
    }
    assert_eq!(world.events(&mut seen).await, ["cookie.duplicate"], "one row, since anybody can cause it");
    assert_eq!(world.holding(&token).status().await, 200);
}

/// A06, A10, R007: what is too long or no token at all is refused before anything is looked up.
#[tokio::test]
async fn malformed_tokens_never_reach_the_store() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let good = world.signed_in(ANN).await.token();
    let store = world.store.as_ref().unwrap();
    store.faults().reset();
    let changed = |at: usize, to: &str| format!("{}{to}{}", &good[..at], &good[at + 1..]);
    let many = format!("{}{SESSION}={good}", "a=b; ".repeat(200));
    for (cookie, status) in [
        (format!("{SESSION}="), 401),
        (format!("{SESSION}=wl_"), 401),
        (format!("{SESSION}={}", &good[..good.len() - 1]), 401),
        (format!("{SESSION}={good}A"), 401),
        (format!("{SESSION}={good}="), 401),
        (format!("{SESSION}={good}%0A"), 401),
        (format!("{SESSION}={}", good.replace("wl_", "WL_")), 401),
        (format!("{SESSION}={}", good.replace("wl_", "rt_")), 401),
        (format!("{SESSION}={}", changed(10, "+")), 401),
        (format!("{SESSION}={}", changed(10, "/")), 401),
        (format!("{SESSION}={}", changed(10, "~")), 401),
        (format!("{SESSION}={}", changed(10, " ")), 400),
        (format!("{SESSION}={}", "A".repeat(8000)), 401),
        (format!("{SESSION}={}", "A".repeat(17 * 1024)), 431),
        (format!("{SESSION}={}", "A".repeat(1024 * 1024)), 431),
        (format!("a={}; {SESSION}={good}", "b".repeat(64 * 1024)), 431),
        (many, 431),
    ] {
        let answer = world.client().ask_as_is(request("GET /api/auth/session", &[("cookie", &cookie)], "")).await;
        let shown: String = cookie.chars().take(100).collect();
        assert_eq!(answer.status, status, "{shown}");
        if status == 401 {
            assert_eq!(face(&answer), world.unknown("GET /api/auth/session").await, "{shown}");
        }
    }
    // The unknown token of the comparison, and nothing else; after the first time not even that.
    assert_eq!(store.faults().calls_of(StoreVerb::Find), 1);
    let homoglyph = [b"__Host-id=wl_\xd0\xb0".as_slice(), &good.as_bytes()[4..]].concat();
    let mut hostile = request("GET /api/auth/session", &[], "");
    hostile.headers_mut().insert("cookie", http::HeaderValue::from_bytes(&homoglyph).unwrap());
    assert_eq!(world.client().ask_as_is(hostile).await.status, 400);
    assert_eq!(world.holding(&good).status().await, 200);
}

/// A09, R008: a token outside its two carriers is as good as none.
#[tokio::test]
async fn tokens_elsewhere_are_ignored() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let good = world.signed_in(ANN).await.token();
    let store = world.store.as_ref().unwrap();
    store.faults().reset();
    let nobody = face(&world.client().get("/api/auth/session").await);
    for target in [
        format!("/api/auth/session?access_token={good}"),
        format!("/api/auth/session?__Host-id={good}"),
        format!("/api/auth/session?session={good}&token={good}"),
        format!("/api/auth/session#{good}"),
    ] {
        assert_eq!(face(&world.client().get(&target).await), nobody, "{target}");
    }
    for name in ["x-session", "x-session-token", "x-auth-token", "session", "proxy-authorization", "cookie2"] {
        let value = format!("Bearer {good}");
        for value in [good.as_str(), &value] {
            let answer = world.client().ask_as_is(request("GET /api/auth/session", &[(name, value)], "")).await;
            assert_eq!(face(&answer), nobody, "{name}");
        }
    }
    for target in [format!("/api/auth/session/{good}"), format!("/api/auth/session;jsessionid={good}")] {
        assert_eq!(world.client().get(&target).await.status, 404, "{target}");
    }
    assert_eq!(store.faults().calls_of(StoreVerb::Find), 0);
}

/// A03, R036, DESIGN 5: signing out with several session cookies removes them, with and without the configured domain,
/// and ends the session of none. A foreign page cannot have it done.
#[tokio::test]
async fn duplicates_are_removed_by_signing_out() {
    for shared in [false, true] {
        let world = World::with(Keeping::Memory, |config| {
            if shared {
                config.cookies.name = "__Secure-id".parse().unwrap();
                config.cookies.domain = Some("example.org".parse().unwrap());
            }
        })
        .await;
        world.person(ANN, &[]).await;
        let client = world.signed_in(ANN).await;
        let name = if shared { "__Secure-id" } else { SESSION };
        let token = client.jar[name].clone();
        let twice = format!("{name}={token}; {name}={}; {CSRF}=x", unknown_token(3));
        for path in ["/api/auth/logout", "/api/auth/sessions/logout"] {
            let line = format!("POST {path}");
            for foreign in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
                let answer = client.ask_as_is(request(&line, &[("cookie", &twice), foreign], "")).await;
                assert_eq!(answer.status, 403, "{foreign:?}");
                assert!(cookies(&answer).is_empty());
            }
            let answer = client.ask_as_is(request(&line, &[("cookie", &twice), ("origin", ORIGIN)], "")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let removed: Vec<_> =
                answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
            assert_eq!(removed.len(), if shared { 4 } else { 2 }, "{removed:?}");
            let kinds = if shared { &[false, true][..] } else { &[false] };
            for (cookie, domain) in [name, CSRF].iter().flat_map(|cookie| kinds.iter().map(move |kind| (cookie, *kind)))
            {
                let found = removed.iter().any(|removal| {
                    removal.starts_with(&format!("{cookie}=;"))
                        && removal.contains("Max-Age=0;")
                        && removal.contains("Domain=example.org") == domain
                });
                assert!(found, "{cookie} {domain} {removed:?}");
            }
        }
        let mut held = world.client();
        held.jar.insert(name.into(), token);
        assert_eq!(held.get("/api/auth/session").await.status, 200, "none of them was named");
    }
}
