//! Requests that a page of another site makes with somebody's cookies.

use serde_json::json;
use wayleave_server::config::Origin;

use super::{ANN, BOB, CSRF, PRE_SESSION, SESSION, cookies, is_removal};
use crate::support::request;
use crate::world::{Client, Keeping, ORIGIN, PASSWORD, World};

const PARTNER: &str = "https://panel.example";

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// Sends one request with the client's cookies and these fields alone.
async fn bare(client: &Client<'_>, line: &str, fields: &[(&str, &str)], body: &str) -> crate::support::Answer {
    let pairs: Vec<_> = client.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let pairs = pairs.join("; ");
    let mut all: Fields<'_> = fields.to_vec();
    if !pairs.is_empty() {
        all.push(("cookie", &pairs));
    }
    if !body.is_empty() && !fields.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", "application/json"));
    }
    client.ask_as_is(request(line, &all, body.to_owned())).await
}

/// R044, R046, A23: the token must stand in the header, be of this very session, and whole; the cookie must be there
/// beside it.
#[tokio::test]
async fn an_unsafe_request_needs_the_token_of_its_session() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    let mut visitor = world.client();
    visitor.get("/api/csrf").await;
    let early = visitor.jar[CSRF].clone();
    let foreign = world.signed_in(BOB).await.jar[CSRF].clone();
    let mut client = world.signed_in(ANN).await;
    let good = client.jar[CSRF].clone();
    let (random, mac) = good.split_once('.').unwrap();
    let swapped = format!("{mac}.{random}");
    let mixed = format!("{random}.{}", foreign.split_once('.').unwrap().1);
    let cut = good[..good.len() - 4].to_owned();
    let random_only = format!("{random}.");
    let cases = [
        (Some(good.as_str()), Some(good.as_str()), 200),
        (None, None, 403),
        (None, Some(good.as_str()), 403),
        (Some(good.as_str()), None, 403),
        (Some(""), Some(""), 403),
        (Some(foreign.as_str()), Some(foreign.as_str()), 403),
        (Some(early.as_str()), Some(early.as_str()), 403),
        (Some(foreign.as_str()), Some(good.as_str()), 403),
        (Some(good.as_str()), Some(foreign.as_str()), 403),
        (Some(swapped.as_str()), Some(swapped.as_str()), 403),
        (Some(mixed.as_str()), Some(mixed.as_str()), 403),
        (Some(cut.as_str()), Some(cut.as_str()), 403),
        (Some(random_only.as_str()), Some(random_only.as_str()), 403),
        (Some("x"), Some("x"), 403),
    ];
    for (header, cookie, expected) in cases {
        match cookie {
            Some(cookie) => drop(client.jar.insert(CSRF.into(), cookie.to_owned())),
            None => drop(client.jar.remove(CSRF)),
        }
        for origin in [Some(("origin", ORIGIN)), None] {
            let fields: Fields<'_> = header.map(|token| ("x-csrf-token", token)).into_iter().chain(origin).collect();
            let answer = bare(&client, "POST /api/auth/sessions/extend", &fields, "{}").await;
            assert_eq!(answer.status, expected, "{header:?} {cookie:?}");
            if expected == 403 {
                assert_eq!(answer.code(), "csrf_failed");
            }
        }
    }
    // From the URL or the body it counts for nothing (R046).
    client.jar.insert(CSRF.into(), good.clone());
    let line = format!("POST /api/auth/sessions/extend?x-csrf-token={good}&csrf-token={good}&_csrf={good}");
    assert_eq!(bare(&client, &line, &[("origin", ORIGIN)], "{}").await.code(), "csrf_failed");
    let body = json!({ "csrf-token": good, "x-csrf-token": good }).to_string();
    let answer = bare(&client, "POST /api/auth/sessions/extend", &[("origin", ORIGIN)], &body).await;
    assert_eq!(answer.code(), "csrf_failed");
}

