//! The layers that every route lies under, in their one right order.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use wayleave_core::ports::Entropy;

use super::client_address::{TrustedProxies, client_address};
use super::cors::{CorsOptions, cors};
use super::error_body::error_body;
use super::headers::{SecurityHeaders, security_headers};
use super::limits::{RequestLimits, limits};
use super::panic::catch_panic;
use super::request_id::{RequestIds, request_id};
use super::trace::trace;

/// What the general layers need.
pub struct HttpStack {
    /// For request ids.
    pub entropy: Arc<dyn Entropy>,
    /// Whose forwarding headers and request ids are believed.
    pub proxies: TrustedProxies,
    /// The headers of every answer.
    pub headers: SecurityHeaders,
    /// Which other origins may read answers.
    pub cors: CorsOptions,
    /// The most that a request may be and take.
    pub limits: RequestLimits,
}

impl HttpStack {
    /// Puts the layers round a finished router, fallbacks included. From the outside in: request id, client address,
    /// trace, security headers, CORS, error bodies, panics, limits.
    ///
    /// What belongs to single routes (JSON only, CSRF, origins, rate limits) lies further in, on those routes.
    pub fn wrap(self, router: Router) -> Router {
        let Self { entropy, proxies, headers, cors: cors_options, limits: request_limits } = self;
        let proxies = Arc::new(proxies);
        let ids = Arc::new(RequestIds::new(entropy, Arc::clone(&proxies)));
        router
            .layer(from_fn_with_state(Arc::new(request_limits), limits))
            .layer(from_fn(catch_panic))
            .layer(from_fn(error_body))
            .layer(from_fn_with_state(Arc::new(cors_options), cors))
            .layer(from_fn_with_state(Arc::new(headers), security_headers))
            .layer(from_fn(trace))
            .layer(from_fn_with_state(proxies, client_address))
            .layer(from_fn_with_state(ids, request_id))
    }
}
