//! The name that every request has: in its log lines, its error body and its response header.

use std::hash::Hasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
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

    /// The same text, without a copy of it.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Puts it into the header of a response.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(self.as_str()) {
            headers.insert(X_REQUEST_ID, value);
        }
    }

    fn inbound(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let text = values.next()?.to_str().ok()?;
        let fits = (1..=MAX_REQUEST_ID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        (fits && values.next().is_none()).then(|| Self(text.into()))
    }
}

/// Where ids come from: a counter under a key of this process. They only have to differ, here and from those of other
/// processes, so the operating system is asked for entropy once and not at every request.
pub struct RequestIds {
    key: Option<[u8; 16]>,
    count: AtomicU64,
}

impl RequestIds {
    /// Ids under a key from `entropy`. Without entropy they differ within this process alone.
    #[must_use]
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut key = [0; 16];
        let key = entropy.fill(&mut key).is_ok().then_some(key);
        Self { key, count: AtomicU64::new(0) }
    }

    /// Gives the request its [`RequestId`]: a new one, or the one of its `x-request-id` header when the peer is one of
    /// `proxies`.
    pub(super) fn assign(&self, proxies: &TrustedProxies, request: &mut Request) -> RequestId {
        let id = self.of(proxies, request);
        request.extensions_mut().insert(id.clone());
        id
    }

    fn of(&self, proxies: &TrustedProxies, request: &Request) -> RequestId {
        if proxies.contain(peer(request))
            && let Some(id) = RequestId::inbound(request.headers())
        {
            return id;
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        self.key.and_then(|key| keyed(&key, count)).unwrap_or_else(|| RequestId(format!("req_n{count}").into()))
    }
}

fn keyed(key: &[u8; 16], count: u64) -> Option<RequestId> {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write_u64(count);
    let mut text = [0; 26];
    let (prefix, encoded) = text.split_at_mut(4);
    prefix.copy_from_slice(b"req_");
    URL_SAFE_NO_PAD.encode_slice(hasher.finish128().as_bytes(), encoded).ok()?;
    std::str::from_utf8(&text).ok().map(|text| RequestId(text.into()))
}
