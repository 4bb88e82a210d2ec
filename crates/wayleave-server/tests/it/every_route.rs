//! What holds for every route alike: headers, methods, media types, sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request};
use serde_json::json;
use wayleave_server::access::{ActivityRule, Demand};
use wayleave_server::router::Bodies;

use crate::asks::{Content, FORM, JSON, OCTETS, ask_of, routes, with_body};
use crate::roles::{Held, Scene, role};
use crate::support::{Answer, request};

/// The only answers that caches may keep, and for how long.
const KEPT: [(&str, &str); 1] = [("GET /.well-known/jwks.json", "public, max-age=300")];

/// R038, R039: answers to whoever may, and to whoever may not.
#[tokio::test]
async fn every_answer_has_the_protective_headers() {
    let mut pages = 0;
    for route in routes() {
        let line = route.line();
        let scene = Scene::new(route.right_role(), Held::Bearer).await;
        let client = scene.client();
        let good = client.ask_as_is(ask_of(&route, &scene).request(&client)).await;
        assert_eq!(good.status.is_success(), route.is_there(), "{line}: {}", good.status);
        let stored = KEPT.iter().find(|(kept, _)| *kept == line).map_or("no-store", |(_, how)| *how);
        assert_eq!(good.header("cache-control"), Some(stored), "{line}");
        protected(&line, &good);
        pages += u32::from(good.header("content-type").is_some_and(|media| media.starts_with("text/html")));
        // Two credentials: a refusal that every route has.
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        let bad = client.ask_as_is(request(&ask_of(&route, &scene).line, &twice, "")).await;
        assert_eq!(bad.status, 400, "{line}");
        assert_eq!(bad.header("cache-control"), Some("no-store"), "{line}");
        protected(&line, &bad);
    }
    assert_eq!(pages, 1, "the form for the first administrator");
}

fn protected(line: &str, answer: &Answer) {
    let page = answer.header("content-type").is_some_and(|media| media.starts_with("text/html"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{line}");
    assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{line}");
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{line}");
    assert_eq!(answer.header("referrer-policy"), Some(if page { "same-origin" } else { "no-referrer" }), "{line}");
    assert_eq!(answer.header("cross-origin-opener-policy"), page.then_some("same-origin"), "{line}");
    assert!(answer.header("x-request-id").is_some_and(|id| id.len() >= 16), "{line}");
    let policy = answer.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.split("; ").any(|held| held == part), "{line}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{line}: {policy}");
    for name in ["server", "x-powered-by", "access-control-allow-origin"] {
        assert_eq!(answer.header(name), None, "{line}");
    }
    // Only a deployment under https may pin browsers to it.
    assert_eq!(answer.header("strict-transport-security"), None, "{line}");
}

/// R039: browsers are told to come back over TLS wherever the public address has it, for a year at the least.
#[tokio::test]
async fn every_answer_under_https_asks_for_strict_transport() {
    let https = |config: &mut wayleave_server::config::Config| {
        config.server.public_url = Some("https://id.example.org".parse().unwrap());
    };
    for route in routes() {
        let scene = Scene::with(route.right_role(), Held::Bearer, https).await;
        let client = scene.client();
        let answer = client.ask_as_is(ask_of(&route, &scene).request(&client)).await;
        assert_eq!(answer.status.is_success(), route.is_there(), "{}", route.line());
        let policy = answer.header("strict-transport-security").unwrap();
        let seconds = policy.strip_prefix("max-age=").and_then(|rest| rest.split(';').next()).unwrap();
        assert!(seconds.parse::<u64>().unwrap() >= 365 * 86_400, "{policy}");
        assert!(policy.contains("includeSubDomains"), "{policy}");
    }
}

/// R041: what a path does not support is a 405 that names what it does, and does nothing, even for an administrator.
#[tokio::test]
async fn unsupported_methods_are_refused() {
    let mut supported: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for route in routes() {
        supported.entry(route.path.clone()).or_default().insert(route.method);
    }
    let scene = Scene::new(role("administrator"), Held::Cookie).await;
    let before = scene.state().await;
    let mut sent = 0;
    for route in routes() {
        let mut supported = supported[&route.path].clone();
        if supported.contains("GET") {
            supported.insert("HEAD");
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"] {
            if supported.contains(method) {
                continue;
            }
            let ask = ask_of(&route, &scene);
            let target = ask.line.split_once(' ').unwrap().1;
            let client = scene.client();
            for body in [None, Some(&json!({ "email": "x@example.com", "name": "x", "policy": {} }))] {
                let answer = client.ask_as_is(client.request(&format!("{method} {target}"), body)).await;
                assert_eq!(answer.status, 405, "{method} {target}");
                let allow: BTreeSet<_> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
                assert_eq!(allow, supported, "{method} {target}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {target}");
                sent += 1;
            }
        }
    }
    assert!(sent > 500, "{sent}");
    assert_eq!(scene.state().await, before);
}

/// A22: a request that says in a header, the query or the body that it means another method is the one that it is.
#[tokio::test]
async fn methods_cannot_be_overridden() {
    let scene = Scene::new(role("administrator"), Held::Bearer).await;
    let before = scene.state().await;
    for route in routes().iter().filter(|route| route.method == "DELETE" || route.method == "PATCH") {
        let target = ask_of(route, &scene).line.split_once(' ').unwrap().1.to_owned();
        let glue = if target.contains('?') { '&' } else { '?' };
        for method in ["GET", "POST"] {
            let client = scene.client();
            let line = format!("{method} {target}{glue}_method={}", route.method);
            let mut asked = client.request(&line, Some(&json!({ "_method": route.method })));
            for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
                asked.headers_mut().insert(name, HeaderValue::from_static(route.method));
            }
            let answer = client.ask_as_is(asked).await;
            assert!(method == "GET" || answer.status.is_client_error(), "{line}: {}", answer.status);
        }
    }
    assert_eq!(scene.state().await, before);
}

