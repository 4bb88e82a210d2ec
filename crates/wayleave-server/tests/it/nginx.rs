//! Forward-auth behind a real nginx, with the configuration that the documentation shows.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::process::{Process, ask};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "let me in for good reason";
const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/forward-auth.md");

/// R028, DESIGN item 14: a signed-in request gets through with the headers; the others do not, spoofed ones included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_lets_through_whom_the_server_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server =
        Process::start(&data, &["server.trusted_proxies=127.0.0.1/32", "server.forwarded_header=x-forwarded-for"])
            .await;
    server.set_up(&data, EMAIL, PASSWORD).await;
    let (application, seen) = application().await;
    let (_nginx, front) = nginx(folder.path(), application, server.address).await;

    let body = json!({ "email": EMAIL, "password": PASSWORD, "transport": "bearer" });
    let answer = ask(front, "POST", "/api/auth/login", &[], Some(&body)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let bearer = format!("Bearer {}", answer.json()["data"]["session_token"].as_str().unwrap());

    let good = ("authorization", bearer.as_str());
    let spoofed = [
        ("x-wayleave-subject", "user:somebody-else"),
        ("X_Wayleave_Subject", "user:somebody-else"),
        ("x-wayleave-permissions", "everything"),
        ("X_Wayleave_Permissions", "everything"),
        ("x-wayleave-assertion", "eyJ"),
    ];
    // Nobody, somebody with a bad token, and somebody who only says who he is: none gets through.
    for fields in [vec![], vec![("authorization", "Bearer nonsense")], spoofed.to_vec()] {
        let answer = ask(front, "GET", "/page", &fields, None).await.unwrap();
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{fields:?}");
    }
    assert!(seen.lock().is_empty(), "the application saw a request that was refused");

    let fields: Vec<_> = std::iter::once(good).chain(spoofed).collect();
    let answer = ask(front, "GET", "/page", &fields, None).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let headers = seen.lock().pop().unwrap();
    let value = |name: &str| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    let subject = value("x-wayleave-subject");
    assert!(subject.len() == 1 && subject[0].starts_with("user:user_"), "{subject:?}");
    assert_eq!(value("x-wayleave-permissions"), ["book:sessions join:groups read:profile write:messages"]);
    assert_eq!(value("x-wayleave-kind"), ["standard"]);
    assert_eq!(value("x-wayleave-assertion")[0].split('.').count(), 3);
    assert!(headers.keys().all(|name| !name.as_str().contains('_')), "{headers:?}");

    // Signed out, it is over at once.
    let answer = ask(front, "POST", "/api/auth/logout", &[good], None).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(ask(front, "GET", "/page", &[good], None).await.unwrap().status, StatusCode::UNAUTHORIZED);
}

/// An application that notes the headers of every request that reaches it.
async fn application() -> (SocketAddr, Arc<Mutex<Vec<HeaderMap>>>) {
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let router = Router::new().fallback(async move |headers: HeaderMap| {
        notes.lock().push(headers);
        "hello"
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

/// nginx with the configuration of the documentation, between an application and a server.
async fn nginx(folder: &Path, application: SocketAddr, wayleave: SocketAddr) -> (Child, SocketAddr) {
    let free = free_address();
    let http = format!(
        "upstream application {{ server {application}; }}\n\
         upstream wayleave {{ server {wayleave}; }}\n\
         server {{ listen {free};\n{snippet}\n}}\n",
        snippet = documented(DOCUMENTATION),
    );
    (start(folder, &http, free).await, free)
}

/// The first nginx configuration of a page.
pub(crate) fn documented(page: &str) -> String {
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```nginx\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Where nothing listens.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A real nginx in the foreground, killed when dropped; `http` is what stands in its block of that name, and it listens
/// at `front`.
pub(crate) async fn start(folder: &Path, http: &str, front: SocketAddr) -> Child {
    let home = folder.join("nginx");
    std::fs::create_dir(&home).unwrap();
    let at = home.display();
    let configuration = format!(
        "daemon off; pid {at}/pid; error_log {at}/error.log; worker_processes 1;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n\
         access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
         uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
         {http}\n\
         }}\n"
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    // Debian keeps it where only root's PATH looks.
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let child = Command::new(program)
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(&home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("nginx is needed: apt-get install nginx");
    while ask(front, "GET", "/", &[], None).await.is_err() {
        tokio::task::yield_now().await;
    }
    child
}
