//! Which requests count as their user's activity (R016, A14).

use http::{HeaderMap, HeaderName, Method};

/// Marks a request as not the user's doing, so that it leaves the idle limit running: what a page asks by itself.
pub const BACKGROUND: HeaderName = HeaderName::from_static("x-wayleave-background");

/// Whether a request is its user's doing. HEAD and OPTIONS are not: browsers and proxies send them by themselves.
#[must_use]
pub fn is_users_doing(method: &Method, headers: &HeaderMap) -> bool {
    !matches!(*method, Method::HEAD | Method::OPTIONS) && !headers.contains_key(&BACKGROUND)
}
