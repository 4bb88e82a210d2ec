//! Drives the application over HTTP, as a browser does, with every store, and restarts it in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Stdio;

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const KEY: &str = "8f1d6c2b7a903e54c1f07d2e9b8a46350d7e1fa2b3c84596e07f1a2b3c4d5e6f\
                   f0e1d2c3b4a5968778695a4b3c2d1e0f1827364554637281900aabbccddeeff1";

struct App {
    process: Child,
    address: String,
}

impl App {
    async fn start(store: &str, file: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_example-tideway"))
            .args(["--store", store, "--file", file])
            .env("ADDRESS", "127.0.0.1:0")
            .env("DEMO_PASSWORD", "try-me-out")
            .env("SESSION_ENCRYPTION_KEY", KEY)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("an address");
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.to_owned();
            }
        };
        Self { process, address }
    }

    async fn restart(mut self, store: &str, file: &str) -> Self {
        self.process.kill().await.unwrap();
        Self::start(store, file).await
    }
}

struct Answer {
    status: StatusCode,
    body: String,
    cookie: Option<String>,
}

/// A browser with one cookie.
#[derive(Clone, Default)]
struct Browser {
    cookie: Option<String>,
}

impl Browser {
    async fn page(&mut self, app: &App) -> String {
        let answer = self.send(app, "GET", "/", "", "same-origin").await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.body.lines().next().unwrap().to_owned()
    }

    async fn post(&mut self, app: &App, path: &str, body: &str) -> StatusCode {
        self.send(app, "POST", path, body, "same-origin").await.status
    }

    async fn send(&mut self, app: &App, method: &str, path: &str, body: &str, site: &str) -> Answer {
        let stream = TcpStream::connect(&app.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &app.address)
            .header("sec-fetch-site", site)
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let body = Full::<hyper::body::Bytes>::from(body.to_owned());
        let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
        let cookie = response.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
        if let Some(cookie) = &cookie {
            self.cookie = if cookie.contains("Max-Age=0") { None } else { cookie.split(';').next().map(str::to_owned) };
        }
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, body: String::from_utf8_lossy(&body).into_owned(), cookie }
    }
}

async fn counts(store: &str, survives: bool) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counter.db");
    let file = file.to_str().unwrap();
    let app = App::start(store, file).await;
    let mut browser = Browser::default();
    assert_eq!(browser.page(&app).await, "<p>You are a guest. Counted: 0</p>");
    assert_eq!(browser.cookie, None, "reading sets nothing");
    let first = browser.send(&app, "POST", "/count", "", "same-origin").await;
    assert_eq!(first.status, StatusCode::SEE_OTHER);
    let set = first.cookie.unwrap();
    assert!(set.starts_with("__Host-id="), "{set}");
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(set.contains(attribute), "{set}");
    }
    browser.post(&app, "/count", "").await;

    // Another site's page cannot count, and a cookie that nobody gave out is none.
    assert_eq!(browser.send(&app, "POST", "/count", "", "cross-site").await.status, StatusCode::FORBIDDEN);
    let planted = format!("__Host-id={}", "a".repeat(64));
    let mut victim = Browser { cookie: Some(planted.clone()) };
    victim.post(&app, "/count", "").await;
    assert_ne!(victim.cookie.as_deref(), Some(planted.as_str()), "an unknown id is not adopted");
    let mut twice = Browser { cookie: Some(format!("{}; {planted}", browser.cookie.clone().unwrap())) };
    assert_eq!(twice.send(&app, "GET", "/", "", "same-origin").await.status, StatusCode::BAD_REQUEST);

    let guest = browser.clone();
    assert_eq!(browser.post(&app, "/sign-in", "user=ann&password=wrong").await, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.post(&app, "/sign-in", "user=ann&password=try-me-out").await, StatusCode::SEE_OTHER);
    assert_ne!(browser.cookie, guest.cookie, "a new id at the sign-in");
    assert_eq!(browser.page(&app).await, "<p>You are ann. Counted: 2</p>");
    // What the guest's cookie named is over, unless the cookie holds the data itself.
    let count = if store == "cookie" { 2 } else { 0 };
    assert_eq!(guest.clone().page(&app).await, format!("<p>You are a guest. Counted: {count}</p>"));
    browser.post(&app, "/count", "").await;

    let app = app.restart(store, file).await;
    let expected = if survives { "<p>You are ann. Counted: 3</p>" } else { "<p>You are a guest. Counted: 0</p>" };
    assert_eq!(browser.page(&app).await, expected, "{store}");
    browser.post(&app, "/sign-in", "user=ann&password=try-me-out").await;
    let signed_in = browser.clone();
    assert_eq!(browser.post(&app, "/sign-out", "").await, StatusCode::SEE_OTHER);
    assert_eq!(browser.page(&app).await, "<p>You are a guest. Counted: 0</p>");
    // A sealed cookie that somebody copied opens until its end, as the README says.
    assert_eq!(signed_in.clone().page(&app).await.contains("You are ann"), store == "cookie");
}

#[tokio::test]
async fn in_memory() {
    counts("memory", false).await;
}

#[tokio::test]
async fn in_sqlite() {
    counts("sqlite", true).await;
}

#[tokio::test]
async fn in_a_sealed_cookie() {
    counts("cookie", true).await;
}
