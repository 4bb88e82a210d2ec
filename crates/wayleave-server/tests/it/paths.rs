//! Paths that are not in the table, and what the ones for operators give away.

use std::net::Ipv4Addr;

use http::StatusCode;
use serde_json::json;

use crate::asks::{ask_of, routes};
use crate::process::{self, Process};
use crate::roles::{Held, Scene, role};
use crate::world::{Keeping, World};

/// A28: a path that a cache takes for a file, or that a proxy in front would read differently, is not the route: an
/// answer without anything of the session, and not to be kept.
#[tokio::test]
async fn paths_that_only_resemble_a_route_are_not_it() {
    for route in routes().iter().filter(|route| route.is_safe()) {
        // Whoever would be let in if it were the route.
        let reader = if route.path.starts_with("/api/vault/") { route.right_role() } else { role("administrator") };
        let scene = Scene::new(reader, Held::Cookie).await;
        let mut line = ask_of(route, &scene).line;
        let path = line.split_off("GET ".len());
        let (head, tail) = path.rsplit_once('/').unwrap();
        let first = tail.chars().next().unwrap();
        for target in [
            format!("{path}/x.css"),
            format!("{path}.css"),
            format!("{path};x.css"),
            format!("{path};.js"),
            format!("{path}/"),
            format!("{path}%2f"),
            format!("{path}%2f.."),
            format!("{path}%2fx.css"),
            format!("{path}%3fx.css"),
            format!("{path}%23x.css"),
            format!("{path}%00"),
            format!("{path}%0a"),
            format!("{path}%20"),
            format!("{path}."),
            format!("{path}/."),
            format!("{path}/.."),
            format!("{path}/../x.css"),
            format!("{head}//{tail}"),
            format!("{head}/./{tail}"),
            format!("{head}/x/../{tail}"),
            format!("{head}%2f{tail}"),
            format!("{head}\\{tail}"),
            format!("{head}/{}", tail.to_ascii_uppercase()),
            format!("{head}/%{:02x}{}", u32::from(first), &tail[1..]),
            format!("/x.css/..{path}"),
            format!("/static/..%2f{}", &path[1..]),
            format!("/{path}"),
        ] {
            // A backslash cannot stand in a target at all.
            let Ok(uri) = target.parse::<http::Uri>() else { continue };
            let client = scene.client();
            let mut asked = client.request("GET /", None);
            *asked.uri_mut() = uri;
            let answer = client.ask_as_is(asked).await;
            // Where the last part of a path is an id, it is an unknown one, or one that supports DELETE alone.
            let refused = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
            let same = answer.status == StatusCode::OK && decodes_to(&target, &path);
            assert!(refused || same, "{target}: {}", answer.status);
            if refused {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
                assert_eq!(answer.header("set-cookie"), None, "{target}");
                let body = String::from_utf8_lossy(&answer.body);
                assert!(!body.contains("root@example.com") && !body.contains("success\":true"), "{target}: {body}");
            } else {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
            }
        }
    }
}

/// An id may be written with escapes; it is the same id then (RFC 3986 section 6.2.2.2).
fn decodes_to(target: &str, path: &str) -> bool {
    let Some((before, after)) = target.split_once('%') else { return target == path };
    let code = u8::from_str_radix(&after[..2], 16).unwrap();
    format!("{before}{}{}", char::from(code), &after[2..]) == path
}

/// A80: there is nothing to find beside the table.
#[tokio::test]
async fn there_are_no_other_routes() {
    let scene = Scene::new(role("administrator"), Held::Cookie).await;
    for path in [
        "/",
        "/admin",
        "/api",
        "/api/",
        "/api/admin",
        "/api/admin/",
        "/api/admin/debug",
        "/api/admin/config",
        "/api/admin/env",
        "/api/debug",
        "/api/auth",
        "/api/auth/debug",
        "/api/session",
        "/api/session/create",
        "/api/test",
        "/debug",
        "/debug/pprof",
        "/debug/vars",
        "/actuator",
        "/actuator/env",
        "/actuator/heapdump",
        "/console",
        "/docs",
        "/swagger",
        "/swagger-ui",
        "/redoc",
        "/graphql",
        "/rapidoc",
        "/health",
        "/status",
        "/info",
        "/env",
        "/trace",
        "/dump",
        "/server-status",
        "/phpinfo.php",
        "/.env",
        "/.git/config",
        "/.well-known/",
        "/.well-known/openid-configuration",
        "/robots.txt",
        "/favicon.ico",
        "/wayleave.toml",
        "/wayleave.db",
        "/master.key",
        "/data/",
        "/..%2fwayleave.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let client = scene.client();
            let line = format!("{method} {path}");
            let answer = client.ask_as_is(client.request(&line, None)).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "not_found"), "{line}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{line}");
        }
    }
}

