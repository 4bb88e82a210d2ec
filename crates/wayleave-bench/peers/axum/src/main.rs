//! One small application on axum with sessions by somebody: `bare`, `wayleave-memory`, `wayleave-sealed` or
//! `tower-sessions`. All routes answer the same bytes; `/plain` lies outside the layer, `/open` under it without asking
//! for the session, `/me` asks who it is.

use std::io::Write as _;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, MemoryStore, SessionManagerLayer};
use wayleave_web::{Authenticated, SessionConfig, SessionLayer, SessionOptions, SignIn, SignInError};

const USER: &str = "user-0";

#[derive(Serialize)]
struct Me<'a> {
    user_id: &'a str,
}

async fn plain() -> Json<Me<'static>> {
    Json(Me { user_id: USER })
}

async fn our_sign_in(session: wayleave_web::Session) -> Result<(), SignInError> {
    session.sign_in(SignIn::user(USER)?).await.map(drop)
}

async fn our_me(session: Authenticated) -> Response {
    match session.subject().as_ref().map(|subject| subject.as_str()).and_then(|subject| subject.strip_prefix("user:")) {
        Some(user_id) => Json(Me { user_id }).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn ours(layer: SessionLayer) -> Router {
    Router::new().route("/me", get(our_me)).route("/sign-in", post(our_sign_in)).route("/open", get(plain)).layer(layer)
}

async fn their_sign_in(session: tower_sessions::Session) -> Result<(), StatusCode> {
    session.insert("user_id", USER).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn their_me(session: tower_sessions::Session) -> Response {
    match session.get::<String>("user_id").await {
        Ok(Some(user_id)) => Json(Me { user_id: &user_id }).into_response(),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn tower_sessions() -> Router {
    let layer = SessionManagerLayer::new(MemoryStore::default()).with_expiry(Expiry::OnInactivity(Duration::days(1)));
    Router::new().route("/me", get(their_me)).route("/sign-in", post(their_sign_in)).route("/open", get(plain)).layer(layer)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = SessionOptions::default();
    let key = || SessionConfig { encryption_key: Some("0123456789abcdef".repeat(8).into()), ..SessionConfig::default() }.keys();
    let sessions = match std::env::args().nth(1).as_deref() {
        Some("bare") => Router::new().route("/open", get(plain)).route("/me", get(plain)),
        Some("wayleave-memory") => ours(SessionLayer::in_memory(options)?),
        Some("wayleave-sealed") => ours(SessionLayer::sealed(&key()?, options)?),
        Some("tower-sessions") => tower_sessions(),
        _ => return Err("bare, wayleave-memory, wayleave-sealed or tower-sessions?".into()),
    };
    let app = sessions.route("/plain", get(plain));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("peer listens on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    Ok(axum::serve(listener, app).await?)
}