/// R045: a token dies with the id it was made for: at step-up, at a change of password, at the next sign-in.
#[tokio::test]
async fn a_token_dies_when_the_id_changes() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let old = client.jar[CSRF].clone();
    assert_eq!(client.post("/api/auth/step-up", &json!({ "password": PASSWORD })).await.status, 200);
    assert_ne!(client.jar[CSRF], old);
    assert_eq!(client.post("/api/auth/sessions/extend", &json!({})).await.status, 200);
    client.jar.insert(CSRF.into(), old);
    assert_eq!(client.post("/api/auth/sessions/extend", &json!({})).await.code(), "csrf_failed");
}

/// R052: no two renderings of a token are alike, in the body or in the cookie, and all of them hold.
#[tokio::test]
async fn every_rendering_of_a_token_differs() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    for mut client in [world.client(), world.signed_in(ANN).await] {
        let mut tokens = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let answer = client.get("/api/csrf").await;
            let token = answer.json()["token"].as_str().unwrap().to_owned();
            assert_eq!(client.jar[CSRF], token);
            assert!(tokens.insert(token.split_once('.').unwrap().0.to_owned()), "a random half came twice");
            assert!(tokens.insert(token.split_once('.').unwrap().1.to_owned()), "a signature came twice");
        }
    }
}

