//! A real Tideway application whose context holds our store.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use tideway::{App, AppContext, RouteModule, SessionData};
use tower::ServiceExt as _;
use wayleave::kv::InMemorySessionStore;
use wayleave_tideway::TidewayStore;
use wayleave_web::{Session, SessionBackend, SessionConfig, SessionLayer, SetError};

use crate::cookies::KEY;

struct Counter;

impl RouteModule for Counter {
    fn routes(&self) -> Router<AppContext> {
        Router::new().route("/{id}", get(count))
    }

    fn prefix(&self) -> Option<&str> {
        Some("/count")
    }
}

async fn count(State(context): State<AppContext>, Path(id): Path<String>) -> tideway::Result<String> {
    let sessions = context.sessions()?;
    let mut session = sessions.load(&id).await?.unwrap_or_else(|| SessionData::new(Duration::from_secs(60)));
    let next = session.get("count").and_then(|count| count.parse::<u32>().ok()).unwrap_or_default() + 1;
    session.set("count".into(), next.to_string());
    sessions.save(&id, session).await?;
    Ok(next.to_string())
}

async fn fetch(app: &Router, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn app(context: AppContext) -> Router {
    App::new().with_context(context).register_module(Counter).into_router_with_middleware()
}

#[tokio::test]
async fn an_application_counts_in_our_store() {
    let store = TidewayStore::new(Arc::new(InMemorySessionStore::default()));
    let app = app(AppContext::builder().with_sessions(Arc::new(store)).build());
    for expected in ["1", "2", "3"] {
        assert_eq!(fetch(&app, "/count/one").await, (StatusCode::OK, expected.to_owned()));
    }
    assert_eq!(fetch(&app, "/count/two").await.1, "1");
}

#[tokio::test]
async fn a_context_without_a_store_says_so() {
    let context = AppContext::builder().build();
    assert!(context.sessions_opt().is_none());
    let error = context.sessions().err().unwrap();
    assert_eq!(error.to_string(), "Internal server error: Session store not configured");
    assert_eq!(fetch(&app(context), "/count/one").await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

struct Basket;

impl RouteModule for Basket {
    fn routes(&self) -> Router<AppContext> {
        Router::new().route("/put", get(put))
    }
}

async fn put(session: Session) -> Result<String, SetError> {
    let next = session.get_as::<u32>("count").ok().flatten().unwrap_or_default() + 1;
    session.set_as("count", &next)?;
    Ok(next.to_string())
}

/// The setting that has no effect in Tideway by itself: a layer by Tideway's settings, around a Tideway application.
#[tokio::test]
async fn the_settings_choose_the_backend() {
    for (backend, sealed) in [(SessionBackend::InMemory, false), (SessionBackend::Cookie, true)] {
        let config = SessionConfig {
            backend,
            cookie_name: "mine".into(),
            encryption_key: Some(KEY.into()),
            ..SessionConfig::default()
        };
        let layer = SessionLayer::from_config(&config).unwrap();
        let app = App::new().register_module(Basket).with_global_layer(layer).into_router_with_middleware();
        let mut cookie = String::new();
        for expected in ["1", "2"] {
            let request = Request::get("/put").header(header::COOKIE, &cookie).body(Body::empty()).unwrap();
            let answer = app.clone().oneshot(request).await.unwrap();
            let cookies: Vec<_> = answer.headers().get_all(header::SET_COOKIE).into_iter().collect();
            let set = cookies.iter().find_map(|set| set.to_str().unwrap().strip_prefix("mine="));
            if let Some(set) = set {
                let value = set.split(';').next().unwrap();
                assert_eq!(value.len() > 100, sealed, "{backend:?}: {set}");
                cookie = format!("mine={value}");
            }
            let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
            assert_eq!(body, expected, "{backend:?}");
        }
    }
}
