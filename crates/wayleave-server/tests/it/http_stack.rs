//! What every answer carries and what every request is given: headers, ids, addresses, rate limits, log lines.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::middleware::from_fn_with_state;
use axum::response::Html;
use axum::routing::get;
use axum::{Extension, Router};
use http::{Request, StatusCode};
use tracing_subscriber::fmt::MakeWriter;
use wayleave_server::http::client_address::{ClientAddress, ForwardingHeader, TrustedProxies};
use wayleave_server::http::headers::{SecurityHeaders, StrictTransport};
use wayleave_server::http::rate_limit::{MonotonicClock, RateLimit, RateLimitPolicy, rate_limit};
use wayleave_server::http::request_id::RequestId;
use wayleave_server::http::stack::HttpStack;

use crate::support::{request, send, stack};

fn routes() -> Router {
    Router::new()
        .route("/json", get(async || axum::Json(1)))
        .route("/page", get(async || Html("<p>x</p>")))
        .route("/cached", get(async || ([("cache-control", "public, max-age=60")], "x")))
        .route("/cookie", get(async || ([("cache-control", "public"), ("set-cookie", "a=b")], "x")))
        .route("/id", get(async |Extension(id): Extension<RequestId>| id.as_str().to_owned()))
        .route("/client", get(async |Extension(client): Extension<ClientAddress>| client.ip().to_string()))
        .route("/sessions/{id}", get(async || "x"))
}

fn from_peer(peer: &str, mut request: Request<axum::body::Body>) -> Request<axum::body::Body> {
    let peer: SocketAddr = peer.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

/// R039, R038: the baseline of headers, on answers and errors alike.
#[tokio::test]
async fn every_answer_carries_the_baseline() {
    let router = stack().wrap(routes());
    for path in ["/json", "/nowhere", "/page"] {
        let answer = send(&router, request(&format!("GET {path}"), &[], "")).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000; includeSubDomains"));
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.split("; ").any(|held| held == part), "{path}: {policy}");
        }
        let is_page = path == "/page";
        assert_eq!(answer.header("referrer-policy"), Some(if is_page { "same-origin" } else { "no-referrer" }));
        assert_eq!(answer.header("cross-origin-opener-policy"), is_page.then_some("same-origin"));
    }
    let plain = HttpStack { headers: SecurityHeaders { strict_transport: StrictTransport::Off }, ..stack() };
    let answer = send(&plain.wrap(routes()), request("GET /json", &[], "")).await;
    assert_eq!(answer.header("strict-transport-security"), None);
}