/// R041, R029, R016, A14: GET, HEAD and OPTIONS change nothing and open no session; only GET keeps one alive, where its
/// route says so.
#[tokio::test]
async fn safe_methods_change_nothing() {
    for route in routes().iter().filter(|route| route.is_safe()) {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let scene = Scene::new(route.right_role(), Held::Cookie).await;
            let before = scene.state().await;
            let client = scene.client();
            scene.world.pass(Duration::from_secs(240));
            let ask = ask_of(route, &scene);
            let target = ask.line.split_once(' ').unwrap().1;
            let answer = client.ask_as_is(client.request(&format!("{method} {target}"), None)).await;
            let line = format!("{method} {target}");
            if method == "OPTIONS" {
                assert_eq!(answer.status, 405, "{line}");
            } else {
                assert_eq!(answer.status.is_success(), route.is_there(), "{line}: {}", answer.status);
            }
            if method == "HEAD" {
                assert!(answer.body.is_empty(), "{line}");
            }
            let counts = method == "GET" && route.rules.activity == ActivityRule::Counts;
            let (_, pending) = scene.world.app.manager.warm();
            assert_eq!(pending, usize::from(counts && route.rules.demand != Demand::Nobody), "{line}");
            // Activity in the vault is written into the record, which counts that.
            let is_use = counts && route.path.starts_with("/api/vault/");
            let compared = |state: String| if is_use { without_revisions(&state) } else { state };
            assert_eq!(compared(scene.state().await), compared(before), "{line}");
        }
    }
}

/// What is kept, but for how often it was changed.
fn without_revisions(state: &str) -> String {
    let mut parts = state.split("revision: Revision(");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').unwrap().1)
}

