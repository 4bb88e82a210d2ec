//! Where every route looks for a credential, where it does not, and what it answers to a wrong one.

use std::collections::BTreeMap;

use axum::body::Body;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use serde_json::Value;
use wayleave_server::access::Demand;

use crate::asks::{Route, ask_of, routes};
use crate::roles::{Held, Scene, role};
use crate::support::Answer;

const CHALLENGE: &str = "Bearer realm=\"wayleave\"";

/// The routes that nobody gets anything from without a credential.
fn guarded() -> impl Iterator<Item = Route> {
    routes().into_iter().filter(|route| route.rules.demand != Demand::Nobody)
}

fn with(mut request: Request<Body>, name: &str, value: &str) -> Request<Body> {
    let (name, value): (HeaderName, _) = (name.parse().unwrap(), HeaderValue::from_str(value).unwrap());
    request.headers_mut().append(name, value);
    request
}

/// The body without the request's own id.
fn shape(answer: &Answer) -> Value {
    let mut body = answer.json();
    body["error"].as_object_mut().unwrap().remove("request_id").unwrap();
    body
}

/// Headers without the request's own id.
fn names(answer: &Answer) -> BTreeMap<String, Vec<u8>> {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "x-request-id");
    headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

/// R008, A09: a good token in the query, the path, the body or a header of its own is nothing; the answer is that to a
/// request without any, to the byte. One in the query is written down, since it stands in somebody's log by now.
#[tokio::test]
async fn tokens_count_where_they_belong_alone() {
    for route in guarded() {
        let scene = Scene::new(route.right_role(), Held::Bearer).await;
        let before = scene.state().await;
        let ask = ask_of(&route, &scene);
        let mut nobody = scene.client();
        let token = nobody.bearer.take().unwrap();
        let plain = nobody.ask_as_is(ask.request(&nobody)).await;
        assert_eq!((plain.status.as_u16(), plain.code().as_str()), (401, "session_required"), "{}", route.line());
        let check = async |what: &str, asked: Request<Body>| {
            let answer = nobody.ask_as_is(asked).await;
            assert_eq!(answer.status, 401, "{} {what}", route.line());
            assert_eq!(shape(&answer), shape(&plain), "{} {what}", route.line());
            assert_eq!(names(&answer), names(&plain), "{} {what}", route.line());
        };
        for name in ["access_token", "token", "session", "session_token", "auth-session", "__Host-id", "jwt"] {
            let glue = if ask.line.contains('?') { '&' } else { '?' };
            let asked = crate::asks::Ask { line: format!("{}{glue}{name}={token}", ask.line), ..ask.clone() };
            check(name, asked.request(&nobody)).await;
        }
        for name in
            ["x-session", "x-session-token", "x-session-id", "x-auth-token", "x-access-token", "x-api-key", "token"]
        {
            check(name, with(ask.request(&nobody), name, &token)).await;
            check(name, with(ask.request(&nobody), name, &format!("Bearer {token}"))).await;
        }
        for name in ["proxy-authorization", "x-authorization", "x-forwarded-authorization", "x-original-authorization"]
        {
            check(name, with(ask.request(&nobody), name, &format!("Bearer {token}"))).await;
        }
        for scheme in ["Basic", "Token", "DPoP", "Session", "Bearer1", "BearerX"] {
            check(scheme, with(ask.request(&nobody), "authorization", &format!("{scheme} {token}"))).await;
        }
        // Cookies of other names: case twins, blanks, without a name, in quotes, RFC 2109 (A04, A05).
        for cookie in [
            format!("__host-id={token}"),
            format!("__Host-ID={token}"),
            format!("__Host-id ={token}"),
            format!("  __Host-id={token}"),
            format!("=__Host-id={token}"),
            format!("\"__Host-id\"={token}"),
            format!("$Version=1, __Host-id={token}"),
            format!("id={token}"),
            format!("a=\"; b=__Host-id={token}\""),
        ] {
            let asked = with(with(ask.request(&nobody), "cookie", &cookie), "origin", crate::world::ORIGIN);
            check(&cookie, asked).await;
        }
        // A token in a body that the route does not read it from.
        if route.method != "GET" {
            let body = serde_json::json!({ "access_token": token, "session_token": token });
            check("body", nobody.request(&ask.line, Some(&body))).await;
        }
        assert_eq!(scene.state().await, before, "{}", route.line());
        let rows = scene.world.audit().await;
        assert!(rows.iter().any(|row| &*row.event == "token.in_url"), "{}", route.line());
    }
}