/// R047, R041, A25: five values of `Sec-Fetch-Site` by seven methods. GET and HEAD pass, since they change nothing.
#[tokio::test]
async fn fetch_metadata_by_method() {
    let world = World::with(Keeping::Memory, |config| {
        config.server.cors_origins = vec![PARTNER.parse::<Origin>().unwrap()];
    })
    .await;
    world.person(ANN, &["admin"]).await;
    let client = world.signed_in(ANN).await;
    let csrf = client.jar[CSRF].clone();
    let token = ("x-csrf-token", csrf.as_str());
    let own = ("origin", ORIGIN);
    let site = |value| ("sec-fetch-site", value);
    let navigate = ("sec-fetch-mode", "navigate");
    let cases: [(Fields<'_>, bool); 22] = [
        (vec![site("same-origin")], true),
        (vec![site("same-origin"), own], true),
        (vec![site("none"), navigate], true),
        (vec![site("none")], false),
        (vec![site("none"), ("sec-fetch-mode", "cors")], false),
        (vec![site("same-site")], false),
        (vec![site("same-site"), ("origin", "https://evil.127.0.0.1")], false),
        (vec![site("same-site"), own], false),
        (vec![site("same-site"), ("origin", PARTNER)], true),
        (vec![site("cross-site")], false),
        (vec![site("cross-site"), own], false),
        (vec![site("cross-site"), navigate], false),
        (vec![site("cross-site"), ("origin", PARTNER)], true),
        (vec![site("cross-site"), ("origin", "null")], false),
        (vec![site("same-origin"), ("origin", "https://evil.example")], false),
        (vec![site("same-origin"), site("cross-site")], false),
        (vec![own], true),
        (vec![], true),
        (vec![site("whatever"), own], true),
        (vec![site("whatever"), ("origin", "https://evil.example")], false),
        (vec![("referer", "http://127.0.0.1:8080/page")], true),
        (vec![("referer", "https://evil.example/http://127.0.0.1:8080")], false),
    ];
    let lines = [
        ("GET /api/auth/session", ""),
        ("HEAD /api/auth/session", ""),
        ("POST /api/auth/sessions/extend", "{}"),
        ("PUT /api/admin/settings", "{}"),
        ("PATCH /api/admin/users/x", "{}"),
        ("DELETE /api/auth/sessions/x", ""),
    ];
    for (fields, passes) in cases {
        for (line, body) in lines {
            let is_safe = line.starts_with("GET") || line.starts_with("HEAD");
            let mut fields = fields.clone();
            fields.push(token);
            let answer = bare(&client, line, &fields, body).await;
            let refused = answer.status == 403;
            assert_eq!(refused, !(is_safe || passes), "{line} {fields:?}: {}", answer.status);
            if refused {
                assert_eq!(answer.code(), "origin_not_allowed", "{line} {fields:?}");
            }
        }
        let answer = bare(&client, "OPTIONS /api/auth/session", &fields, "").await;
        assert_eq!(answer.status, 405, "{fields:?}");
    }
    let ended = client.jar[SESSION].clone();
    assert_eq!(world.holding(&ended).status().await, 200);
}

/// R048, A24: the origin is compared whole with configuration, never with what the request says of its host.
#[tokio::test]
async fn origins_that_only_resemble_ours() {
    let world = World::with(Keeping::Memory, |config| {
        config.server.public_url = Some("https://id.example".parse::<Origin>().unwrap());
    })
    .await;
    world.person(ANN, &[]).await;
    let mut client = world.client();
    client.get("/api/csrf").await;
    let csrf = client.jar[CSRF].clone();
    let body = json!({ "email": ANN, "password": PASSWORD }).to_string();
    let mut cases = vec![(vec![("origin", "https://id.example")], 200)];
    for foreign in [
        "null",
        "",
        "http://id.example",
        "https://id.example:8443",
        "https://id.example:443",
        "https://id.example.attacker.tld",
        "https://attacker.tld/https://id.example",
        "https://id.example@attacker.tld",
        "https://idXexample",
        "https://ID.example",
        "https://id.example/",
        "https://id.example.",
        "https://sub.id.example",
        "id.example",
        "*",
    ] {
        cases.push((vec![("origin", foreign)], 403));
        let host = foreign.rsplit('/').next().unwrap();
        if !host.is_empty() {
            cases.push((vec![("origin", foreign), ("host", host), ("x-forwarded-host", host)], 403));
            cases.push((vec![("origin", foreign), ("forwarded", "host=attacker.tld;proto=https")], 403));
        }
    }
    cases.push((vec![("origin", "https://id.example"), ("origin", "https://attacker.tld")], 403));
    cases.push((vec![("origin", "https://attacker.tld"), ("origin", "https://id.example")], 403));
    cases.push((vec![("origin", "https://id.example"), ("origin", "https://id.example")], 403));
    cases.push((vec![("referer", "https://attacker.tld/")], 403));
    cases.push((vec![("referer", "https://id.example.attacker.tld/https://id.example/")], 403));
    for (mut fields, expected) in cases {
        fields.push(("x-csrf-token", &csrf));
        let answer = bare(&client, "POST /api/auth/login", &fields, &body).await;
        assert_eq!(answer.status, expected, "{fields:?}");
        if expected == 403 {
            assert_eq!(answer.code(), "origin_not_allowed", "{fields:?}");
            assert!(cookies(&answer).is_empty(), "{fields:?}");
        }
    }
}

/// R049, A22: what a form of another site can send is refused before it is read.
#[tokio::test]
async fn simple_content_types_are_refused() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.client();
    client.get("/api/csrf").await;
    let csrf = client.jar[CSRF].clone();
    let body = json!({ "email": ANN, "password": PASSWORD }).to_string();
    for (kind, expected) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/json, text/plain", 415),
        ("application/jsonx", 415),
        ("text/json", 415),
        ("application/json; charset=utf-16", 415),
        ("", 415),
    ] {
        let fields = [("content-type", kind), ("x-csrf-token", csrf.as_str()), ("origin", ORIGIN)];
        let answer = bare(&client, "POST /api/auth/login", &fields, &body).await;
        assert_eq!(answer.status, expected, "{kind:?}");
    }
    let fields = [("x-csrf-token", csrf.as_str()), ("origin", ORIGIN)];
    let pairs = format!("{PRE_SESSION}={}; {CSRF}={csrf}", client.jar[PRE_SESSION]);
    let mut without = request("POST /api/auth/login", &fields, body);
    without.headers_mut().insert("cookie", pairs.parse().unwrap());
    assert_eq!(client.ask_as_is(without).await.status, 415, "no content type at all");
}

