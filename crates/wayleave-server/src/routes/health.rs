//! How the server itself is doing: alive, ready, in numbers, and what it can be asked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use wayleave_core::ports::StoreError;

use crate::access::{Carrier, Context};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::metrics::{self, Readings};
use crate::wire::ErrorBody;

/// `{"status":"ok"}` or `{"status":"degraded","reasons":["bus"]}`
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or `degraded` where it serves, but not as it should; anything else is a refusal.
    #[schema(example = "ok")]
    status: &'static str,
    /// Why it is degraded: `bus`, `audit` or `name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    reasons: Vec<&'static str>,
}

const OK: Json<Health> = Json(Health { status: "ok", reasons: Vec::new() });

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "health_alive", tag = "health", security(()),
    responses((status = 200, body = Health), (status = "default", body = ErrorBody)))]
pub async fn alive() -> Json<Health> {
    OK
}

/// Whether the server can serve: 503 names in `details.failed` which part cannot: `sessions`, `directory` or, where
/// several servers share a store, the `bus` between them. `degraded` is said while the `bus` cannot be heard, so that the
/// store is asked about every request; while rows of the `audit` log cannot be written; and when another server has taken
/// the `name` of this one, `nodes.name`.
#[utoipa::path(get, path = "/readyz", operation_id = "health_ready", tag = "health", security(()),
    responses((status = 200, body = Health), (status = 503, body = ErrorBody), (status = "default", body = ErrorBody)))]
pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    let (sessions, directory) = tokio::join!(app.manager.ping(), app.directory.settings.get("policy"));
    let node = app.manager.cluster();
    let failed: Vec<_> = [("sessions", sessions.err()), ("directory", directory.err())]
        .into_iter()
        .filter_map(|(part, error)| report(part, error?))
        // What this server changed nobody else would hear of, so it changes nothing.
        .chain(node.is_some_and(|node| !node.audible).then_some("bus"))
        .collect();
    if failed.is_empty() {
        let degraded = [
            ("bus", node.is_some_and(|node| !node.leased)),
            ("audit", app.audit.is_stuck()),
            ("name", app.name_lost.is_so()),
        ];
        let reasons: Vec<_> = degraded.into_iter().filter(|(_, so)| *so).map(|(reason, _)| reason).collect();
        Ok(if reasons.is_empty() { OK } else { Json(Health { status: "degraded", reasons }) })
    } else {
        Err(ApiError::new(ErrorCode::StoreUnavailable).with_details(json!({ "failed": failed })))
    }
}

/// The part that failed; why is for the log alone.
fn report(part: &'static str, error: StoreError) -> Option<&'static str> {
    tracing::error!(part, error = &error as &dyn std::error::Error, "not ready");
    Some(part)
}

/// Numbers about the process, for Prometheus.
///
/// Only for whoever shows the token of the configuration as a bearer token; everybody else is answered as if there were
/// nothing here. Being on the same machine admits nobody: what a proxy there passes on comes from there too. For
/// scraping without a token there is `metrics.listen`, an address of its own.
#[utoipa::path(get, path = "/metrics", operation_id = "health_metrics", tag = "health", security((), ("bearer" = [])),
    responses((status = 200, description = "OpenMetrics text.", content_type = "application/openmetrics-text",
               body = String),
              (status = "default", body = ErrorBody)))]
pub async fn metrics(State(app): State<Arc<App>>, context: Context) -> Result<Response, ApiError> {
    let token = app.options.metrics_token.as_ref().filter(|_| context.carrier == Carrier::Bearer);
    let admitted = token.zip(context.credential()).is_some_and(|(token, shown)| token.matches(shown));
    if admitted { Ok(numbers(&app)) } else { Err(ApiError::new(ErrorCode::NotFound)) }
}

/// The page of [`metrics`], for whoever was let in.
#[must_use]
pub fn numbers(app: &App) -> Response {
    let (warm_sessions, pending_touches) = app.manager.warm();
    let text = app.metrics.render(Readings {
        warm_sessions,
        pending_touches,
        audit_dropped: app.audit.dropped(),
        password: app.passwords.load(),
        cluster: app.manager.cluster(),
    });
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// The OpenAPI document of this server.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "health", security(()),
    responses((status = 200, body = Object), (status = "default", body = ErrorBody)))]
pub async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], crate::router::openapi_text()).into_response()
}
