//! A small router under the general layers, and ways to ask it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;
use wayleave_server::http::client_address::TrustedProxies;
use wayleave_server::http::cors::CorsOptions;
use wayleave_server::http::headers::{SecurityHeaders, StrictTransport};
use wayleave_server::http::limits::RequestLimits;
use wayleave_server::http::stack::HttpStack;
use wayleave_testkit::SeededEntropy;

/// The general layers with nobody trusted and nothing shared.
pub(crate) fn stack() -> HttpStack {
    HttpStack {
        entropy: Arc::new(SeededEntropy::new(1)),
        proxies: TrustedProxies::default(),
        headers: SecurityHeaders { strict_transport: StrictTransport::On },
        cors: CorsOptions::default(),
        limits: RequestLimits::default(),
        uploads: None,
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    /// The header's only value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }
}

/// Builds a request of `"METHOD /path"`.
pub(crate) fn request(line: &str, fields: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = Request::new(body.into());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = target.parse().unwrap();
    for (name, value) in fields {
        request.headers_mut().append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    request
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    collect(router.clone().oneshot(request).await.unwrap()).await
}

async fn collect(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}
