//! The table of origins: methods, Fetch Metadata, `Origin` and `Referer`.

use http::{HeaderName, HeaderValue};

use super::Sensitivity::{Ordinary, Sensitive};
use super::Verdict::{Allow, Deny};
use super::*;

const OWN: &str = "https://panel.example";
const PARTNER: &str = "https://app.partner.example";

fn policy() -> OriginPolicy {
    OriginPolicy {
        own: Origins::new([Origin::new(OWN).unwrap()]),
        partners: Origins::new([Origin::new(PARTNER).unwrap()]),
    }
}

fn verdict(method: &Method, fields: &[(&str, &str)], sensitivity: Sensitivity) -> Verdict {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    judge(&policy(), method, &headers, sensitivity)
}

type Fields<'a> = &'a [(&'a str, &'a str)];

fn check(table: &[(Fields<'_>, Sensitivity, Verdict)]) {
    for (fields, sensitivity, expected) in table {
        assert_eq!(verdict(&Method::POST, fields, *sensitivity), *expected, "{fields:?} {sensitivity:?}");
    }
}

/// R047: every value of `Sec-Fetch-Site`, absence and nonsense included, with every method.
#[test]
fn fetch_metadata_by_method() {
    let sites = [
        (Some("same-origin"), true),
        (Some("same-site"), false),
        (Some("cross-site"), false),
        (Some("none"), false),
        (None, false),
        (Some("Same-Origin"), false),
    ];
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS];
    let changing = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for (site, passes) in sites {
        let fields: Vec<_> = site.map(|value| ("sec-fetch-site", value)).into_iter().collect();
        for method in &safe {
            assert_eq!(verdict(method, &fields, Sensitive), Allow, "{method} {site:?}");
        }
        for method in &changing {
            assert_eq!(verdict(method, &fields, Sensitive) == Allow, passes, "{method} {site:?}");
        }
    }
}

/// R047: a navigation that nobody's page started may change something; other requests of that kind may not.
#[test]
fn none_is_for_navigations() {
    check(&[
        (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], Sensitive, Allow),
        (&[("sec-fetch-site", "none"), ("sec-fetch-mode", "cors")], Ordinary, Deny(DenyReason::NotANavigation)),
        (&[("sec-fetch-site", "none")], Ordinary, Deny(DenyReason::NotANavigation)),
        (
            &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("origin", "https://evil.example")],
            Ordinary,
            Deny(DenyReason::ForeignOrigin),
        ),
    ]);
}

/// A25: other hosts of the same site are strangers unless they are listed as partners.
#[test]
fn other_sites_need_to_be_partners() {
    for site in ["same-site", "cross-site"] {
        check(&[
            (&[("sec-fetch-site", site)], Ordinary, Deny(DenyReason::OtherSite)),
            (&[("sec-fetch-site", site), ("origin", PARTNER)], Sensitive, Allow),
            (&[("sec-fetch-site", site), ("origin", OWN)], Ordinary, Deny(DenyReason::OtherSite)),
            (
                &[("sec-fetch-site", site), ("origin", "https://evil.panel.example")],
                Ordinary,
                Deny(DenyReason::ForeignOrigin),
            ),
        ]);
    }
}

/// A24, R048: an `Origin` that is not exactly a listed one, whatever else the request says.
#[test]
fn a_foreign_origin_is_refused() {
    for origin in [
        "null",
        "",
        "*",
        "https://panel.example.attacker.tld",
        "https://evilpanel.example",
        "http://panel.example",
        "https://panel.example:8443",
        "https://panel.example/",
        "https://PANEL.example",
        "https://panel.example, https://panel.example",
    ] {
        check(&[
            (&[("origin", origin)], Ordinary, Deny(DenyReason::ForeignOrigin)),
            (&[("origin", origin), ("sec-fetch-site", "same-origin")], Ordinary, Deny(DenyReason::ForeignOrigin)),
            (&[("origin", origin), ("host", "panel.example")], Ordinary, Deny(DenyReason::ForeignOrigin)),
        ]);
    }
}

/// A24: a repeated header is refused, even when both values are good.
#[test]
fn repeated_headers_are_refused() {
    check(&[
        (&[("origin", OWN), ("origin", OWN)], Ordinary, Deny(DenyReason::Repeated)),
        (&[("origin", OWN), ("origin", "https://evil.example")], Ordinary, Deny(DenyReason::Repeated)),
        (&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], Ordinary, Deny(DenyReason::Repeated)),
        (
            &[("referer", "https://panel.example/"), ("referer", "https://panel.example/")],
            Ordinary,
            Deny(DenyReason::Repeated),
        ),
    ]);
}

/// R047, A24, A25: without Fetch Metadata the `Origin` decides, then the `Referer`, but not on sensitive routes.
#[test]
fn older_browsers_fall_back() {
    check(&[
        (&[("origin", OWN)], Sensitive, Allow),
        (&[("origin", PARTNER)], Sensitive, Allow),
        (&[("origin", OWN), ("sec-fetch-site", "unheard-of")], Sensitive, Allow),
        (&[("sec-fetch-site", "unheard-of")], Sensitive, Deny(DenyReason::Silent)),
        (&[("referer", "https://panel.example/login?x=y")], Ordinary, Allow),
        (&[("referer", "https://panel.example/login")], Sensitive, Deny(DenyReason::Referer)),
        (&[("referer", "https://panel.example.evil.example/")], Ordinary, Deny(DenyReason::Referer)),
        (&[("referer", "https://panel.example@evil.example/")], Ordinary, Deny(DenyReason::Referer)),
        (&[("referer", "https://evil.example/?https://panel.example/")], Ordinary, Deny(DenyReason::Referer)),
        (&[("referer", "/login")], Ordinary, Deny(DenyReason::Referer)),
        (&[], Ordinary, Allow),
        (&[], Sensitive, Deny(DenyReason::Silent)),
    ]);
}

/// A22: a method in a header or a query is not the method.
#[test]
fn method_overrides_have_no_meaning() {
    let fields = [("x-http-method-override", "GET"), ("sec-fetch-site", "cross-site")];
    assert_eq!(verdict(&Method::POST, &fields, Ordinary), Deny(DenyReason::OtherSite));
}
