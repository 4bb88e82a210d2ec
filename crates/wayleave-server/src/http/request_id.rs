//! The name that every request has: in its log lines, its error body and its response header.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use wayleave_core::ports::Entropy;

use super::client_address::{TrustedProxies, peer};

/// The header that carries it.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a trusted proxy.
pub const MAX_REQUEST_ID: usize = 64;

/// A request's id, in its extensions: `req_` and 22 characters of base64url, or what a trusted proxy sent. Cheap to
/// clone. Not a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The text, 1 to 64 characters of `[A-Za-z0-9._-]`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn inbound(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let text = values.next()?.to_str().ok()?;
        let fits = (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        (fits && values.next().is_none()).then(|| Self(text.into()))
    }
}

/// Where ids come from.
pub struct RequestIds {
    entropy: Arc<dyn Entropy>,
    proxies: Arc<TrustedProxies>,
    fallback: AtomicU64,
}

impl RequestIds {
    /// Ids from `entropy`, or from the `x-request-id` header when the peer is one of `proxies`.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>, proxies: Arc<TrustedProxies>) -> Self {
        Self { entropy, proxies, fallback: AtomicU64::new(0) }
    }

    fn of(&self, request: &Request) -> RequestId {
        if self.proxies.contain(peer(request))
            && let Some(id) = RequestId::inbound(request.headers())
        {
            return id;
        }
        let mut random = [0; 16];
        match self.entropy.fill(&mut random) {
            Ok(()) => RequestId(format!("req_{}", URL_SAFE_NO_PAD.encode(random)).into()),
            // An id only has to tell requests apart, so a counter serves when nothing else can.
            Err(_) => RequestId(format!("req_n{}", self.fallback.fetch_add(1, Ordering::Relaxed)).into()),
        }
    }
}

/// Gives the request its [`RequestId`] and the response its header; for `axum::middleware::from_fn_with_state`. The
/// outermost layer.
pub async fn request_id(State(ids): State<Arc<RequestIds>>, mut request: Request, next: Next) -> Response {
    let id = ids.of(&request);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}