/// A80, A75: numbers name no session, no person, no token and no address, whatever clients put into their requests.
#[tokio::test]
async fn metrics_name_nobody() {
    let scene = Scene::new(role("right user"), Held::Cookie).await;
    let mut client = scene.client();
    client.address = Ipv4Addr::new(203, 0, 113, 77);
    let id = scene.fact("session").to_owned();
    for line in ["GET /api/auth/user", "GET /api/auth/sessions", "GET /canary-path", "BREW /api/auth/user"] {
        client.ask_as_is(client.request(line, None)).await;
    }
    client.ask(&format!("DELETE /api/auth/sessions/{id}"), None).await;
    client.ask(&format!("GET /api/auth/verify?permission={}", "canary-permission"), None).await;
    client.fields.push(("user-agent".into(), "canary-agent".into()));
    client.post("/api/auth/login", &json!({ "email": "canary@example.com", "password": "canary-password" })).await;
    scene.world.settle().await;

    let answer = scene.world.metrics().await;
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("route=\"/api/auth/sessions/{id}\"") && text.contains("session.created"), "{text}");
    let (_, secret) = id.split_once('_').unwrap();
    let user = scene.fact("user");
    for canary in
        ["canary", "example.com", "203.0.113", "wl_", "rt_", "sk_", "user_", secret, user, &client.jar["__Host-id"]]
    {
        assert!(!text.contains(canary), "{canary}: {text}");
    }
}

/// A80, A21: numbers are for whoever has the token; to everybody else, on this machine or not, there are none, since
/// what a proxy on this machine passes on comes from this machine too.
#[tokio::test]
async fn metrics_are_for_whoever_has_the_token() {
    const TOKEN: &str = "b1946ac92492d2347c6235b4d2611184";
    for configured in [false, true] {
        let token = configured.then(|| TOKEN.parse().unwrap());
        let world = World::with(Keeping::Memory, |config| config.metrics.token = token).await;
        let unknown = world.client().get("/nowhere").await.masked();
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 1)] {
            for host in ["127.0.0.1:8080", "localhost", "id.example.org"] {
                let mut client = world.client();
                client.address = address;
                client.fields = vec![("host".into(), host.into())];
                assert_eq!(client.get("/metrics").await.masked(), unknown, "{address} {host}");
                client.bearer = Some(TOKEN.replace('b', "c"));
                assert_eq!(client.get("/metrics").await.masked(), unknown, "{address} {host}");
                client.bearer = Some(TOKEN.to_owned());
                assert_eq!(client.get("/metrics").await.status == 200, configured, "{address} {host}");
                // A token in a cookie is not one that another program sends.
                client.bearer = None;
                client.jar.insert("__Host-id".into(), TOKEN.into());
                assert_eq!(client.get("/metrics").await.status, 404);
            }
        }
    }
}

/// A80: with an address of its own the page is there without a token, and there is nothing else.
#[tokio::test]
async fn metrics_have_a_listener_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Process::start(&folder.path().join("data"), &[&format!("metrics.listen={free}")]).await;
    assert_eq!(server.ask("GET", "/metrics", &[], None).await.unwrap().status, 404);
    let page = process::ask(free, "GET", "/metrics", &[], None).await.unwrap();
    assert_eq!(page.status, 200);
    assert!(page.text().contains("wayleave_uptime_seconds"), "{}", page.text());
    for path in ["/", "/healthz", "/openapi.json", "/api/auth/session", "/setup"] {
        assert_eq!(process::ask(free, "GET", path, &[], None).await.unwrap().status, 404, "{path}");
    }
    assert_eq!(process::ask(free, "POST", "/metrics", &[], None).await.unwrap().status, 405);
    assert_eq!(server.stop().await, Some(0));
    assert!(std::net::TcpStream::connect(free).is_err());
}

/// A80, R040: no page reads the numbers through somebody's browser: not by a name of its own that leads to the listener,
/// and not as one of the front ends that may read everything else.
#[tokio::test]
async fn metrics_are_for_no_page() {
    const FRONT_END: &str = "https://front.example";
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = [
        format!("metrics.listen={free}"),
        "metrics.hosts=metrics.internal".to_owned(),
        format!("server.cors_origins={FRONT_END}"),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Process::start(&folder.path().join("data"), &settings).await;
    let origin = ("origin", FRONT_END);
    for (host, status) in [("127.0.0.1", 200), ("localhost", 200), ("metrics.internal", 200), ("rebound.example", 404)]
    {
        let page = process::ask(free, "GET", "/metrics", &[("host", host), origin], None).await.unwrap();
        assert_eq!(page.status, status, "{host}");
        assert_eq!(page.text().contains("wayleave_uptime_seconds"), status == 200, "{host}");
        assert!(!page.headers.contains_key("access-control-allow-origin"), "{host}");
    }
    let shared = server.ask("GET", "/healthz", &[origin], None).await.unwrap();
    assert_eq!(shared.header("access-control-allow-origin"), Some(FRONT_END));
    assert_eq!(server.stop().await, Some(0));
}
