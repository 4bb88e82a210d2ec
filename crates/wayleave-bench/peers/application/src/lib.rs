//! What the small applications on axum have in common: their plain route, their users, and how they listen.
//!
//! All have the same routes. `/plain` lies outside the sessions' layer and `/open` under it without asking for the
//! session; `/me` says who it is, or 401; a POST to `/sign-in` opens a session for the next user, to `/renew` gives it
//! another id, and to `/sign-out` ends it.

use std::error::Error;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

/// Anything that keeps an application from starting.
pub type Failure = Box<dyn Error>;

/// What `/me` answers.
#[derive(Serialize)]
struct Me<'a> {
    user_id: &'a str,
}

/// The user that nobody is, whose name is as long as everybody's.
const NOBODY: &str = "user-00000000";

/// Answers as `/me` does, without asking anybody.
pub async fn plain() -> Response {
    me(Some(NOBODY))
}

/// Says who it is.
pub fn me(user_id: Option<&str>) -> Response {
    match user_id {
        Some(user_id) => Json(Me { user_id }).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

/// A user who has not signed in to this process before.
pub fn next_user() -> String {
    static SIGNED_IN: AtomicU64 = AtomicU64::new(1);
    format!("user-{:08}", SIGNED_IN.fetch_add(1, Ordering::Relaxed))
}

/// Where sessions are kept: the environment's `STORE`.
pub fn store() -> Result<String, Failure> {
    std::env::var("STORE").map_err(|_| "STORE says where sessions are kept".into())
}

/// Serves `sessions`, and the plain route beside them, until the process is ended.
pub async fn serve(sessions: Router) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("peer listens on http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    Ok(axum::serve(listener, sessions.route("/plain", get(plain))).await?)
}
