//! The real router behind a real socket, where the bytes themselves are the attack.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use wayleave_server::assembly;
use wayleave_server::config::Config;
use wayleave_server::http::serve::serve;

use super::{ANN, CSRF, PRE_SESSION, SESSION};
use crate::world::{ORIGIN, PASSWORD, World};

async fn start(world: &World) -> (std::net::SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let options = assembly::serve_options(&Config::with_defaults("/nonexistent".into()));
    tokio::spawn(serve(listener, world.router.clone(), options, stop.clone()));
    (address, stop)
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse before everything is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A06, R007: too many cookies or too large a header hide nothing: the request is refused whole.
#[tokio::test]
async fn an_overflowing_jar_is_refused_whole() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let token = world.signed_in(ANN).await.token();
    let (address, _stop) = start(&world).await;
    let ours = format!("{SESSION}={token}");
    let many: Vec<_> = (0..200).map(|count| format!("c{count}=v")).collect();
    let many = many.join("; ");
    let padding = "v".repeat(64 * 1024);
    for (cookies, expected) in [
        (ours.clone(), 200),
        (format!("a=b; {ours}"), 200),
        (format!("{many}; {ours}"), 431),
        (format!("{ours}; {many}"), 431),
        (format!("a={padding}; {ours}"), 431),
        (format!("{ours}; a={padding}"), 431),
        (format!("a={}; {ours}", "v".repeat(17 * 1024)), 431),
        (format!("{ours}; a={}", "v".repeat(1024 * 1024)), 431),
    ] {
        let head =
            format!("GET /api/auth/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: {cookies}\r\n\r\n");
        let answer = exchange(address, head.as_bytes()).await;
        // A head that is far too large may be cut off before the answer is read.
        let fits = status(&answer) == expected || (cookies.len() > 500_000 && answer.is_empty());
        assert!(fits, "{:.60} ({} bytes): {answer:.200}", cookies, cookies.len());
    }
}

