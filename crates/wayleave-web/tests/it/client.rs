//! An application with every kind of handler, and a client with a cookie jar, over every backend.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use tower::ServiceExt as _;
use wayleave::kv::{InMemorySessionStore, RecordRevocations, RecordSessions, RecordSessionsOptions};
use wayleave_core::memory::MemoryStore;
use wayleave_core::routing::RoutingKey;
use wayleave_sqlite::{Options, SqliteStore};
use wayleave_testkit::clock::FakeClock;
use wayleave_web::{
    Authenticated, CsrfToken, Fresh, PermissionName, Reach, RequirePermission, Session, SessionKeys, SessionLayer,
    SessionOptions, SessionRejection, SignIn, SignInError, require,
};

/// Where a layer keeps its sessions.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Memory,
    Sqlite,
    KeyValue,
    Sealed,
    SealedAndRevocable,
}

impl Kept {
    pub(crate) const ALL: [Self; 5] =
        [Self::Memory, Self::Sqlite, Self::KeyValue, Self::Sealed, Self::SealedAndRevocable];

    pub(crate) fn revokes(self) -> bool {
        self != Self::Sealed
    }
}

pub(crate) fn keys(seeds: &[u8]) -> SessionKeys {
    let key =
        |seed: &u8| (0..64).map(|n: u8| format!("{:02x}", n.wrapping_mul(7).wrapping_add(*seed))).collect::<String>();
    SessionKeys::from_hex(&seeds.iter().map(key).collect::<Vec<_>>().join(",")).unwrap()
}

/// A layer, its time, and what must live as long as it.
pub(crate) struct World {
    pub(crate) layer: SessionLayer,
    pub(crate) clock: Arc<FakeClock>,
    source: Source,
    _folder: Option<tempfile::TempDir>,
}

/// What several layers can share.
enum Source {
    Records(Arc<dyn wayleave_core::ports::SessionStore>),
    KeyValue(Arc<InMemorySessionStore>),
    Sealed,
    SealedAndRevocable(Arc<RecordRevocations>),
}

impl Source {
    fn layer(&self, keys: &SessionKeys, options: SessionOptions) -> SessionLayer {
        match self {
            Self::Records(store) => SessionLayer::on_record(Arc::clone(store), keys, options),
            Self::KeyValue(store) => SessionLayer::key_value(Arc::clone(store) as _, keys, options),
            Self::Sealed => SessionLayer::sealed(keys, options),
            Self::SealedAndRevocable(revocations) => {
                SessionLayer::sealed_and_revocable(keys, Arc::clone(revocations) as _, options)
            }
        }
        .unwrap()
    }
}

fn options(clock: &Arc<FakeClock>, adjust: impl FnOnce(&mut SessionOptions)) -> SessionOptions {
    let clock = Arc::clone(clock);
    let mut options = SessionOptions { clock, kept_at_sign_in: vec!["cart".into()], ..SessionOptions::default() };
    adjust(&mut options);
    options
}

impl World {
    pub(crate) async fn new(kept: Kept) -> Self {
        Self::with(kept, |_| {}).await
    }

    pub(crate) async fn with(kept: Kept, adjust: impl FnOnce(&mut SessionOptions)) -> Self {
        let clock = Arc::new(FakeClock::default());
        let options = options(&clock, adjust);
        let mut kept_folder = None;
        let source = match kept {
            Kept::Memory => Source::Records(Arc::new(MemoryStore::default())),
            Kept::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let ring = keys(&[1]).ring().unwrap();
                let sqlite = Options::new(Arc::new(ring), options.entropy.clone(), options.clock.clone());
                let store = SqliteStore::open(folder.path().join("sessions.db"), sqlite).await.unwrap();
                kept_folder = Some(folder);
                Source::Records(Arc::new(store))
            }
            Kept::KeyValue => {
                let store = InMemorySessionStore::with_clock(Duration::from_secs(3600), clock.clone());
                Source::KeyValue(Arc::new(store))
            }
            Kept::Sealed => Source::Sealed,
            Kept::SealedAndRevocable => {
                let (store, routing) = (Arc::new(MemoryStore::default()), RoutingKey::new([3; 16]));
                let records = RecordSessions::new(store, clock.clone(), routing, RecordSessionsOptions::default());
                Source::SealedAndRevocable(Arc::new(RecordRevocations::new(records, clock.clone())))
            }
        };
        let layer = source.layer(&keys(&[1]), options);
        Self { layer, clock, source, _folder: kept_folder }
    }

    /// Another node of the same deployment, or the same one after a restart: other keys, other options, the same store.
    pub(crate) fn another(&self, keys: &SessionKeys, adjust: impl FnOnce(&mut SessionOptions)) -> SessionLayer {
        self.source.layer(keys, options(&self.clock, adjust))
    }

    pub(crate) fn client(&self) -> Client {
        Client::of(&self.layer, BTreeMap::new())
    }
}

struct Write;

impl PermissionName for Write {
    const NAME: &'static str = "write:messages";
}

