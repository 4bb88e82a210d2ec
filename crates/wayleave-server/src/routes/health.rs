//! How the server itself is doing: alive, ready, in numbers, and what it can be asked.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::header::{CONTENT_TYPE, FORWARDED, VIA};
use http::{HeaderMap, HeaderName};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use wayleave_core::ports::StoreError;

use crate::access::{Carrier, Context};
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::client_address::ClientAddress;
use crate::metrics::{self, Readings};
use crate::wire::ErrorBody;

/// What proxies add to a request that they pass on.
const FORWARDING: [HeaderName; 4] =
    [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// `{"status":"ok"}`
#[derive(Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`; anything else is a refusal.
    #[schema(example = "ok")]
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "health_alive", tag = "health", security(()),
    responses((status = 200, body = Health), (status = "default", body = ErrorBody)))]
pub async fn alive() -> Json<Health> {
    OK
}

/// Whether the server can serve: 503 names in `details.failed` which part cannot, `sessions` or `directory`.
#[utoipa::path(get, path = "/readyz", operation_id = "health_ready", tag = "health", security(()),
    responses((status = 200, body = Health), (status = 503, body = ErrorBody), (status = "default", body = ErrorBody)))]
pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    let (sessions, directory) = tokio::join!(app.manager.ping(), app.directory.settings.get("policy"));
    let failed: Vec<_> = [("sessions", sessions.err()), ("directory", directory.err())]
        .into_iter()
        .filter_map(|(part, error)| report(part, error?))
        .collect();
    if failed.is_empty() {
        Ok(OK)
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
/// With a token in the configuration, for whoever shows it as a bearer token; without one, for clients on the same
/// machine that come without a proxy. Everybody else is answered as if there were nothing here.
#[utoipa::path(get, path = "/metrics", operation_id = "health_metrics", tag = "health", security((), ("bearer" = [])),
    responses((status = 200, description = "OpenMetrics text.", content_type = "application/openmetrics-text",
               body = String),
              (status = "default", body = ErrorBody)))]
pub async fn metrics(
    State(app): State<Arc<App>>,
    context: Context,
    client: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let admitted = match &app.options.metrics_token {
        Some(token) => {
            context.carrier == Carrier::Bearer && context.credential().is_some_and(|shown| token.matches(shown))
        }
        None => client.is_some_and(|Extension(client)| is_local(client, &headers)),
    };
    if !admitted {
        return Err(ApiError::new(ErrorCode::NotFound));
    }
    let (warm_sessions, pending_touches) = app.manager.warm();
    let text = app.metrics.render(Readings {
        warm_sessions,
        pending_touches,
        audit_dropped: app.audit.dropped(),
        password: app.passwords.load(),
    });
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// Whether a client is on this machine. One behind a proxy on this machine looks the same but for the proxy's headers.
fn is_local(client: ClientAddress, headers: &HeaderMap) -> bool {
    client.ip().is_loopback() && !FORWARDING.iter().any(|name| headers.contains_key(name))
}

/// The OpenAPI document of this server.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "health", security(()),
    responses((status = 200, body = Object), (status = "default", body = ErrorBody)))]
pub async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], crate::router::openapi_text()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A21, A80: what comes through a proxy on this machine is not from this machine.
    #[test]
    fn only_direct_neighbours_are_local() {
        let headers = |name: Option<&'static str>| -> HeaderMap {
            name.map(|name| (HeaderName::from_static(name), "203.0.113.7".parse().unwrap())).into_iter().collect()
        };
        let cases = [
            ("127.0.0.1", None, true),
            ("::1", None, true),
            ("::ffff:127.0.0.1", None, true),
            ("192.0.2.1", None, false),
            ("127.0.0.1", Some("x-forwarded-for"), false),
            ("127.0.0.1", Some("forwarded"), false),
            ("::1", Some("via"), false),
            ("::1", Some("x-real-ip"), false),
        ];
        for (address, header, expected) in cases {
            let client = ClientAddress::new(address.parse().unwrap());
            assert_eq!(is_local(client, &headers(header)), expected, "{address} {header:?}");
        }
    }
}