/// A76, A08: two lengths, a length beside chunks, broken fields and lines: refused, once, and nothing that hides behind
/// them is read as a request of its own.
#[tokio::test]
async fn requests_of_two_readings_are_refused() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut client = world.signed_in(ANN).await;
    let (token, csrf) = (client.token(), client.jar[CSRF].clone());
    let (address, _stop) = start(&world).await;
    let smuggled = format!(
        "POST /api/auth/logout HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\nCookie: {SESSION}={token}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let post = format!(
        "POST /api/auth/sessions/extend HTTP/1.1\r\nHost: x\r\nOrigin: {ORIGIN}\r\nx-csrf-token: {csrf}\r\n\
         Content-Type: application/json\r\nCookie: {SESSION}={token}; {CSRF}={csrf}\r\n"
    );
    let fields = "a: b\r\n".repeat(10_000);
    let length = smuggled.len();
    for (what, text, expected) in [
        ("two lengths", format!("{post}Content-Length: 2\r\nContent-Length: {length}\r\n\r\n{{}}{smuggled}"), 400),
        ("two equal lengths", format!("{post}Content-Length: 2, 3\r\n\r\n{{}}{smuggled}"), 400),
        (
            "a length and chunks",
            format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
            411,
        ),
        (
            "chunks and a length",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n{smuggled}"),
            411,
        ),
        ("chunks", format!("{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"), 411),
        ("odd chunks", format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"), 400),
        ("hidden chunks", format!("{post}Transfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{{}}{smuggled}"), 400),
        ("a folded field", format!("{post}X: y\r\n Content-Length: {length}\r\n\r\n{smuggled}"), 400),
        ("a signed length", format!("{post}Content-Length: +2\r\n\r\n{{}}{smuggled}"), 400),
        ("a hexadecimal length", format!("{post}Content-Length: 0x2\r\n\r\n{{}}{smuggled}"), 400),
        ("a negative length", format!("{post}Content-Length: -1\r\n\r\n{smuggled}"), 400),
        ("10^4 fields", format!("{post}{fields}Content-Length: 0\r\n\r\n{smuggled}"), 431),
        ("a NUL in a field", format!("{post}X: a\0b\r\nContent-Length: 2\r\n\r\n{{}}{smuggled}"), 400),
        ("a bare CR in a field", format!("{post}X: a\rb: c\r\nContent-Length: 2\r\n\r\n{{}}{smuggled}"), 400),
        ("a line break in the target", format!("GET /api\r\n/auth HTTP/1.1\r\nHost: x\r\n\r\n{smuggled}"), 400),
        ("no version", format!("GET /api/auth/session\r\n\r\n{smuggled}"), 400),
        ("a huge body", format!("{post}Content-Length: 99999999\r\n\r\n{{}}"), 413),
        ("an endless number", format!("{post}Content-Length: {}\r\n\r\n{{}}", "9".repeat(40)), 400),
    ] {
        let answer = exchange(address, text.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{what}: {answer:.300}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
        assert_eq!(client.status().await, 200, "{what}: the hidden request ended the session");
    }
}

/// A76: a target in absolute form goes to the same routes and proves nothing of the origin.
#[tokio::test]
async fn absolute_targets_change_nothing() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let client = world.signed_in(ANN).await;
    let (token, csrf) = (client.token(), client.jar[CSRF].clone());
    let (address, _stop) = start(&world).await;
    for (target, expected) in [
        ("http://elsewhere.example/api/auth/session", 200),
        ("http://127.0.0.1:8080/api/auth/session", 200),
        ("http://elsewhere.example/", 404),
        ("//elsewhere.example/api/auth/session", 404),
        ("/api/../api/auth/session", 404),
        ("/api/auth/%73ession", 404),
        ("*", 404),
    ] {
        let text =
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: {SESSION}={token}\r\n\r\n");
        let answer = exchange(address, text.as_bytes()).await;
        let is_refused = expected == 404 && matches!(status(&answer), 400 | 404);
        assert!(status(&answer) == expected || is_refused, "{target}: {answer:.200}");
    }
    for (target, origin, expected) in [
        ("http://evil.example/api/auth/sessions/extend", "http://evil.example", 403),
        ("http://evil.example/api/auth/sessions/extend", ORIGIN, 200),
    ] {
        let text = format!(
            "POST {target} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nOrigin: {origin}\r\n\
             x-csrf-token: {csrf}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
             Cookie: {SESSION}={token}; {CSRF}={csrf}\r\n\r\n{{}}"
        );
        assert_eq!(status(&exchange(address, text.as_bytes()).await), expected, "{target} {origin}");
    }
}

/// A28, R035, R038: a whole sign-in on the wire: nothing stored, no cookie twice, no cookie in a body.
#[tokio::test]
async fn a_sign_in_on_the_wire() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let (address, _stop) = start(&world).await;
    let first = exchange(address, b"GET /api/csrf HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let cookie = |answer: &str, name: &str| {
        let start = format!("set-cookie: {name}=");
        assert_eq!(answer.matches(&start).count(), 1, "{name}: {answer}");
        answer.split(&start).nth(1).unwrap().split(';').next().unwrap().to_owned()
    };
    let (pre, csrf) = (cookie(&first, PRE_SESSION), cookie(&first, CSRF));
    let body = json!({ "email": ANN, "password": PASSWORD }).to_string();
    let text = format!(
        "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {ORIGIN}\r\nx-csrf-token: {csrf}\r\n\
         Content-Type: application/json\r\nCookie: {PRE_SESSION}={pre}; {CSRF}={csrf}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(address, text.as_bytes()).await;
    assert_eq!(status(&answer), 200, "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("cache-control: no-store\r\n"), "{head}");
    let token = cookie(head, SESSION);
    assert_eq!(token.len(), 54);
    cookie(head, CSRF);
    cookie(head, PRE_SESSION);
    assert!(!body.contains("wl_") && !body.contains(&csrf), "{body}");
}
