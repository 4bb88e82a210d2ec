//! Connections that outlive their request end with the session.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use parking_lot::Mutex;
use tower::ServiceExt as _;
use wayleave_web::{Session, SessionEnd, SessionWatch};

use crate::client::{Kept, World};

/// Takes a watch out of a request, as the handler of a WebSocket does.
pub(crate) async fn watch(world: &World, cookie: &str) -> Option<SessionWatch> {
    let taken = Arc::new(Mutex::new(None));
    let out = Arc::clone(&taken);
    let app = Router::new()
        .route("/", any(move |session: Session| async move { *out.lock() = session.watch() }))
        .layer(world.layer.clone());
    let request = http::Request::builder().uri("/").header("cookie", cookie).body(axum::body::Body::empty()).unwrap();
    app.oneshot(request).await.unwrap();
    taken.lock().take()
}

async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(10), future).await.ok()
}

#[tokio::test]
async fn a_guest_without_a_session_has_nothing_to_watch() {
    for kept in Kept::ALL {
        assert!(watch(&World::new(kept).await, "a=1").await.is_none(), "{kept:?}");
    }
}

#[tokio::test]
async fn signing_out_ends_the_connection_at_once() {
    for kept in [Kept::Memory, Kept::Sqlite] {
        let world = World::new(kept).await;
        let (mut client, mut other) = (world.client(), world.client());
        client.post("/sign-in/ann").await.ok();
        other.post("/sign-in/ann").await.ok();
        let mut watch_other = watch(&world, &other.cookie_header()).await.unwrap();
        let mut watch = watch(&world, &client.cookie_header()).await.unwrap();
        let ended = tokio::spawn(async move { watch.ended().await });
        tokio::task::yield_now().await;
        client.post("/sign-out").await.ok();
        assert_eq!(soon(ended).await.unwrap().unwrap(), SessionEnd::Revoked, "{kept:?}");
        assert!(tokio::time::timeout(Duration::from_millis(50), watch_other.ended()).await.is_err(), "{kept:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_its_time_ends_the_connection() {
    for (kept, until, expected) in [
        (Kept::Memory, 30, SessionEnd::Expired),
        (Kept::KeyValue, 30, SessionEnd::Revoked),
        (Kept::Sealed, 24 * 60, SessionEnd::Expired),
    ] {
        let world = World::new(kept).await;
        let mut client = world.client();
        client.post("/sign-in/ann").await.ok();
        let mut watch = watch(&world, &client.cookie_header()).await.unwrap();
        world.clock.advance(Duration::from_secs(until * 60));
        let end = tokio::time::timeout(Duration::from_secs(60), watch.ended()).await.unwrap();
        assert_eq!(end, expected, "{kept:?}");
    }
}
