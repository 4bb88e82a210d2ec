//! Where a request comes from: Fetch Metadata, with `Origin` and `Referer` for browsers that do not send it (R047).
//!
//! This is the first half of the defence against forged requests; the token of [`csrf`](crate::csrf) is the
//! second. It is asked only about requests that carry cookies or that set some (R051).

use http::header::{AsHeaderName, ORIGIN, REFERER};
use http::{HeaderMap, Method};

use crate::origin::{Origin, Origins};

#[cfg(test)]
mod tests;

/// Whose requests are wanted.
#[derive(Clone, Debug, Default)]
pub struct OriginPolicy {
    /// The origins under which this server's own pages are served, from configuration and never from `Host`.
    pub own: Origins,
    /// Other front ends that may act for a signed-in user: the CORS allow-list. A second origin of one's own that sends
    /// requests to the first belongs here too.
    pub partners: Origins,
}

/// How much a route has to lose.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// A request that says nothing of its origin passes on to the check of its token; a `Referer` may speak for it.
    Ordinary,
    /// Fetch Metadata or `Origin` must speak for the request.
    Sensitive,
}

/// Whether the request may go on.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may not.
    Deny(DenyReason),
}

/// Why not. For the audit log; clients see one code for all.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// More than one `Origin`, `Sec-Fetch-Site` or `Referer` header.
    Repeated,
    /// `Origin` is not on the lists; `null` never is.
    ForeignOrigin,
    /// `Sec-Fetch-Site: cross-site` or `same-site`, and no partner's `Origin`.
    OtherSite,
    /// `Sec-Fetch-Site: none` on something that is not a navigation.
    NotANavigation,
    /// Only a `Referer` spoke for the request, and it is not on the lists or not enough.
    Referer,
    /// Nothing at all spoke for the request, and the route is sensitive.
    Silent,
}

impl Verdict {
    /// The verdict as a result for handlers.
    ///
    /// # Errors
    /// The reason of a [`Verdict::Deny`], which is answered with 403.
    pub const fn into_result(self) -> Result<(), DenyReason> {
        match self {
            Self::Allow => Ok(()),
            Self::Deny(reason) => Err(reason),
        }
    }
}

/// Judges one request. GET, HEAD and OPTIONS change nothing and always pass (R041).
///
/// An `Origin` header decides first: it must be single and on a list. Then `Sec-Fetch-Site`: `same-origin` passes,
/// `none` passes for navigations, `same-site` and `cross-site` pass for partners alone. An unknown value counts as
/// absent, as the specification asks; then `Origin` alone is enough, after it the `Referer` on ordinary routes.
#[must_use]
pub fn judge(policy: &OriginPolicy, method: &Method, headers: &HeaderMap, sensitivity: Sensitivity) -> Verdict {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Verdict::Allow;
    }
    match judge_unsafe(policy, headers, sensitivity) {
        Ok(()) => Verdict::Allow,
        Err(reason) => Verdict::Deny(reason),
    }
}

fn judge_unsafe(policy: &OriginPolicy, headers: &HeaderMap, sensitivity: Sensitivity) -> Result<(), DenyReason> {
    let origin = single(headers, ORIGIN)?;
    let partner = origin.is_some_and(|value| policy.partners.allow(value));
    if let Some(value) = origin
        && !partner
        && !policy.own.allow(value)
    {
        return Err(DenyReason::ForeignOrigin);
    }
    match single(headers, "sec-fetch-site")? {
        Some(b"same-origin") => Ok(()),
        Some(b"none") => match single(headers, "sec-fetch-mode")? {
            Some(b"navigate") => Ok(()),
            _ => Err(DenyReason::NotANavigation),
        },
        Some(b"same-site" | b"cross-site") => {
            if partner {
                Ok(())
            } else {
                Err(DenyReason::OtherSite)
            }
        }
        _ if origin.is_some() => Ok(()),
        _ => match (single(headers, REFERER)?, sensitivity) {
            (Some(referer), Sensitivity::Ordinary) if is_listed(policy, referer) => Ok(()),
            (Some(_), _) => Err(DenyReason::Referer),
            (None, Sensitivity::Ordinary) => Ok(()),
            (None, Sensitivity::Sensitive) => Err(DenyReason::Silent),
        },
    }
}

fn is_listed(policy: &OriginPolicy, referer: &[u8]) -> bool {
    let origin = std::str::from_utf8(referer).ok().and_then(Origin::of_url);
    origin.is_some_and(|origin| {
        let value = origin.as_str().as_bytes();
        policy.own.allow(value) || policy.partners.allow(value)
    })
}

fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&[u8]>, DenyReason> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(DenyReason::Repeated) } else { Ok(first.map(|value| value.as_bytes())) }
}
