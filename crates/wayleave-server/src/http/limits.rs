//! How large and how slow a request may be, and what its body may be called (R007, R049, A06, A22, A76).

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::Limited;

use crate::error::{ApiError, ErrorCode};

/// The most that one request may be and take. All lengths in bytes.
#[derive(Copy, Clone, Debug)]
pub struct RequestLimits {
    /// The request target, path and query together: 414 beyond.
    pub most_target_bytes: usize,
    /// Header fields: 431 beyond.
    pub most_headers: usize,
    /// Names and values of all header fields: 431 beyond. Leaves room for a cookie header and a token of their own limits.
    pub most_header_bytes: usize,
    /// The body: 413 beyond.
    pub most_body_bytes: usize,
    /// What a body beyond that is refused as.
    pub too_large: ErrorCode,
    /// How long the body may take to arrive: 408 beyond.
    pub body_timeout: Duration,
    /// How long the answer may take to begin: 504 beyond.
    pub answer_timeout: Duration,
    /// Whether a body may come without `Content-Length`.
    pub chunked: Chunked,
}

/// What becomes of `Transfer-Encoding`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Chunked {
    /// 411. With it, no request can have two lengths that a proxy and this server would read differently (A76).
    Refuse,
    /// Accepted within the limit of the body.
    Accept,
}

impl Default for RequestLimits {
    /// 8 KiB of target, 64 fields of 32 KiB, 64 KiB of body in 10 s, an answer in 30 s, no chunked bodies.
    fn default() -> Self {
        Self {
            most_target_bytes: 8 * 1024,
            most_headers: 64,
            most_header_bytes: 32 * 1024,
            most_body_bytes: 64 * 1024,
            too_large: ErrorCode::PayloadTooLarge,
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            chunked: Chunked::Refuse,
        }
    }
}

/// Requests that may be larger and slower than the others: what is put below one path.
#[derive(Copy, Clone, Debug)]
pub struct Uploads {
    /// The path.
    pub below: &'static str,
    /// Their limits.
    pub limits: RequestLimits,
}

impl Uploads {
    /// Whether a request is one of them.
    pub(super) fn include(&self, request: &Request) -> bool {
        request.method() == Method::PUT && request.uri().path().starts_with(self.below)
    }
}

impl RequestLimits {
    /// The refusal of a request that is too large, before anything of its body is read.
    pub(super) fn refusal(&self, request: &Request) -> Option<Response> {
        let code = check(self, request).err()?;
        let mut response = ApiError::new(code).into_response();
        // The body was not read, so the connection cannot be used again.
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Some(response)
    }

    /// Bounds the body, where there is one, and leaves the limits in the extensions for [`body`](crate::http::body).
    pub(super) fn bound(self, mut request: Request) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        request.extensions_mut().insert(self);
        request.map(|body| Body::new(Limited::new(body, self.most_body_bytes)))
    }

    /// Gives an answer its deadline.
    pub(super) async fn in_time(self, answer: impl Future<Output = Result<Response, Infallible>>) -> Response {
        match tokio::time::timeout(self.answer_timeout, answer).await {
            Ok(Ok(response)) => response,
            Err(_) => ApiError::new(ErrorCode::Timeout).into_response(),
        }
    }
}

fn check(limits: &RequestLimits, request: &Request) -> Result<(), ErrorCode> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.most_target_bytes {
        return Err(ErrorCode::UriTooLong);
    }
    let headers = request.headers();
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).fold(0, usize::saturating_add);
    if headers.len() > limits.most_headers || bytes > limits.most_header_bytes {
        return Err(ErrorCode::HeadersTooLarge);
    }
    match limits.chunked {
        Chunked::Refuse if headers.contains_key(TRANSFER_ENCODING) => return Err(ErrorCode::LengthRequired),
        Chunked::Refuse | Chunked::Accept => {}
    }
    match declared_length(headers)? {
        Some(length) if length > limits.most_body_bytes => Err(limits.too_large),
        _ => Ok(()),
    }
}

/// The declared length, if there is one; a number beyond all numbers is beyond all limits.
fn declared_length(headers: &HeaderMap) -> Result<Option<usize>, ErrorCode> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ErrorCode::BadRequest);
    }
    let text = value.to_str().map_err(|_| ErrorCode::BadRequest)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ErrorCode::BadRequest);
    }
    // All digits, so the only failure is a number beyond any limit.
    Ok(Some(text.parse().unwrap_or(usize::MAX)))
}

/// Whether a request fits a route that takes JSON or nothing. Every other kind of body is refused with 415, so that a
/// page of another origin always needs a preflight (R049, A22).
#[must_use]
pub fn is_json_or_nothing(request: &Request) -> bool {
    let headers = request.headers();
    match headers.get(CONTENT_TYPE) {
        Some(_) => is_json(headers),
        None => !has_body(headers, request.body()),
    }
}

/// Whether a request fits a route that takes bytes: `application/octet-stream`, which needs a preflight too.
#[must_use]
pub fn is_octets(request: &Request) -> bool {
    is_media(request.headers(), "application/octet-stream")
}

fn has_body(headers: &HeaderMap, body: &Body) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || !body.is_end_stream()
}

/// Whether the single `Content-Type` is `application/json`, with `charset=utf-8` or no parameter.
#[must_use]
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    is_media(headers, "application/json")
}

/// Whether the single `Content-Type` is `expected`, with `charset=utf-8` or no parameter.
pub(crate) fn is_media(headers: &HeaderMap, expected: &str) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let (media, parameter) = match text.split_once(';') {
        Some((media, parameter)) => (media, Some(parameter.trim())),
        None => (text, None),
    };
    let charset_fits = parameter.is_none_or(|parameter| {
        parameter.eq_ignore_ascii_case("charset=utf-8") || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
    });
    media.trim().eq_ignore_ascii_case(expected) && charset_fits
}
