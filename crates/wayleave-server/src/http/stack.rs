//! What every route lies under, in its one right order.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::Route;
use tokio::time::Instant;
use tower::layer::layer_fn;
use tower::{Service as _, service_fn};
use tracing::Instrument as _;
use wayleave_core::ports::Entropy;

use super::client_address::TrustedProxies;
use super::cors::CorsOptions;
use super::error_body::Form;
use super::headers::SecurityHeaders;
use super::limits::{RequestLimits, Uploads};
use super::panic::caught;
use super::request_id::RequestIds;
use super::trace;

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
    /// Those that may be and take more, if any.
    pub uploads: Option<Uploads>,
}

impl HttpStack {
    /// Puts the layers round a finished router, fallbacks included. From the outside in: request id, client address,
    /// trace, security headers, CORS, error bodies, panics, limits.
    ///
    /// They are one `tower` layer: each that lay round another would cost every request a copy of all that lies inside.
    /// What belongs to single routes (JSON only, CSRF, origins, rate limits) lies further in, on those routes.
    pub fn wrap(self, router: Router) -> Router {
        let Self { entropy, proxies, headers, cors, limits, uploads } = self;
        let general = Arc::new(General { ids: RequestIds::new(&*entropy), proxies, headers, cors, limits, uploads });
        router.layer(layer_fn(move |mut route: Route| {
            let general = Arc::clone(&general);
            service_fn(move |request: Request| answer(Arc::clone(&general), &mut route, request))
        }))
    }
}

struct General {
    ids: RequestIds,
    proxies: TrustedProxies,
    headers: SecurityHeaders,
    cors: CorsOptions,
    limits: RequestLimits,
    uploads: Option<Uploads>,
}

impl General {
    fn limits_of(&self, request: &Request) -> RequestLimits {
        match &self.uploads {
            Some(uploads) if uploads.include(request) => uploads.limits,
            Some(_) | None => self.limits,
        }
    }
}

fn answer(
    general: Arc<General>,
    route: &mut Route,
    mut request: Request,
) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
    let id = general.ids.assign(&general.proxies, &mut request);
    general.proxies.assign(&mut request);
    let span = trace::span(&request);
    let cross_origin = general.cors.judge(&request);
    let form = Form::of(request.headers());
    let limits = general.limits_of(&request);
    // A route begins its work when it is polled, so inside the span, the deadline and the guard against panics.
    let inside = match cross_origin.preflight().or_else(|| limits.refusal(&request)) {
        Some(response) => Err(response),
        None => Ok(route.call(limits.bound(request))),
    };
    let answer = async move {
        let started = Instant::now();
        let response = match inside {
            Ok(inside) => caught(limits.in_time(inside)).await,
            Err(response) => response,
        };
        let mut response = form.write_error(response, &id);
        let headers = response.headers_mut();
        cross_origin.write(headers);
        general.headers.write(headers);
        id.write(headers);
        trace::answered(&response, started);
        Ok(response)
    };
    answer.instrument(span)
}