/// R050, A26: nobody signs a visitor in from another site: not with the visitor's cookies, not without any, not with a
/// token that was made for another visitor.
#[tokio::test]
async fn login_from_another_site_is_refused() {
    let world = World::new().await;
    world.person(BOB, &[]).await;
    let mut attacker = world.client();
    attacker.get("/api/csrf").await;
    let mut victim = world.client();
    victim.get("/api/csrf").await;
    let empty = world.client();
    let (own, stolen) = (victim.jar[CSRF].clone(), attacker.jar[CSRF].clone());
    let foreign = ("origin", "https://evil.example");
    let cross = ("sec-fetch-site", "cross-site");
    let cookie = json!({ "email": BOB, "password": PASSWORD }).to_string();
    let bearer = json!({ "email": BOB, "password": PASSWORD, "transport": "bearer" }).to_string();
    let cases: [(&Client<'_>, Fields<'_>, &str); 11] = [
        (&victim, vec![foreign], &cookie),
        (&victim, vec![cross], &cookie),
        (&victim, vec![foreign, ("x-csrf-token", &own)], &cookie),
        (&victim, vec![("origin", ORIGIN)], &cookie),
        (&victim, vec![("origin", ORIGIN), ("x-csrf-token", &stolen)], &cookie),
        (&victim, vec![("x-csrf-token", &stolen)], &bearer),
        (&empty, vec![], &cookie),
        (&empty, vec![("origin", ORIGIN)], &cookie),
        (&empty, vec![("origin", ORIGIN), ("x-csrf-token", &stolen)], &cookie),
        (&empty, vec![foreign], &bearer),
        (&empty, vec![cross], &bearer),
    ];
    for (client, fields, body) in cases {
        let answer = bare(client, "POST /api/auth/login", &fields, body).await;
        assert_eq!(answer.status, 403, "{fields:?} {body}");
        assert!(cookies(&answer).is_empty(), "{fields:?}");
    }
    // Planting the attacker's own pair is no use either as long as the page cannot set the header.
    victim.jar.clone_from(&attacker.jar);
    assert_eq!(bare(&victim, "POST /api/auth/login", &[foreign], &cookie).await.status, 403);
    assert_eq!(bare(&victim, "POST /api/auth/login", &[], &cookie).await.status, 403);
    // A client that is no browser needs none of it (R051), and gets no cookie.
    let answer = bare(&empty, "POST /api/auth/login", &[], &bearer).await;
    assert_eq!(answer.status, 200);
    assert!(cookies(&answer).is_empty());
}

/// R018, A26: signing out needs the right origin or the right token, nothing of both from another site will do; and it
/// works when the CSRF cookie has expired.
#[tokio::test]
async fn logout_from_another_site_is_refused() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    for path in ["/api/auth/logout", "/api/auth/sessions/logout"] {
        let line = format!("POST {path}");
        let mut client = world.signed_in(ANN).await;
        let csrf = client.jar[CSRF].clone();
        for fields in [
            vec![("origin", "https://evil.example")],
            vec![("origin", "https://evil.example"), ("x-csrf-token", csrf.as_str())],
            vec![("origin", "null")],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("sec-fetch-site", "none")],
            vec![("referer", "http://127.0.0.1:8080/")],
            vec![("sec-fetch-site", "cross-site"), ("origin", ORIGIN)],
            vec![],
            vec![("x-csrf-token", "x")],
        ] {
            let answer = bare(&client, &line, &fields, "").await;
            assert_eq!(answer.status, 403, "{fields:?}");
            assert!(cookies(&answer).is_empty(), "{fields:?}");
        }
        assert_eq!(client.status().await, 200);
        client.jar.remove(CSRF);
        let answer = bare(&client, &line, &[("origin", ORIGIN)], "").await;
        assert_eq!(answer.status, 200);
        let set = cookies(&answer);
        assert!(is_removal(&set[SESSION]) && is_removal(&set[CSRF]), "{set:?}");
        assert_eq!(client.status().await, 401);
    }
    // Without any word of its origin, the token speaks for it.
    let client = world.signed_in(ANN).await;
    let csrf = client.jar[CSRF].clone();
    assert_eq!(bare(&client, "POST /api/auth/logout", &[("x-csrf-token", &csrf)], "").await.status, 200);
}

