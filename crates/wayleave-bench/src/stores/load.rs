//! Requests that open, change and end sessions: connections that ask again as soon as they are answered, each time with
//! another cookie. `wrk` can only send the same one.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::http::head::Head;
use crate::measure::Samples;
use crate::problem::Problem;

/// As many as `wrk` has.
pub(super) const CONNECTIONS: usize = 32;
/// A server that takes longer for an answer is not measured.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
}

/// Which cookies are sent.
pub(super) enum Cookies {
    /// None. Those that come back are collected.
    None,
    /// One for each connection, which goes on with what it gets for it.
    Kept(Vec<String>),
    /// Each once.
    Once(Vec<String>),
}

/// What became of a load.
pub(super) struct Done {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// What 99 of 100 requests took at most, in microseconds.
    pub(super) p99_micros: f64,
    /// The cookies at the end: those that were collected, or that the connections went on with.
    pub(super) cookies: Vec<String>,
}

/// Asks for `length`, or until every cookie was sent that is to be sent once.
pub(super) fn run(address: SocketAddr, target: Target, cookies: Cookies, length: Duration) -> Result<Done, Problem> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Problem::Connection)?;
    runtime.block_on(ask_all(address, target, cookies, length))
}

async fn ask_all(address: SocketAddr, target: Target, cookies: Cookies, length: Duration) -> Result<Done, Problem> {
    let mut ready = Vec::new();
    for share in shares(cookies) {
        let stream = TcpStream::connect(address).await.map_err(Problem::Connection)?;
        stream.set_nodelay(true).map_err(Problem::Connection)?;
        ready.push(Connection { stream, target, share, buffer: Vec::new(), micros: Vec::new(), failed: 0 });
    }
    let start = Instant::now();
    let mut running: JoinSet<_> = ready.into_iter().map(|connection| connection.ask_until(start + length)).collect();
    let (mut micros, mut cookies, mut failed) = (Vec::new(), Vec::new(), 0);
    while let Some(ended) = running.join_next().await {
        let connection = ended.map_err(|_| Problem::Thread)?.map_err(Problem::Connection)?;
        micros.extend(connection.micros);
        failed += connection.failed;
        cookies.extend(connection.share.left());
    }
    let took = start.elapsed();
    let requests = u64::try_from(micros.len()).unwrap_or(u64::MAX);
    if failed > 0 || requests == 0 {
        return Err(Problem::Load { failed, all: requests });
    }
    let p99_micros = Samples::new(micros).at_hundredth(99);
    Ok(Done { requests, per_second: requests as f64 / took.as_secs_f64(), p99_micros, cookies })
}

/// What one connection has of the cookies.
enum Share {
    Collected(Vec<String>),
    Kept(String),
    Once(std::vec::IntoIter<String>),
}

impl Share {
    fn left(self) -> Vec<String> {
        match self {
            Self::Collected(cookies) => cookies,
            Self::Kept(cookie) => vec![cookie],
            Self::Once(unsent) => unsent.collect(),
        }
    }
}

fn shares(cookies: Cookies) -> Vec<Share> {
    match cookies {
        Cookies::None => (0..CONNECTIONS).map(|_| Share::Collected(Vec::new())).collect(),
        Cookies::Kept(cookies) => cookies.into_iter().take(CONNECTIONS).map(Share::Kept).collect(),
        Cookies::Once(mut cookies) => {
            let share =
                |left: usize, cookies: &mut Vec<String>| cookies.split_off(cookies.len() - cookies.len() / left);
            let shares = (1..=CONNECTIONS).rev().map(|left| share(left, &mut cookies));
            shares.filter(|share| !share.is_empty()).map(|share| Share::Once(share.into_iter())).collect()
        }
    }
}

struct Connection {
    stream: TcpStream,
    target: Target,
    share: Share,
    buffer: Vec<u8>,
    micros: Vec<f64>,
    /// Answers that were no success.
    failed: u64,
}

impl Connection {
    async fn ask_until(mut self, end: Instant) -> std::io::Result<Self> {
        while Instant::now() < end {
            let sent = match &mut self.share {
                Share::Collected(_) => None,
                Share::Kept(cookie) => Some(cookie.clone()),
                Share::Once(cookies) => match cookies.next() {
                    Some(cookie) => Some(cookie),
                    None => break,
                },
            };
            let start = Instant::now();
            let head = tokio::time::timeout(PATIENCE, self.ask(sent.as_deref())).await??;
            self.micros.push(start.elapsed().as_secs_f64() * 1e6);
            self.failed += u64::from(!head.is_success());
            match &mut self.share {
                Share::Collected(cookies) => cookies.push(merged("", &head.cookies)),
                Share::Kept(cookie) => *cookie = merged(cookie, &head.cookies),
                Share::Once(_) => {}
            }
        }
        Ok(self)
    }

