//! One small application on axum with sessions by somebody: `bare`, `wayleave-memory`, `wayleave-sealed` or
//! `tower-sessions`.

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use peer_application::{Failure, me, next_user, plain, serve};
use tower_sessions::cookie::time::Duration;
use tower_sessions::{Expiry, MemoryStore, SessionManagerLayer};
use wayleave_web::{Authenticated, SessionConfig, SessionLayer, SessionOptions, SignIn, SignInError};

async fn our_sign_in(session: wayleave_web::Session) -> Result<(), SignInError> {
    session.sign_in(SignIn::user(&next_user())?).await.map(drop)
}

async fn our_me(session: Authenticated) -> Response {
    me(session.subject().as_ref().and_then(|subject| subject.as_str().strip_prefix("user:")))
}

fn ours(layer: SessionLayer) -> Router {
    Router::new().route("/me", get(our_me)).route("/sign-in", post(our_sign_in)).route("/open", get(plain)).layer(layer)
}

async fn their_sign_in(session: tower_sessions::Session) -> Result<(), StatusCode> {
    session.insert("user_id", next_user()).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn their_me(session: tower_sessions::Session) -> Response {
    me(session.get::<String>("user_id").await.ok().flatten().as_deref())
}

fn tower_sessions() -> Router {
    let layer = SessionManagerLayer::new(MemoryStore::default()).with_expiry(Expiry::OnInactivity(Duration::days(1)));
    Router::new()
        .route("/me", get(their_me))
        .route("/sign-in", post(their_sign_in))
        .route("/open", get(plain))
        .layer(layer)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let options = SessionOptions::default();
    let key = || {
        SessionConfig { encryption_key: Some("0123456789abcdef".repeat(8).into()), ..SessionConfig::default() }.keys()
    };
    let sessions = match std::env::args().nth(1).as_deref() {
        Some("bare") => Router::new().route("/open", get(plain)).route("/me", get(plain)),
        Some("wayleave-memory") => ours(SessionLayer::in_memory(options)?),
        Some("wayleave-sealed") => ours(SessionLayer::sealed(&key()?, options)?),
        Some("tower-sessions") => tower_sessions(),
        _ => return Err("bare, wayleave-memory, wayleave-sealed or tower-sessions?".into()),
    };
    serve(sessions).await
}