/// R008, A09: a token that is part of the path is a path that does not exist.
#[tokio::test]
async fn tokens_in_paths_lead_nowhere() {
    let scene = Scene::new(role("right user"), Held::Bearer).await;
    let mut nobody = scene.client();
    let token = nobody.bearer.take().unwrap();
    for path in ["/api/auth/user", "/api/auth/session", "/api/auth/verify", "/api/admin/stats"] {
        for target in [
            format!("{path};jsessionid={token}"),
            format!("{path};session={token}"),
            format!("{path}/{token}"),
            format!("/{token}{path}"),
            format!("{path}%3Bjsessionid={token}"),
        ] {
            let answer = nobody.ask_as_is(nobody.request(&format!("GET {target}"), None)).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_found"), "{target}");
            assert!(!String::from_utf8_lossy(&answer.body).contains(&token));
        }
    }
}

/// R009, R051, A03: two credentials are a malformed request on every route, whoever they are of, also where none is
/// needed.
#[tokio::test]
async fn two_credentials_are_refused() {
    for route in routes() {
        let scene = Scene::new(role("right user"), Held::Cookie).await;
        let before = scene.state().await;
        let ask = ask_of(&route, &scene);
        let by_cookie = scene.client();
        let mut nobody = scene.client();
        nobody.jar.clear();
        let own = scene.fact("session_token");
        let service = scene.fact("service_key");
        let cookie = by_cookie.jar["__Host-id"].clone();
        let bearer = |token: &str| format!("Bearer {token}");
        let requests = [
            ("cookie and another session", with(ask.request(&by_cookie), "authorization", &bearer(own))),
            ("cookie and itself", with(ask.request(&by_cookie), "authorization", &bearer(&cookie))),
            ("cookie and service key", with(ask.request(&by_cookie), "authorization", &bearer(service))),
            (
                "two bearers",
                with(with(ask.request(&nobody), "authorization", &bearer(own)), "authorization", &bearer(own)),
            ),
            (
                "bearer and DPoP",
                with(with(ask.request(&nobody), "authorization", &bearer(own)), "authorization", "DPoP abc"),
            ),
            (
                "DPoP and bearer",
                with(with(ask.request(&nobody), "authorization", "DPoP abc"), "authorization", &bearer(own)),
            ),
            ("joined", with(ask.request(&nobody), "authorization", &format!("{}, {}", bearer(own), bearer(own)))),
            ("joined schemes", with(ask.request(&nobody), "authorization", &format!("{}, DPoP abc", bearer(own)))),
            ("two cookies", with(ask.request(&nobody), "cookie", &format!("__Host-id={cookie}; __Host-id={own}"))),
            (
                "twice the same cookie",
                with(ask.request(&nobody), "cookie", &format!("__Host-id={cookie}; __Host-id={cookie}")),
            ),
            (
                "two cookie fields",
                with(
                    with(ask.request(&nobody), "cookie", &format!("__Host-id={own}")),
                    "cookie",
                    &format!("__Host-id={cookie}"),
                ),
            ),
        ];
        for (what, asked) in requests {
            let answer = nobody.ask_as_is(asked).await;
            let line = format!("{} {what}", route.line());
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "invalid_request"), "{line}");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.starts_with(CHALLENGE) && challenge.contains("error=\"invalid_request\""), "{line}");
            assert_eq!(answer.header("set-cookie"), None, "{line}");
        }
        assert_eq!(scene.state().await, before, "{}", route.line());
    }
}