    async fn ask(&mut self, cookie: Option<&str>) -> std::io::Result<Head> {
        let Target { method, path } = self.target;
        // What a browser says of a request of one's own page.
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nsec-fetch-site: same-origin\r\n");
        if let Some(cookie) = cookie {
            request.extend(["cookie: ", cookie, "\r\n"]);
        }
        if method == "POST" {
            request.push_str("content-length: 0\r\n");
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let end = loop {
            self.read_more().await?;
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = self.buffer.get(..end).and_then(|head| std::str::from_utf8(head).ok());
        let head = text.and_then(Head::read).ok_or(ErrorKind::InvalidData)?;
        while self.buffer.len() < end + head.length {
            self.read_more().await?;
        }
        Ok(head)
    }

    async fn read_more(&mut self) -> std::io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// A `Cookie` header's value after an answer has set these: `name=value`, an empty one taking the cookie away.
pub(super) fn merged(sent: &str, set: &[String]) -> String {
    let name = |cookie: &str| cookie.split('=').next().unwrap_or_default().to_owned();
    let replaced = |cookie: &&str| set.iter().any(|newer| name(newer) == name(cookie));
    let kept = sent.split("; ").filter(|cookie| !cookie.is_empty() && !replaced(cookie));
    let newer = set.iter().map(String::as_str).filter(|cookie| !cookie.ends_with('='));
    kept.chain(newer).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, post};

    use super::*;

    /// A server that gives a new number for every cookie, and takes each cookie back.
    fn server() -> SocketAddr {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let give = async || [("set-cookie", format!("id={}; Path=/", NEXT.fetch_add(1, Ordering::Relaxed)))];
            let take = async |headers: HeaderMap| match headers.get("cookie") {
                Some(cookie) if cookie.as_bytes().starts_with(b"id=") => (StatusCode::OK, "well known"),
                _ => (StatusCode::UNAUTHORIZED, ""),
            };
            let router = Router::new().route("/give", post(give)).route("/take", get(take));
            let serve = async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, router).await.unwrap();
            };
            Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
        });
        told.recv().unwrap()
    }

    const GIVE: Target = Target { method: "POST", path: "/give" };
    const TAKE: Target = Target { method: "GET", path: "/take" };
    const SHORT: Duration = Duration::from_millis(100);

    fn count(number: usize) -> u64 {
        u64::try_from(number).unwrap()
    }

    #[test]
    fn cookies_are_collected_kept_and_sent_once() {
        let address = server();
        let made = run(address, GIVE, Cookies::None, SHORT).unwrap();
        let distinct: std::collections::BTreeSet<_> = made.cookies.iter().collect();
        assert_eq!((count(made.cookies.len()), count(distinct.len())), (made.requests, made.requests));
        assert!(made.per_second > 0.0 && made.p99_micros > 0.0);

        let kept = run(address, GIVE, Cookies::Kept(made.cookies[..CONNECTIONS].to_vec()), SHORT).unwrap();
        assert_eq!(kept.cookies.len(), CONNECTIONS);
        assert!(kept.cookies.iter().all(|cookie| !made.cookies.contains(cookie)));

        let few = made.cookies[..CONNECTIONS + 3].to_vec();
        let taken = run(address, TAKE, Cookies::Once(few), Duration::from_secs(60)).unwrap();
        assert_eq!((taken.requests, taken.cookies.len()), (count(CONNECTIONS + 3), 0));
    }

    #[test]
    fn a_load_that_is_refused_is_none() {
        let refused = run(server(), TAKE, Cookies::None, SHORT);
        assert!(matches!(refused, Err(Problem::Load { failed, all }) if failed == all && all > 0));
    }

    #[test]
    fn newer_cookies_take_the_place_of_older_ones() {
        let set = ["id=2".to_owned(), "gone=".to_owned(), "new=x=y".to_owned()];
        assert_eq!(merged("id=1; gone=1; kept=1", &set), "kept=1; id=2; new=x=y");
        assert_eq!(merged("", &[]), "");
    }
}
