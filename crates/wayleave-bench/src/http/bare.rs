//! The framework alone: one plain route on axum, without any layer, in a process of its own.

use std::io::Write as _;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::problem::Problem;

/// Serves until the process is ended.
pub(crate) fn serve(runtime: &Runtime) -> Result<(), Problem> {
    let serve = async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("bare axum listens on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let router = Router::new().route(super::PLAIN, get(async || Json(json!({ "status": "ok" }))));
        axum::serve(listener, router).await
    };
    runtime.block_on(serve).map_err(Problem::Connection)
}