/// R036, A03: a cookie that comes twice is written down.
#[tokio::test]
async fn duplicate_cookies_are_audited() {
    let scene = Scene::new(role("right user"), Held::Cookie).await;
    let mut client = scene.client();
    let cookie = client.jar["__Host-id"].clone();
    client.jar.clear();
    let twice = format!("__Host-id={cookie}; __Host-id=planted");
    let answer = client.ask_as_is(with(client.request("GET /api/auth/user", None), "cookie", &twice)).await;
    assert_eq!(answer.status, 400);
    let rows = scene.world.audit().await;
    assert!(rows.iter().any(|row| &*row.event == "cookie.duplicate"), "{rows:?}");
}

/// R074, R075: what a 401, a 403 and a 400 say in `WWW-Authenticate`, on every route that has them.
#[tokio::test]
async fn challenges_say_what_is_missing() {
    for route in guarded() {
        let line = route.line();
        let scene = Scene::new(route.right_role(), Held::Bearer).await;
        let ask = ask_of(&route, &scene);
        let send = async |authorization: Option<&str>| {
            let mut client = scene.client();
            client.bearer = None;
            let mut asked = ask.request(&client);
            if let Some(value) = authorization {
                asked.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            client.ask_as_is(asked).await
        };
        let nothing = send(None).await;
        assert_eq!((nothing.status.as_u16(), nothing.header("www-authenticate")), (401, Some(CHALLENGE)), "{line}");
        // Of another scheme: as good as nothing.
        let basic = send(Some("Basic YTpi")).await;
        assert_eq!((basic.status.as_u16(), basic.header("www-authenticate")), (401, Some(CHALLENGE)), "{line}");
        let bad = send(Some("Bearer wl_unknown")).await;
        let challenge = bad.header("www-authenticate").unwrap();
        assert_eq!(bad.status, 401, "{line}");
        assert!(challenge.starts_with(&format!("{CHALLENGE}, error=\"invalid_token\"")), "{line}: {challenge}");
        for malformed in [
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "bearer",
            "Bearer a b",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer\ta",
            "Bearer a\tb",
            "Bearer ==",
            "Bearer a=b",
            "Bearer \u{e9}",
            ",Bearer a",
            "=",
        ] {
            let answer = send(Some(malformed)).await;
            let challenge = answer.header("www-authenticate").unwrap();
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "invalid_request"),
                "{line} {malformed:?}"
            );
            assert!(challenge.contains("error=\"invalid_request\""), "{line} {malformed:?}: {challenge}");
        }
    }
    for route in routes().iter().filter(|route| route.rules.demand == Demand::Admin) {
        let scene = Scene::new(role("right user"), Held::Bearer).await;
        let client = scene.client();
        let answer = client.ask_as_is(ask_of(route, &scene).request(&client)).await;
        assert_eq!(answer.status, 403);
        let expected = format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"admin\"");
        assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()), "{}", route.line());
    }
}

/// R075: the scheme's case does not matter, and neither does the number of blanks after it.
#[tokio::test]
async fn schemes_are_compared_without_case() {
    for route in guarded() {
        for scheme in ["bearer ", "BEARER ", "bEaReR ", "Bearer  ", "Bearer     "] {
            let scene = Scene::new(route.right_role(), Held::Bearer).await;
            let ask = ask_of(&route, &scene);
            let mut client = scene.client();
            let token = client.bearer.take().unwrap();
            let asked = with(ask.request(&client), "authorization", &format!("{scheme}{token}"));
            let answer = client.ask_as_is(asked).await;
            assert!(answer.status.is_success(), "{} {scheme:?}: {}", route.line(), answer.status);
        }
    }
}
