//! The headers that every answer carries (R038, R039).

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What differs between deployments.
#[derive(Copy, Clone, Debug)]
pub struct SecurityHeaders {
    /// Whether browsers are told to come back over TLS only.
    pub strict_transport: StrictTransport,
}

/// `Strict-Transport-Security` (RFC 6797).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum StrictTransport {
    /// Not sent. For a public URL that is plain `http`: browsers ignore the header there, and a development host must
    /// not be pinned to TLS.
    Off,
    /// Two years, with all subdomains. For a public URL that is `https`, also when a proxy in front ends the TLS.
    On,
}

const API_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
const PAGE_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

impl SecurityHeaders {
    /// Adds them to an answer.
    ///
    /// A handler may set its own `Cache-Control`, `Content-Security-Policy` and `Referrer-Policy`; an answer that sets
    /// a cookie is never stored, whatever it says. Pages (`text/html`) get `Referrer-Policy: same-origin`, since under
    /// `no-referrer` a browser sends `Origin: null` with their forms.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        // Room for all of them, and for the length, the request id and what CORS adds.
        headers.reserve(11);
        let is_page = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        let (policy, referrer) = if is_page { (PAGE_POLICY, "same-origin") } else { (API_POLICY, "no-referrer") };
        if headers.contains_key(SET_COOKIE) {
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
        headers.entry(REFERRER_POLICY).or_insert(HeaderValue::from_static(referrer));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        if is_page {
            headers.insert(CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
        }
        match self.strict_transport {
            StrictTransport::Off => {}
            StrictTransport::On => {
                let value = HeaderValue::from_static("max-age=63072000; includeSubDomains");
                headers.insert(STRICT_TRANSPORT_SECURITY, value);
            }
        }
    }
}