/// R049, A22: every route that takes JSON takes nothing that a foreign page could send without asking first, even
/// from whoever may. What standards want as a form is taken as nothing else.
#[tokio::test]
async fn other_media_types_are_refused() {
    const OTHERS: [Option<&str>; 8] = [
        None,
        Some("text/plain"),
        Some("multipart/form-data; boundary=x"),
        Some("text/plain; application/json"),
        Some("application/json, text/plain"),
        Some("application/jsonx"),
        Some("application/xml"),
        Some(""),
    ];
    let mut sent = 0;
    for route in routes() {
        let scene = Scene::new(route.right_role(), Held::Cookie).await;
        let before = scene.state().await;
        let ask = ask_of(&route, &scene);
        let taken: &[&str] = match (&ask.body, route.bodies) {
            (_, Bodies::Json) => &[JSON],
            (_, Bodies::Octets) => &[OCTETS],
            (Content::Form(_), Bodies::Any) => &[FORM],
            // The page of the first administrator sends a form; the same is taken as JSON.
            (Content::Json(_), Bodies::Any) => &[JSON, FORM],
            // Forward-auth sees the headers of somebody else's request, whose body it never reads.
            (Content::Nothing | Content::Octets(_), Bodies::Any) => continue,
        };
        let (_, text) = ask.text();
        let text = if text.is_empty() { "{}".to_owned() } else { text };
        let refused = [Some(JSON), Some(FORM)].into_iter().filter(|media| !taken.contains(&media.unwrap()));
        for media in OTHERS.into_iter().chain(refused) {
            let client = scene.client();
            let mut asked = with_body(ask.request(&client), "x/x", &text);
            match media {
                Some(media) => asked.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media)),
                None => asked.headers_mut().remove(CONTENT_TYPE),
            };
            let answer = client.ask_as_is(asked).await;
            let code = answer.code();
            assert_eq!(
                (answer.status.as_u16(), code.as_str()),
                (415, "unsupported_media_type"),
                "{} {media:?}",
                route.line()
            );
            sent += 1;
        }
        assert_eq!(scene.state().await, before, "{}", route.line());
    }
    assert!(sent > 400, "{sent}");
}

/// R007, A06, A10: one byte too many of anything is refused by every route, before anybody looks at who asks.
#[tokio::test]
async fn sizes_are_limited_everywhere() {
    let cookies = (0..200).map(|n| format!("c{n}=v")).collect::<Vec<_>>().join("; ");
    let cookie = format!("a={}", "v".repeat(16 * 1024 - 1));
    let jwt = format!("Bearer {}", "a".repeat(8 * 1024 + 10));
    for route in routes() {
        let scene = Scene::new(route.right_role(), Held::Bearer).await;
        let before = scene.state().await;
        let ask = ask_of(&route, &scene);
        let check = async |what: &str, change: &dyn Fn(Request<Body>) -> Request<Body>, status: u16| {
            let client = scene.client();
            let answer = client.ask_as_is(change(ask.request(&client))).await;
            assert_eq!(answer.status.as_u16(), status, "{} {what}", route.line());
        };
        let field = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            move |mut asked: Request<Body>| {
                asked.headers_mut().insert(name, value.clone());
                asked
            }
        };
        let most = match route.bodies {
            Bodies::Octets => 16 << 20,
            Bodies::Json | Bodies::Any => 64 << 10,
        };
        check("body", &|asked| with_body(asked, JSON, &"1".repeat(most + 1)), 413).await;
        check(
            "declared length",
            &|mut asked| {
                asked.headers_mut().insert(CONTENT_LENGTH, (most + 1).into());
                asked
            },
            413,
        )
        .await;
        check("header", &field("x-long", &"v".repeat(32 * 1024)), 431).await;
        check("cookie", &field("cookie", &cookie), 431).await;
        check("cookies", &field("cookie", &cookies), 431).await;
        check("authorization", &field("authorization", &jwt), 400).await;
        check(
            "target",
            &|mut asked| {
                let glue = if asked.uri().query().is_some() { '&' } else { '?' };
                let target = format!("{}{glue}{}", asked.uri(), "a".repeat(8 * 1024));
                *asked.uri_mut() = target.parse().unwrap();
                asked
            },
            414,
        )
        .await;
        assert_eq!(scene.state().await, before, "{}", route.line());
    }
}

/// R007, A10: tokens of every wrong length are as good as unknown, and no store is asked about them.
#[tokio::test]
async fn tokens_of_a_wrong_length_are_unknown() {
    for route in routes().iter().filter(|route| route.rules.demand != Demand::Nobody) {
        let scene = Scene::new(route.right_role(), Held::Bearer).await;
        let ask = ask_of(route, &scene);
        let good = scene.client().bearer.unwrap();
        let store = scene.world.store.as_ref().unwrap();
        for length in [1, 53, 55, 256, 257, 8192] {
            let text = good.chars().chain(std::iter::repeat('A')).take(length).collect::<String>();
            let mut client = scene.client();
            client.bearer = Some(text);
            store.faults().reset();
            let answer = client.ask_as_is(ask.request(&client)).await;
            let code = answer.code();
            assert_eq!((answer.status.as_u16(), code.as_str()), (401, "session_invalid"), "{} {length}", route.line());
            assert!(store.faults().calls().is_empty(), "{} {length}: {:?}", route.line(), store.faults().calls());
        }
    }
}