/// R038, A28: a route may allow caching, but not of an answer that sets a cookie.
#[tokio::test]
async fn cookies_are_never_cached() {
    let router = stack().wrap(routes());
    let answer = send(&router, request("GET /cached", &[], "")).await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
    let answer = send(&router, request("GET /cookie", &[], "")).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

fn trusting() -> HttpStack {
    let proxies =
        TrustedProxies { networks: vec!["10.0.0.0/8".parse().unwrap()], header: ForwardingHeader::XForwardedFor };
    HttpStack { proxies, ..stack() }
}

/// A21: ids are made here, unless a trusted proxy sends a well-formed one.
#[tokio::test]
async fn request_ids_come_from_here_or_from_a_trusted_proxy() {
    let router = trusting().wrap(routes());
    let ask = async |peer: &str, fields: &[(&str, &str)]| {
        let answer = send(&router, from_peer(peer, request("GET /id", fields, ""))).await;
        let id = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
        id
    };
    let long = "a".repeat(65);
    for (peer, fields) in [
        ("203.0.113.9:1", vec![("x-request-id", "chosen")]),
        ("10.0.0.1:1", vec![]),
        ("10.0.0.1:1", vec![("x-request-id", "a b")]),
        ("10.0.0.1:1", vec![("x-request-id", "")]),
        ("10.0.0.1:1", vec![("x-request-id", &long)]),
        ("10.0.0.1:1", vec![("x-request-id", "a\"b")]),
        ("10.0.0.1:1", vec![("x-request-id", "one"), ("x-request-id", "two")]),
    ] {
        let id = ask(peer, &fields).await;
        assert!(id.starts_with("req_") && id.len() == 26, "{peer} {fields:?}: {id}");
    }
    assert_eq!(ask("10.0.0.1:1", &[("x-request-id", "chosen-1.2_3")]).await, "chosen-1.2_3");
    assert_ne!(ask("10.0.0.1:1", &[]).await, ask("10.0.0.1:1", &[]).await);
}

/// Without entropy requests still have names that differ.
#[tokio::test]
async fn request_ids_do_not_need_entropy() {
    let entropy = wayleave_testkit::SeededEntropy::new(1);
    entropy.fail_after(0);
    let router = HttpStack { entropy: Arc::new(entropy), ..stack() }.wrap(routes());
    let ids =
        [send(&router, request("GET /id", &[], "")).await.body, send(&router, request("GET /id", &[], "")).await.body];
    assert_ne!(ids[0], ids[1]);
}

/// R028, A21: handlers see the client behind trusted proxies, and the peer otherwise.
#[tokio::test]
async fn handlers_see_the_client() {
    let router = trusting().wrap(routes());
    let spoof = [("x-forwarded-for", "198.51.100.7")];
    for (peer, expected) in [("203.0.113.9:1", "203.0.113.9"), ("10.0.0.1:1", "198.51.100.7")] {
        let answer = send(&router, from_peer(peer, request("GET /client", &spoof, ""))).await;
        assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    }
    let answer = send(&router, request("GET /client", &spoof, "")).await;
    assert_eq!(String::from_utf8(answer.body).unwrap(), "::");
}

/// R104, R028: the layer counts clients, not what they claim, and says how much is left.
#[tokio::test]
async fn rate_limits_count_clients() {
    let policy = RateLimitPolicy {
        name: "probe",
        quota: NonZeroU32::new(2).unwrap(),
        window: Duration::from_secs(60),
        site_multiple: None,
        most_keys: 100,
    };
    let limit = Arc::new(RateLimit::new(policy, MonotonicClock::new(|| Duration::from_secs(5))).unwrap());
    let router = trusting().wrap(routes().layer(from_fn_with_state(limit, rate_limit)));
    let ask = async |peer: &str, forwarded: &str| {
        let fields = [("x-forwarded-for", forwarded), ("accept", "application/problem+json")];
        send(&router, from_peer(peer, request("GET /json", &fields, ""))).await
    };
    let first = ask("203.0.113.9:1", "1.1.1.1").await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.header("ratelimit"), Some("\"probe\";r=1;t=30"));
    assert_eq!(first.header("ratelimit-policy"), Some("\"probe\";q=2;w=60"));
    assert_eq!(ask("203.0.113.9:2", "2.2.2.2").await.status, StatusCode::OK);
    let refused = ask("203.0.113.9:3", "3.3.3.3").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(refused.header("ratelimit"), Some("\"probe\";r=0;t=30"));
    assert_eq!(refused.json()["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(refused.json()["violated-policies"], serde_json::json!(["probe"]));
    assert_eq!(ask("10.0.0.1:1", "203.0.113.10").await.status, StatusCode::OK);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// R164, R165: a log line names the request, the route's pattern and the outcome, and nothing that the client sent.
#[tokio::test]
async fn log_lines_hold_no_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let router = trusting().wrap(routes());
    let fields = [
        ("cookie", "__Host-id=canary-cookie"),
        ("authorization", "Bearer canary-token"),
        ("x-csrf-token", "canary-csrf"),
        ("user-agent", "canary-agent\u{9b}31m"),
        ("x-forwarded-for", "198.51.100.77"),
    ];
    let asked = request("GET /sessions/canary-path?access_token=canary-query", &fields, "");
    let answer = send(&router, from_peer("10.0.0.1:1", asked)).await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    send(&router, request("GET /canary-missing", &fields, "")).await;
    drop(guard);

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in [id.as_str(), "method=GET", "route=\"/sessions/{id}\"", "status=200", "network=198.51.100.0/24"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(text.contains("route=\"unmatched\"") && text.contains("code=\"not_found\""), "{text}");
    assert!(!text.contains("canary") && !text.contains("198.51.100.77"), "{text}");
}
