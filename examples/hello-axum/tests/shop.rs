//! Drives the shop over HTTP, as a browser does, in every place where it can keep its sessions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::process::Stdio;

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

struct Shop {
    process: Child,
    address: String,
}

impl Shop {
    async fn start(place: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_example-hello-axum"))
            .arg(place)
            .env("ADDRESS", "127.0.0.1:0")
            .env("DEMO_PASSWORD", "try-me-out")
            .env("SESSION_ENCRYPTION_KEY", "0123456789abcdef".repeat(8))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("an address");
        let address = line.strip_prefix("listening on http://").unwrap().to_owned();
        Self { process, address }
    }

    async fn restart(mut self, place: &str) -> Self {
        self.process.kill().await.unwrap();
        Self::start(place).await
    }
}

#[derive(Clone, Default)]
struct Browser {
    jar: BTreeMap<String, String>,
}

impl Browser {
    async fn get(&mut self, shop: &Shop, path: &str) -> (StatusCode, String) {
        self.send(shop, "GET", path, String::new()).await
    }

    /// Fills in a form of the page.
    async fn submit(&mut self, shop: &Shop, path: &str, fields: &str) -> StatusCode {
        let (_, page) = self.get(shop, "/").await;
        let token = page.split("name=\"csrf_token\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        self.send(shop, "POST", path, format!("csrf_token={token}&{fields}")).await.0
    }

    async fn send(&mut self, shop: &Shop, method: &str, path: &str, body: String) -> (StatusCode, String) {
        let stream = TcpStream::connect(&shop.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let cookies: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &shop.address)
            .header("cookie", cookies.join("; "))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::<hyper::body::Bytes>::from(body))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            }
        }
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

async fn goes_shopping(place: &str, survives: bool) {
    let shop = Shop::start(place).await;
    let mut browser = Browser::default();
    assert!(browser.get(&shop, "/").await.1.contains("You are a guest. In your cart: []"));
    assert_eq!(browser.submit(&shop, "/cart", "item=apples").await, StatusCode::SEE_OTHER);
    assert_eq!(browser.submit(&shop, "/cart", "item=%3Cb%3Epears").await, StatusCode::SEE_OTHER);
    assert!(browser.get(&shop, "/").await.1.contains("[apples, bpears]"));
    assert_eq!(browser.send(&shop, "POST", "/cart", "item=plums".into()).await.0, StatusCode::FORBIDDEN, "no token");

    assert_eq!(browser.submit(&shop, "/sign-in", "user=ann&password=wrong").await, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.submit(&shop, "/sign-in", "user=ann&password=try-me-out").await, StatusCode::SEE_OTHER);
    assert!(browser.get(&shop, "/").await.1.contains("You are user:ann. In your cart: [apples, bpears]"));
    assert_eq!(browser.get(&shop, "/orders").await.0, StatusCode::FORBIDDEN);

    let shop = shop.restart(place).await;
    assert_eq!(browser.get(&shop, "/").await.1.contains("You are user:ann"), survives, "{place}");

    assert_eq!(browser.submit(&shop, "/sign-in", "user=admin&password=try-me-out").await, StatusCode::SEE_OTHER);
    assert_eq!(browser.get(&shop, "/orders").await, (StatusCode::OK, "no orders yet".into()));
    assert_eq!(browser.submit(&shop, "/sign-out", "").await, StatusCode::SEE_OTHER);
    assert!(browser.get(&shop, "/").await.1.contains("You are a guest. In your cart: []"));
    assert_eq!(browser.get(&shop, "/orders").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn in_memory() {
    goes_shopping("memory", false).await;
}

#[tokio::test]
async fn in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    goes_shopping(folder.path().join("shop.db").to_str().unwrap(), true).await;
}

#[tokio::test]
async fn in_a_sealed_cookie() {
    goes_shopping("cookie", true).await;
}

#[test]
fn it_is_as_short_as_it_says() {
    assert!(include_str!("../src/main.rs").lines().count() < 80);
}
