//! The accept loop over real sockets: malformed and slow requests, many connections, the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wayleave_server::http::body::JsonBody;
use wayleave_server::http::limits::RequestLimits;
use wayleave_server::http::serve::{ServeOptions, Stopped, serve};
use wayleave_server::http::stack::HttpStack;

use crate::load::pass;
use crate::support::stack;

struct Server {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Stopped>,
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

async fn start(options: ServeOptions) -> Server {
    start_on(std::net::Ipv4Addr::LOCALHOST.into(), options).await
}

async fn start_on(ip: std::net::IpAddr, options: ServeOptions) -> Server {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let wait = {
        let (entered, release) = (Arc::clone(&entered), Arc::clone(&release));
        async move || {
            entered.notify_one();
            release.notified().await;
            "waited"
        }
    };
    let routes = Router::new()
        .route("/", get(async || "hello"))
        .route("/json", post(async |JsonBody(_): JsonBody<Value>| "read"))
        .route("/wait", get(wait))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/panic", get(async || -> &'static str { panic!("canary") }));
    let limits = RequestLimits { body_timeout: Duration::from_millis(200), ..RequestLimits::default() };
    let router = HttpStack { limits, ..stack() }.wrap(routes);
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(serve(listener, router, options, stop.clone()));
    Server { address, stop, task, entered, release }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // The server may reset a connection whose bytes it refused to read.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// More than the buffers of two sockets hold.
const LARGE: usize = 32 << 20;

/// A connection on which a large answer goes out is not at rest, however long its client takes to read it.
#[tokio::test]
async fn a_large_answer_is_not_cut_off() {
    let short = Duration::from_millis(300);
    let server = start(ServeOptions { idle_timeout: short, write_timeout: short, ..ServeOptions::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut read, mut part) = (0, vec![0; LARGE / 64]);
    let started = tokio::time::Instant::now();
    loop {
        let length = stream.read(&mut part).await.unwrap();
        if length == 0 {
            break;
        }
        read += length;
        // Slower than the server's patience with a connection at rest, and never still for that long.
        if started.elapsed() < 5 * short {
            pass(short / 10).await;
        }
    }
    assert!(read > LARGE, "{read}");
    assert!(started.elapsed() >= 5 * short);
}

/// A76: requests with two lengths, broken heads or too many fields get a refusal and one only.
#[tokio::test]
async fn malformed_requests_are_refused() {
    let server = start(ServeOptions::default()).await;
    let json = "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let smuggled = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let fields = "a: b\r\n".repeat(10_000);
    for (text, status) in [
        (format!("{json}Content-Length: 1\r\nContent-Length: 2\r\n\r\n1{smuggled}"), "400"),
        (format!("{json}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"), "411"),
        (format!("{json}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n{smuggled}"), "411"),
        (format!("{json}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"), "400"),
        (format!("{json}Content-Length: +1\r\n\r\n1{smuggled}"), "400"),
        (format!("{json}Content-Length: 9999999\r\n\r\n1"), "413"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "c=v; ".repeat(20_000)), "431"),
        ("GET / HTTP/1.1\r\nHost: x\r\na: b\0c\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(), "400"),
        ("G\x01ET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = server.exchange(text.as_bytes()).await;
        let shown: String = text.chars().take(160).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?} -> {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shown:?} -> {answer:?}");
    }
    let absolute = "GET http://elsewhere.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert!(server.exchange(absolute.as_bytes()).await.ends_with("hello"));
}

/// R171: the process and even the connection outlive a panic.
#[tokio::test]
async fn a_panic_leaves_the_connection_open() {
    let server = start(ServeOptions::default()).await;
    let text = "GET /panic HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(text.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.ends_with("hello"), "{answer}");
    assert!(!answer.contains("canary"), "{answer}");
}

/// A76: clients that send nothing, half a head, half an HTTP/2 preface or half a body are let go.
#[tokio::test]
async fn slow_clients_are_let_go() {
    let options = ServeOptions { head_timeout: Duration::from_millis(200), ..ServeOptions::default() };
    let server = start(options).await;
    for text in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\na:", "P", "PRI * HTTP/2.0\r\n"] {
        assert_eq!(server.exchange(text.as_bytes()).await, "", "{text:?}");
    }
    let slow = "POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    let answer = server.exchange(slow.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
    let kept = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert!(server.exchange(kept.as_bytes()).await.ends_with("hello"));
}

/// Connections beyond the limit wait until one ends.
#[tokio::test]
async fn connections_are_limited() {
    let server = start(ServeOptions { most_connections: 1, ..ServeOptions::default() }).await;
    let mut first = server.connect().await;
    first.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    server.release.notify_one();
    assert!(read_to_end(&mut first).await.ends_with("waited"));
    assert!(read_to_end(&mut second).await.ends_with("hello"));
}

/// A stop lets running requests finish, closes what rests, and takes no more.
#[tokio::test]
async fn a_stop_drains() {
    let server = start(ServeOptions::default()).await;
    let mut resting = server.connect().await;
    resting.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 64];
    assert!(resting.read(&mut some).await.unwrap() > 0);
    let mut running = server.connect().await;
    running.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    server.stop.cancel();
    read_to_end(&mut resting).await;
    assert!(!server.task.is_finished());
    server.release.notify_one();
    assert!(read_to_end(&mut running).await.ends_with("waited"));
    assert_eq!(server.task.await.unwrap(), Stopped::Drained);
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// What does not finish by the deadline is cut.
#[tokio::test]
async fn a_stop_ends_at_its_deadline() {
    let server = start(ServeOptions { drain_timeout: Duration::from_millis(100), ..ServeOptions::default() }).await;
    let mut running = server.connect().await;
    running.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    server.entered.notified().await;
    server.stop.cancel();
    assert_eq!(server.task.await.unwrap(), Stopped::Cut(1));
    assert_eq!(read_to_end(&mut running).await, "");
}

const GOAWAY: u8 = 7;

/// Sends one HTTP/2 request with the header `x: value` and gives the type of the first frame that answers it.
async fn first_frame_over_http2(server: &Server, value: &[u8]) -> u8 {
    const HEADERS: u8 = 1;
    const END_STREAM_AND_HEADERS: u8 = 0x05;
    let length = u8::try_from(value.len()).unwrap();
    // :method GET, :scheme http, :path /, :authority x, and a literal field without indexing.
    let fields = [&[0x82, 0x86, 0x84, 0x41, 1, b'x', 0x00, 1, b'x', length], value].concat();
    let size = u8::try_from(fields.len()).unwrap();
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream.write_all(&[0, 0, size, HEADERS, END_STREAM_AND_HEADERS, 0, 0, 0, 1]).await.unwrap();
    stream.write_all(&fields).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[8] == 1 || head[3] == GOAWAY {
            return head[3];
        }
    }
}

/// R171, A76: over HTTP/2 a field value with a line break ends the stream or the connection and reaches no
/// handler.
#[tokio::test]
async fn line_breaks_in_http2_fields_are_refused() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    let server = start(ServeOptions::default()).await;
    assert_eq!(first_frame_over_http2(&server, b"a  b").await, HEADERS);
    for value in [b"a\r\nb", b"a\nbc", b"a\0bc"] {
        let answer = first_frame_over_http2(&server, value).await;
        assert!(matches!(answer, RESET | GOAWAY), "{value:?}: {answer}");
    }
}