/// Every kind of handler.
fn app(layer: &SessionLayer) -> Router {
    let may = Router::new().route("/layered", get(|| async { "yes" })).route_layer(require("write:messages"));
    Router::new()
        .route("/plain", any(|| async { "plain" }))
        .route("/read/{key}", any(read))
        .route("/set/{key}/{value}", any(set))
        .route(
            "/remove/{key}",
            any(|session: Session, Path(key): Path<String>| async move {
                session.remove(&key);
            }),
        )
        .route("/set-and-fail/{key}/{value}", any(set_and_fail))
        .route("/set-and-panic", any(set_and_panic))
        .route("/me", any(|session: Authenticated| async move { session.subject().unwrap().to_string() }))
        .route("/may", any(|_: RequirePermission<Write>| async { "yes" }))
        .route("/fresh", any(|_: Fresh| async { "yes" }))
        .route("/csrf", get(|token: CsrfToken| async move { token.as_str().to_owned() }))
        .route("/sign-in/{user}", post(sign_in))
        .route("/again/{user}", post(again))
        .route("/sign-out", post(|session: Session| async move { session.sign_out().await }))
        .route("/sign-out-everywhere", post(everywhere))
        .route("/cas/{key}/{expected}/{new}", post(compare_and_set))
        .merge(may)
        .layer(layer.clone())
}

async fn read(session: Session, Path(key): Path<String>) -> String {
    session.get(&key).unwrap_or_else(|| "nothing".into())
}

async fn set(session: Session, Path((key, value)): Path<(String, String)>) -> Result<(), SessionRejection> {
    Ok(session.set(key, value)?)
}

async fn set_and_fail(session: Session, Path((key, value)): Path<(String, String)>) -> Response {
    session.set(key, value).unwrap();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

async fn set_and_panic(session: Session) {
    session.set("a", "panicked").unwrap();
    panic!("on purpose");
}

async fn sign_in(session: Session, Path(user): Path<String>, request: Request) -> Result<String, SignInError> {
    let remember = request.uri().query() == Some("remember");
    let permissions: &[&str] = if user == "admin" { &["write:messages"] } else { &[] };
    let sign_in = SignIn::user(&user).unwrap().permissions(permissions.iter().copied()).unwrap().remember(remember);
    let signed_in = session.sign_in(sign_in).await?;
    Ok(signed_in.token.map(|token| token.to_string()).unwrap_or_default())
}

async fn again(session: Session, Path(user): Path<String>) -> Result<(), SignInError> {
    session.prove_again(SignIn::user(&user).unwrap()).await.map(drop)
}

async fn everywhere(session: Session) -> Result<String, SessionRejection> {
    session.sign_out_everywhere().await.map(|reach| (reach == Reach::Everywhere).to_string())
}

async fn compare_and_set(
    session: Session,
    Path((key, expected, new)): Path<(String, String, String)>,
) -> Result<String, SessionRejection> {
    let expected = Some(expected).filter(|expected| expected != "nothing");
    session.compare_and_set(&key, expected.as_deref(), Some(&new)).await.map(|done| done.to_string())
}

/// A browser, as far as cookies go.
#[derive(Clone)]
pub(crate) struct Client {
    app: Router,
    pub(crate) jar: BTreeMap<String, String>,
    /// Headers of every request.
    pub(crate) sent: Vec<(&'static str, String)>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self
    }
}

impl Client {
    pub(crate) fn of(layer: &SessionLayer, jar: BTreeMap<String, String>) -> Self {
        Self { app: app(layer), jar, sent: Vec::new() }
    }

    pub(crate) fn cookie_header(&self) -> String {
        self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub(crate) async fn send(&mut self, request: Request) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let answer =
            Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&bytes).into_owned() };
        if self.take(&answer.headers) {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "R038");
        }
        answer
    }

    /// Does what an answer's `Set-Cookie` says, and tells whether it said anything.
    pub(crate) fn take(&mut self, headers: &HeaderMap) -> bool {
        let mut names = Vec::new();
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, rest) = cookie.split_once('=').unwrap();
            assert!(!names.contains(&name), "R035: {name} is set twice");
            names.push(name);
            if cookie.contains("Max-Age=0") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
            }
        }
        !names.is_empty()
    }

    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request {
        let mut request = http::Request::builder().method(method).uri(path);
        if !self.jar.is_empty() {
            request = request.header(COOKIE, self.cookie_header());
        }
        for (name, value) in &self.sent {
            request = request.header(*name, value);
        }
        request.body(body).unwrap()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = self.request(Method::GET, path, Body::empty());
        self.send(request).await
    }

    /// With a `Cookie` header of one's own making.
    pub(crate) async fn get_with_cookies(&mut self, path: &str, header: &str) -> Answer {
        let mut request = self.request(Method::GET, path, Body::empty());
        request.headers_mut().insert(COOKIE, header.parse().unwrap());
        self.send(request).await
    }

    /// As a page of the application does it, with a token.
    pub(crate) async fn post(&mut self, path: &str) -> Answer {
        let token = self.get("/csrf").await.ok().body;
        self.post_with(path, &[("x-csrf-token", &token), ("sec-fetch-site", "same-origin")]).await
    }

    pub(crate) async fn post_with(&mut self, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let mut request = self.request(Method::POST, path, Body::empty());
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        self.send(request).await
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.jar.get("__Host-id").map(String::as_str)
    }
}