/// R051, R009: bearer requests need no CSRF token; with a cookie beside the token a request is refused.
#[tokio::test]
async fn bearer_requests_need_no_token_and_bear_no_cookie() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (mut bearer, _) = world.with_tokens(ANN).await;
    assert_eq!(bearer.post("/api/auth/sessions/extend", &json!({})).await.status, 200);
    let token = format!("Bearer {}", bearer.bearer.clone().unwrap());
    let foreign = [("authorization", token.as_str()), ("origin", "https://evil.example")];
    let empty = world.client();
    assert_eq!(bare(&empty, "POST /api/auth/sessions/extend", &foreign, "{}").await.status, 200);
    let client = world.signed_in(ANN).await;
    let csrf = client.jar[CSRF].clone();
    let both = [("authorization", token.as_str()), ("x-csrf-token", &csrf), ("origin", ORIGIN)];
    let answer = bare(&client, "POST /api/auth/sessions/extend", &both, "{}").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request".into()));
    // A stray cookie of another kind puts the request under the rules of cookies.
    let mut visitor = world.client();
    visitor.get("/api/csrf").await;
    let answer = bare(&visitor, "POST /api/auth/sessions/extend", &both[..1], "{}").await;
    assert_eq!(answer.code(), "csrf_failed");
}

/// R040, A27: answers and preflights grant nothing to an origin that is not listed, whatever it looks like, and what
/// they say varies by origin.
#[tokio::test]
async fn cors_grants_listed_origins_alone() {
    let world = World::with(Keeping::Memory, |config| {
        config.server.cors_origins = vec![PARTNER.parse::<Origin>().unwrap()];
    })
    .await;
    world.person(ANN, &[]).await;
    let client = world.signed_in(ANN).await;
    for (origin, listed) in [
        (PARTNER, true),
        ("https://panel.example.evil.com", false),
        ("http://panel.example", false),
        ("https://panel.example:8443", false),
        ("https://PANEL.example", false),
        ("https://panel.example/", false),
        ("https://evil.example", false),
        ("null", false),
        ("*", false),
        ("", false),
    ] {
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-csrf-token,content-type"),
        ];
        for (line, fields, status) in [
            ("GET /api/auth/session", &preflight[..1], 200),
            ("OPTIONS /api/auth/login", &preflight, 204),
            ("OPTIONS /nowhere", &preflight, 204),
        ] {
            let answer = bare(&client, line, fields, "").await;
            assert_eq!(answer.status, status, "{line} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), listed.then_some(origin), "{line} {origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), listed.then_some("true"), "{line} {origin}");
            let granted = listed && status == 204;
            assert_eq!(answer.headers.contains_key("access-control-allow-methods"), granted, "{line} {origin}");
            assert_eq!(answer.headers.contains_key("access-control-max-age"), granted, "{line} {origin}");
            let varies = answer.headers.get_all("vary").iter().any(|value| value == "Origin");
            assert!(varies, "{line} {origin}");
            assert!(cookies(&answer).is_empty(), "{line} {origin}");
            if listed {
                let exposed = answer.header("access-control-expose-headers").unwrap();
                for name in ["WWW-Authenticate", "DPoP-Nonce", "RateLimit", "RateLimit-Policy", "Retry-After"] {
                    assert!(exposed.split(", ").any(|one| one == name), "{exposed}");
                }
            }
        }
    }
    let twice = [("origin", PARTNER), ("origin", "https://evil.example")];
    assert_eq!(bare(&client, "GET /api/auth/session", &twice, "").await.header("access-control-allow-origin"), None);
}