/// A76: a peer that does not read its answer is cut, also after its connection rested; its place is free for others.
#[tokio::test]
async fn peers_that_do_not_read_are_cut() {
    let options = ServeOptions {
        most_connections: 1,
        idle_timeout: Duration::from_millis(100),
        write_timeout: Duration::from_millis(300),
        ..ServeOptions::default()
    };
    let server = start(options).await;
    let mut silent = server.connect().await;
    silent.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let next = server.exchange(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(next.ends_with("hello"), "{next}");
    let mut reader = server.connect().await;
    reader.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut reader).await.len() > LARGE, "whoever reads gets everything");
}

/// A76: over HTTP/2 a peer that opens no window for its answer is cut once its connection has rested, though it answers
/// every ping.
#[tokio::test]
async fn peers_that_open_no_window_are_cut() {
    const PING: u8 = 6;
    let options = ServeOptions {
        head_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(100),
        write_timeout: Duration::from_millis(200),
        ..ServeOptions::default()
    };
    let server = start(options).await;
    let mut stream = server.connect().await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0, then GET /.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0").await.unwrap();
    stream.write_all(&[0, 0, 6, 1, 5, 0, 0, 0, 1]).await.unwrap();
    stream.write_all(&[0x82, 0x86, 0x84, 0x41, 1, b'x']).await.unwrap();
    let until_the_end = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await.unwrap();
            assert!(!payload.starts_with(b"hello"));
            if head[3] == PING && head[4] == 0 {
                head[4] = 1;
                let _ = stream.write_all(&[&head[..], &payload].concat()).await;
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), until_the_end).await.is_ok(), "the connection is held");
}

/// A76: one peer holds so many connections and no more, and may come back when one ends; this machine and proxies may
/// hold any number.
#[tokio::test]
async fn connections_of_one_peer_are_limited() {
    // No packet is sent: this asks for the address that other machines would see.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|address| address.ip());
    let Some(own) = own.ok().filter(|own| !own.is_loopback()) else { return };
    for (ip, exempt, most) in [
        (own, Vec::new(), 2),
        (own, vec![ipnet::IpNet::from(own)], usize::MAX),
        (std::net::Ipv4Addr::LOCALHOST.into(), Vec::new(), usize::MAX),
    ] {
        let server = start_on(ip, ServeOptions { most_of_one_peer: 2, exempt, ..ServeOptions::default() }).await;
        let mut held = Vec::new();
        for count in 0..4 {
            let mut stream = server.connect().await;
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
            let mut some = [0; 64];
            let read = stream.read(&mut some).await.unwrap_or(0);
            assert_eq!(read > 0, count < most, "{ip} {count}");
            held.push(stream);
        }
        held.clear();
        let again = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        while !server.exchange(again).await.ends_with("hello") {
            tokio::task::yield_now().await;
        }
    }
}
