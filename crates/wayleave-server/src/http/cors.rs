//! Cross-origin resource sharing by an exact allow-list (R040).

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use wayleave_web::origin::Origins;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "accept, authorization, content-type, if-match, if-none-match, x-csrf-token, x-device-id, x-request-id, \
     x-wayleave-background",
);
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "WWW-Authenticate, DPoP-Nonce, RateLimit, RateLimit-Policy, Retry-After, ETag, X-Request-Id",
);

/// Who may read answers from scripts of another origin, credentials included.
#[derive(Clone, Debug)]
pub struct CorsOptions {
    /// The front ends. Never `*`, never what the request says; `null` cannot be listed.
    pub origins: Origins,
    /// How long browsers may keep the answer to a preflight, at most 24 hours.
    pub preflight_max_age: Duration,
}

impl Default for CorsOptions {
    /// Nobody, and ten minutes.
    fn default() -> Self {
        Self { origins: Origins::default(), preflight_max_age: Duration::from_secs(600) }
    }
}

/// What CORS has to say of one request.
pub(super) struct CrossOrigin {
    /// The request's origin, when it is listed.
    allowed: Option<HeaderValue>,
    /// For a preflight: how long its answer may be kept.
    preflight: Option<Duration>,
}

impl CorsOptions {
    /// Looks at a request.
    pub(super) fn judge(&self, request: &Request) -> CrossOrigin {
        let headers = request.headers();
        let is_preflight = request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        CrossOrigin {
            allowed: listed(&self.origins, headers),
            preflight: is_preflight.then_some(self.preflight_max_age),
        }
    }
}

impl CrossOrigin {
    /// The answer to a preflight: 204 whatever the path, so that it tells nothing about routes; to an origin that is
    /// not listed it grants nothing.
    pub(super) fn preflight(&self) -> Option<Response> {
        self.preflight.map(|max_age| preflight(self.allowed.is_some(), max_age))
    }

    /// Adds what the answer needs. Every answer varies by `Origin`.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS] {
            headers.remove(name);
        }
        if let Some(origin) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
    }
}

fn listed(origins: &Origins, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(ORIGIN).iter();
    let origin = values.next()?;
    if values.next().is_some() || !origins.allow(origin.as_bytes()) {
        return None;
    }
    Some(origin.clone())
}

fn preflight(allowed: bool, max_age: Duration) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers"));
    if allowed {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(max_age.as_secs().min(86_400)));
    }
    response
}
