//! What every answer carries, what cookies look like on the wire, and that reading changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use utoipa::openapi::HttpMethod;
use wayleave_server::config::{CookieName, Origin};
use wayleave_server::router;
use wayleave_testkit::StoreVerb;

use super::{ANN, CSRF, PRE_SESSION, SESSION, cookies, is_removal, unknown_token};
use crate::world::{Keeping, PASSWORD, World};

/// Every route of the table, with something in place of path parameters.
fn routes() -> Vec<(String, String)> {
    router::table()
        .iter()
        .map(|row| {
            let (path, method) = row.route().unwrap();
            let method = match method {
                HttpMethod::Get => "GET",
                HttpMethod::Put => "PUT",
                HttpMethod::Post => "POST",
                HttpMethod::Delete => "DELETE",
                HttpMethod::Patch => "PATCH",
                HttpMethod::Head | HttpMethod::Options | HttpMethod::Trace => panic!("{path}: not in the table"),
            };
            (method.to_owned(), path.replace("{id}", "x").replace("{name}", "x"))
        })
        .collect()
}

/// R010, R031, R034, R035: the cookies of a sign-in, whole, with lifetimes exact to the second.
#[tokio::test]
async fn cookies_of_a_sign_in() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    for (remember, seconds) in [(false, 86_400), (true, 2_592_000)] {
        let mut client = world.client();
        let answer = client.get("/api/csrf").await;
        let set = cookies(&answer);
        assert_eq!(set.keys().collect::<Vec<_>>(), [PRE_SESSION, CSRF]);
        assert!(set[PRE_SESSION].ends_with("; Max-Age=86400; Path=/; Secure; HttpOnly; SameSite=Lax"), "{set:?}");
        let body = json!({ "email": ANN, "password": PASSWORD, "rememberMe": remember });
        let answer = client.post("/api/auth/login", &body).await;
        let set = cookies(&answer);
        let names: Vec<_> = set.keys().map(String::as_str).collect();
        assert_eq!(names, [SESSION, PRE_SESSION, "__Secure-device", CSRF]);
        let token = client.token();
        assert_eq!(
            set[SESSION],
            format!("{SESSION}={token}; Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Lax")
        );
        let csrf = &client.jar[CSRF];
        assert_eq!(set[CSRF], format!("{CSRF}={csrf}; Max-Age={seconds}; Path=/; Secure; SameSite=Lax"));
        assert!(set["__Secure-device"].ends_with("; Path=/api/auth; Secure; HttpOnly; SameSite=Strict"));
        assert!(is_removal(&set[PRE_SESSION]));
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!body.contains(&token) && !body.contains("wl_"), "{body}");
        let expire = answer.json()["data"]["session"]["expire"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert_eq!(expire.as_second() - world.app.now().as_seconds(), seconds);
    }
}

/// R013, R014, R031: the cookie's session ends on the server when the cookie does, remembered or not.
#[tokio::test]
async fn the_server_ends_what_the_cookie_ends() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    for (remember, days) in [(false, 1), (true, 30)] {
        let mut client = world.client();
        client.get("/api/csrf").await;
        let body = json!({ "email": ANN, "password": PASSWORD, "rememberMe": remember });
        assert_eq!(client.post("/api/auth/login", &body).await.status, 200);
        let step = std::time::Duration::from_secs(20 * 60);
        for _ in 0..days * 72 - 1 {
            world.pass(step);
            assert_eq!(client.get("/api/auth/user").await.status, 200);
        }
        // The user was there all the time; the absolute limit does not care.
        world.pass(step - std::time::Duration::from_secs(1));
        assert_eq!(client.get("/api/auth/user").await.status, 200);
        world.pass(std::time::Duration::from_secs(1));
        let answer = client.get("/api/auth/user").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "session_expired".into()));
        assert!(is_removal(&cookies(&answer)[SESSION]));
    }
}

