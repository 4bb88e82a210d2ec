//! The accept loop: HTTP/1.1 and HTTP/2 with limits on heads, time and connections, and an end within a deadline.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::peers::{MostHeld, Peers};
use super::write_deadline::WriteDeadline;

/// The limits of connections. Times beyond them close the connection without an answer.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub most_connections: usize,
    /// Connections at a time of one peer, which is an IPv4 address or a /64 of IPv6; further ones are closed. This
    /// machine may have any number.
    pub most_of_one_peer: usize,
    /// Connections at a time of one /48 of IPv6, which whoever rents a server may have; further ones are closed.
    pub most_of_one_site: usize,
    /// Peers that may have any number too: proxies.
    pub exempt: Vec<IpNet>,
    /// How long the head of a request may take to arrive, the first one counted from the connection's start. Over
    /// HTTP/1.1 it is also how long a connection may rest between requests.
    pub head_timeout: Duration,
    /// How long a connection may rest without a request, over HTTP/2.
    pub idle_timeout: Duration,
    /// How long a peer may take nothing of what is written to it, and how long a connection may take to end that has
    /// rested for too long.
    pub write_timeout: Duration,
    /// How long requests may go on once the server is told to stop.
    pub drain_timeout: Duration,
    /// Header fields of an HTTP/1.1 request; 431 beyond.
    pub most_headers: usize,
    /// Bytes of a request's head, at least 8 KiB; 431 beyond. Larger than the limit of
    /// [`limits`](super::limits), so that the common case is answered with a body of ours.
    pub most_head_bytes: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub most_streams: u32,
}

impl Default for ServeOptions {
    /// 4096 connections, 256 of one peer and 1024 of one site, 30 s for a head, 60 s of rest, 30 s without reading, 20 s to end, 100 fields, 64 KiB of head, 100 streams.
    fn default() -> Self {
        Self {
            most_connections: 4096,
            most_of_one_peer: 256,
            most_of_one_site: 1024,
            exempt: Vec::new(),
            head_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
            most_headers: 100,
            most_head_bytes: 64 * 1024,
            most_streams: 100,
        }
    }
}

/// What `hyper` takes unless told.
const HYPER_MOST_HEADERS: usize = 100;

/// How serving ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every request was answered.
    Drained,
    /// The deadline passed; so many connections were cut.
    Cut(usize),
}

/// Serves `router` on `listener` until `stop` is cancelled, then finishes what is under way and returns. Every request
/// has the peer's address as [`ConnectInfo`] in its extensions.
pub async fn serve(listener: TcpListener, router: Router, options: ServeOptions, stop: CancellationToken) -> Stopped {
    let places = Arc::new(Semaphore::new(options.most_connections.min(Semaphore::MAX_PERMITS)));
    let most = MostHeld { of_one: options.most_of_one_peer, of_one_site: options.most_of_one_site };
    let peers = Peers::new(most, options.exempt.clone());
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(held) = peers.admit(peer.ip()) else {
                    tracing::debug!("a connection was closed: its peer has too many");
                    continue;
                };
                let connection =
                    Connection { router: router.clone(), peer, options: options.clone(), stop: stop.clone() };
                let cut = cut.clone();
                connections.spawn(async move {
                    let _held = (place, held);
                    tokio::select! {
                        () = connection.run(stream) => {}
                        () = cut.cancelled() => {}
                    }
                });
            }
            // Out of file descriptors, mostly: a pause lets connections end.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                let _ = tokio::time::timeout(Duration::from_millis(100), stop.cancelled()).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(options.drain_timeout, connections.wait()).await.is_ok() {
        return Stopped::Drained;
    }
    let left = connections.len();
    cut.cancel();
    connections.wait().await;
    Stopped::Cut(left)
}

struct Connection {
    router: Router,
    peer: SocketAddr,
    options: ServeOptions,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let Self { router, peer, options, stop } = self;
        // Only costs latency when it fails.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::default());
        let service = {
            let activity = Arc::clone(&activity);
            service_fn(move |request| answer(router.clone(), peer, Arc::clone(&activity), request))
        };
        let builder = builder(&options);
        let stream = WriteDeadline::new(stream, options.write_timeout);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut deadline = Instant::now() + options.head_timeout;
        let mut stage = Stage::Open;
        loop {
            tokio::select! {
                // Whatever a client did wrong on the wire is its own affair.
                _ = connection.as_mut() => return,
                () = stop.cancelled(), if stage == Stage::Open => {
                    stage = Stage::Stopping;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep_until(deadline), if stage != Stage::Stopping => match (stage, activity.rest()) {
                    // Not even one request: covers the time in which the protocol's version is still unknown.
                    (_, Rest::NeverBusy) => return,
                    (_, Rest::Busy) => deadline = Instant::now() + options.idle_timeout,
                    (Stage::Open, Rest::Since(since)) if since + options.idle_timeout > Instant::now() => {
                        deadline = since + options.idle_timeout;
                    }
                    (Stage::Open, Rest::Since(_)) => {
                        stage = Stage::Ending;
                        deadline = Instant::now() + options.write_timeout;
                        connection.as_mut().graceful_shutdown();
                    }
                    // It was answered, and does not take the answer.
                    (Stage::Ending | Stage::Stopping, Rest::Since(_)) => return,
                },
            }
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Stage {
    Open,
    /// It has rested for too long.
    Ending,
    /// The server stops, and cuts what is left at its own deadline.
    Stopping,
}

fn builder(options: &ServeOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(options.most_head_bytes.max(8 * 1024));
    // Said only where it differs: room for a number that was said is filled with zeros at every request.
    if options.most_headers != HYPER_MOST_HEADERS {
        builder.http1().max_headers(options.most_headers);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(options.most_streams)
        .max_header_list_size(u32::try_from(options.most_head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .keep_alive_interval(options.head_timeout)
        .keep_alive_timeout(options.head_timeout);
    builder
}

async fn answer(
    router: Router,
    peer: SocketAddr,
    activity: Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let busy = activity.begin();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.oneshot(request).await?;
    // Most answers are written at once. A connection is not at rest while a large one goes out.
    Ok(match response.body().size_hint().lower() {
        ..=WRITTEN_AT_ONCE => response,
        _ => response.map(|body| Body::new(Kept { body, _busy: busy })),
    })
}

/// The largest answer that counts as done when it begins, in bytes.
const WRITTEN_AT_ONCE: u64 = 256 * 1024;

/// A body that keeps its connection busy.
struct Kept {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many requests of a connection are being answered, and since when none.
#[derive(Default)]
struct Activity(Mutex<State>);

#[derive(Default)]
struct State {
    running: usize,
    rested_since: Option<Instant>,
}

enum Rest {
    NeverBusy,
    Busy,
    Since(Instant),
}

impl Activity {
    fn begin(self: Arc<Self>) -> Busy {
        self.0.lock().running += 1;
        Busy(self)
    }

    fn rest(&self) -> Rest {
        match *self.0.lock() {
            State { running: 0, rested_since: None } => Rest::NeverBusy,
            State { running: 0, rested_since: Some(since) } => Rest::Since(since),
            State { .. } => Rest::Busy,
        }
    }
}

struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.running = state.running.saturating_sub(1);
        state.rested_since = Some(Instant::now());
    }
}
