//! The real `SessionManagerLayer` and axum over our store.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use tower::ServiceExt as _;
use tower_sessions::{Expiry, Session, SessionManagerLayer};
use wayleave::SystemClock;
use wayleave::kv::{InMemorySessionStore, RecordSessions, RecordSessionsOptions};
use wayleave_core::memory::MemoryStore;
use wayleave_core::routing::RoutingKey;
use wayleave_testkit::failing_store::FailingStore;
use wayleave_tower_sessions::TowerSessionsStore;

fn app(store: TowerSessionsStore) -> Router {
    let layer = SessionManagerLayer::new(store).with_expiry(Expiry::OnInactivity(time::Duration::hours(1)));
    Router::new()
        .route("/count", get(count))
        .route("/cycle", get(async |session: Session| session.cycle_id().await.unwrap()))
        .route("/flush", get(async |session: Session| session.flush().await.unwrap()))
        .route("/delete", get(async |session: Session| session.delete().await.unwrap()))
        .layer(layer)
}

async fn count(session: Session) -> Result<String, StatusCode> {
    let failed = |_| StatusCode::SERVICE_UNAVAILABLE;
    let next = session.get::<u32>("count").await.map_err(failed)?.unwrap_or_default() + 1;
    session.insert("count", next).await.map_err(failed)?;
    Ok(next.to_string())
}

struct Answer {
    status: StatusCode,
    body: String,
    /// The `Set-Cookie` header's name and value.
    cookie: Option<String>,
}

async fn fetch(app: &Router, path: &str, cookie: Option<&str>) -> Answer {
    let mut request = Request::get(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = answer.status();
    let cookie = answer.headers().get(header::SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned());
    let cookie = cookie.and_then(|cookie| cookie.split(';').next().map(str::to_owned));
    let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
    Answer { status, body: String::from_utf8(body.to_vec()).unwrap(), cookie }
}

async fn start(app: &Router) -> String {
    let first = fetch(app, "/count", None).await;
    assert_eq!((first.status, first.body.as_str()), (StatusCode::OK, "1"));
    first.cookie.expect("a cookie")
}

fn in_memory() -> Router {
    app(TowerSessionsStore::new(Arc::new(InMemorySessionStore::default())))
}

#[tokio::test]
async fn a_counter_survives() {
    let app = in_memory();
    let cookie = start(&app).await;
    for expected in ["2", "3"] {
        assert_eq!(fetch(&app, "/count", Some(&cookie)).await.body, expected);
    }
    assert_eq!(fetch(&app, "/count", None).await.body, "1");
    assert_eq!(fetch(&app, "/count", Some("id=AAAAAAAAAAAAAAAAAAAAAA")).await.body, "1", "nobody's id");
}

/// A new id takes the data along, and the old one is worth nothing.
#[tokio::test]
async fn a_cycled_id_replaces_the_old_one() {
    let app = in_memory();
    let old = start(&app).await;
    let new = fetch(&app, "/cycle", Some(&old)).await.cookie.expect("a new cookie");
    assert_ne!(old, new);
    assert_eq!(fetch(&app, "/count", Some(&new)).await.body, "2");
    assert_eq!(fetch(&app, "/count", Some(&old)).await.body, "1");
}

#[tokio::test]
async fn a_flushed_or_deleted_session_is_gone() {
    let app = in_memory();
    for path in ["/flush", "/delete"] {
        let cookie = start(&app).await;
        assert_eq!(fetch(&app, path, Some(&cookie)).await.status, StatusCode::OK);
        let after = fetch(&app, "/count", Some(&cookie)).await;
        assert_eq!(after.body, "1", "{path}");
        assert_ne!(after.cookie.as_deref(), Some(cookie.as_str()), "{path}: a new session has a new id");
    }
}

/// A request that was under way when its session ended changes nothing about that.
#[tokio::test]
async fn a_late_request_brings_nothing_back() {
    let store = TowerSessionsStore::new(Arc::new(InMemorySessionStore::default()));
    let app = app(store.clone());
    let cookie = start(&app).await;
    let id = cookie.strip_prefix("id=").unwrap().parse().unwrap();
    let late = Session::new(Some(id), Arc::new(store), None);
    assert_eq!(late.get::<u32>("count").await.unwrap(), Some(1));
    fetch(&app, "/flush", Some(&cookie)).await;
    late.insert("count", 100).await.unwrap();
    late.save().await.unwrap();
    assert_eq!(fetch(&app, "/count", Some(&cookie)).await.body, "1");
}

/// A store that is down is an error, never a new session.
#[tokio::test]
async fn a_store_that_is_down_is_an_error() {
    let records = Arc::new(FailingStore::new(Arc::new(MemoryStore::default())));
    let options = RecordSessionsOptions::default();
    let sessions = RecordSessions::new(records.clone(), Arc::new(SystemClock), RoutingKey::new([7; 16]), options);
    let app = app(TowerSessionsStore::new(Arc::new(sessions)));
    let cookie = start(&app).await;
    records.take_down();
    let down = fetch(&app, "/count", Some(&cookie)).await;
    assert_eq!((down.status, down.cookie), (StatusCode::SERVICE_UNAVAILABLE, None));
    records.bring_up();
    assert_eq!(fetch(&app, "/count", Some(&cookie)).await.body, "2");
}