/// R031: another name, as a Kafkasder-shaped deployment has it, keeps every other property.
#[tokio::test]
async fn the_cookie_can_have_another_name() {
    let world = World::with(Keeping::Memory, |config| {
        config.cookies.name = "auth-session".parse::<CookieName>().unwrap();
        config.cookies.same_site = wayleave_server::config::SameSite::Strict;
    })
    .await;
    world.person(ANN, &[]).await;
    let mut client = world.client();
    let answer = client.sign_in(ANN, PASSWORD).await;
    let cookie = cookies(&answer)["auth-session"].clone();
    assert!(cookie.ends_with("; Max-Age=86400; Path=/; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(client.get("/api/auth/session").await.status, 200);
    let token = client.jar.remove("auth-session").unwrap();
    client.jar.insert(SESSION.into(), token);
    assert_eq!(client.get("/api/auth/session").await.code(), "session_required");
}

/// R035, R038, R039, A28: on every route and beside them, whatever the answer: not stored, not sniffed, not framed, one
/// request id, and no cookie twice.
#[tokio::test]
async fn every_answer_carries_the_baseline() {
    let world = World::with(Keeping::Memory, |config| {
        config.server.public_url = Some("https://id.example".parse::<Origin>().unwrap());
    })
    .await;
    let beside = ["/", "/nowhere", "/api/auth/session/x.css", "/api/auth/session%2f..", "/api/auth/user;x.js"];
    let mut lines = routes();
    lines.extend(beside.map(|path| ("GET".to_owned(), path.to_owned())));
    lines.push(("OPTIONS".into(), "/api/auth/login".into()));
    lines.push(("TRACE".into(), "/api/auth/login".into()));
    for (method, path) in lines {
        for mut client in [world.client(), world.holding(&unknown_token(4))] {
            let answer = client.ask(&format!("{method} {path}"), None).await;
            cookies(&answer);
            for (name, expected) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("cross-origin-resource-policy", "same-origin"),
                ("strict-transport-security", "max-age=63072000; includeSubDomains"),
            ] {
                assert_eq!(answer.header(name), Some(expected), "{method} {path}: {name}");
            }
            let policy = answer.header("content-security-policy").unwrap();
            for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
                assert!(policy.contains(part), "{method} {path}: {policy}");
            }
            let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
            let referrer = if is_page { "same-origin" } else { "no-referrer" };
            assert_eq!(answer.header("referrer-policy"), Some(referrer), "{method} {path}");
            let public = ["/.well-known/jwks.json", "/openapi.json"].contains(&path.as_str());
            if !public || !answer.status.is_success() {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
            }
            assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{method} {path}");
            assert_eq!(answer.header("server"), None);
        }
    }
}

/// A28: a path that only ends like a static file is nothing at all, signed in or not.
#[tokio::test]
async fn there_is_nothing_below_a_route() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    for route in ["/api/auth/session", "/api/auth/user", "/api/csrf", "/api/auth/sessions/current"] {
        for tail in ["/x.css", "/", "%2fx.css", "%2f..", ";x.css", ".js", "%00.png", "/..%2fx.png", "%23x.css"] {
            let answer = client.get(&format!("{route}{tail}")).await;
            // A whole segment may still be the parameter of a route that is not for reading.
            assert!(matches!(answer.status.as_u16(), 404 | 405), "{route}{tail}: {}", answer.status);
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{route}{tail}");
            assert!(cookies(&answer).is_empty(), "{route}{tail}");
        }
    }
}

/// R041, A22: methods that a path does not have are refused with `Allow`, and no header or parameter renames one.
#[tokio::test]
async fn only_the_methods_of_the_table() {
    let world = World::new().await;
    let mut by_path: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, path) in routes() {
        by_path.entry(path).or_default().insert(method);
    }
    for (path, methods) in by_path {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "TRACE", "PROPFIND", "CONNECT"] {
            if methods.contains(method) {
                continue;
            }
            let mut client = world.client();
            client.fields.push(("x-http-method-override".into(), methods.first().unwrap().clone()));
            client.fields.push(("x-http-method".into(), methods.first().unwrap().clone()));
            let answer = client.ask(&format!("{method} {path}?_method={}", methods.first().unwrap()), None).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let allow = answer.header("allow").unwrap();
            assert!(methods.iter().all(|method| allow.split(',').any(|one| one.trim() == method)), "{path}: {allow}");
        }
    }
}

/// R029, R041: no safe method opens, changes or ends a session, whatever the path.
#[tokio::test]
async fn safe_methods_change_nothing() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let before = client.get("/api/auth/sessions").await.body;
    let store = world.store.as_ref().unwrap();
    store.faults().reset();
    for path in routes().into_iter().map(|(_, path)| path).collect::<BTreeSet<_>>() {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let answer = client.ask(&format!("{method} {path}"), None).await;
            assert!(!cookies(&answer).contains_key(SESSION), "{method} {path}");
        }
    }
    for verb in [StoreVerb::Insert, StoreVerb::Update, StoreVerb::Rotate, StoreVerb::Revoke, StoreVerb::Take] {
        assert_eq!(store.faults().calls_of(verb), 0, "{verb:?}");
    }
    assert_eq!(client.get("/api/auth/sessions").await.body, before);
}
