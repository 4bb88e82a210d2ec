//! What the handler of one row of the route table lies under: its numbers, its rate limit, the guard, its kind of body.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, Route};
use tokio::time::Instant;
use tower::layer::layer_fn;
use tower::{Service as _, service_fn};

use crate::access::Guard;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::client_address::ClientAddress;
use crate::http::limits::{is_json_or_nothing, is_octets};
use crate::http::rate_limit::{Allowance, RateKey, RateLimit, Refusal};
use crate::metrics::RouteSeries;
use crate::router::Bodies;

/// One row's.
pub(crate) struct Gate {
    /// Where its requests are counted.
    pub(crate) series: RouteSeries,
    /// How often one client may call it.
    pub(crate) limit: Option<Arc<RateLimit>>,
    /// Who may.
    pub(crate) guard: Guard,
    /// What it takes.
    pub(crate) bodies: Bodies,
}

impl Gate {
    /// Puts it in front of the row's handler, as one `tower` layer: see [`crate::http::stack::HttpStack::wrap`].
    pub(crate) fn before<S: Clone + 'static>(self, route: MethodRouter<S>) -> MethodRouter<S> {
        let gate = Arc::new(self);
        route.layer(layer_fn(move |route: Route| {
            let gate = Arc::clone(&gate);
            service_fn(move |request: Request| {
                let (gate, route) = (Arc::clone(&gate), route.clone());
                async move { Ok::<_, Infallible>(gate.pass(request, route).await) }
            })
        }))
    }

    async fn pass(&self, request: Request, route: Route) -> Response {
        let started = Instant::now();
        let method = self.series.method(request.method());
        let response = match self.allow(&request) {
            Ok(allowance) => {
                let mut response = self.guarded(request, route).await;
                if let Some(allowance) = allowance {
                    allowance.write(response.headers_mut());
                }
                response
            }
            Err(refusal) => ApiError::from(refusal).into_response(),
        };
        method.count(response.status(), started);
        response
    }

    /// Counts a request against its client, and puts refusals into the audit log.
    fn allow(&self, request: &Request) -> Result<Option<Allowance>, Refusal> {
        let Some(limit) = &self.limit else { return Ok(None) };
        let client = request.extensions().get::<ClientAddress>().copied();
        let allowance = limit.check(client.map_or(RateKey::EVERYONE, RateKey::of)).inspect_err(|_| {
            self.guard.app.record(Entry {
                event: "request.rate_limited",
                source: client.map(|client| client.coarse().to_string().into()),
                ..Entry::default()
            });
        })?;
        Ok(Some(allowance))
    }

    async fn guarded(&self, request: Request, route: Route) -> Response {
        let bodies = self.bodies;
        self.guard.pass(request, move |request| handled(bodies, route, request)).await
    }
}

async fn handled(bodies: Bodies, mut route: Route, request: Request) -> Response {
    match bodies {
        Bodies::Json if !is_json_or_nothing(&request) => ApiError::new(ErrorCode::UnsupportedMediaType).into_response(),
        Bodies::Octets if !is_octets(&request) => ApiError::new(ErrorCode::UnsupportedMediaType).into_response(),
        Bodies::Json | Bodies::Octets | Bodies::Any => match route.call(request).await {
            Ok(response) => response,
        },
    }
}
