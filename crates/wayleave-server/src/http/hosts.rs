//! By what names a listener lets itself be asked, so that no page reaches it by a name of its own that leads there (DNS
//! rebinding).

use axum::extract::Request;
use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;

/// Names besides addresses and `localhost`, which no page can bend.
#[derive(Clone, Debug, Default)]
pub struct Hosts(Vec<Box<str>>);

impl Hosts {
    /// These names, in lower case.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = Box<str>>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whether a request asks under one of them. One that says no name is no browser's and passes.
    #[must_use]
    pub fn admit(&self, request: &Request) -> bool {
        match (request.uri().authority(), host(request.headers())) {
            (None, Ok(None)) => true,
            (Some(authority), Ok(None)) => self.know(authority),
            (None, Ok(Some(host))) => self.know(&host),
            (Some(authority), Ok(Some(host))) => self.know(authority) && self.know(&host),
            (_, Err(Unreadable)) => false,
        }
    }

    fn know(&self, authority: &Authority) -> bool {
        let host = authority.host().to_ascii_lowercase();
        let is_address = host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[');
        is_address || host == "localhost" || self.0.iter().any(|name| **name == *host)
    }
}

/// There are several, or it is no host.
struct Unreadable;

fn host(headers: &HeaderMap) -> Result<Option<Authority>, Unreadable> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Authority::try_from(value.as_bytes()).map(Some).map_err(|_| Unreadable),
        (Some(_), Some(_)) => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_addresses_and_listed_names_are_known() {
        let hosts = Hosts::new(["metrics.internal".into()]);
        let admits = |uri: &str, values: &[&str]| {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = uri.parse().unwrap();
            for value in values {
                request.headers_mut().append(HOST, value.parse().unwrap());
            }
            hosts.admit(&request)
        };
        for good in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "[::1]:9464",
            "10.0.0.5",
            "localhost:9464",
            "LOCALHOST",
            "Metrics.Internal:80",
        ] {
            assert!(admits("/metrics", &[good]), "{good}");
        }
        for foreign in [
            "rebound.example",
            "rebound.example:9464",
            "127.0.0.1.rebound.example",
            "localhost.rebound.example",
            "",
            "a b",
        ] {
            assert!(!admits("/metrics", &[foreign]), "{foreign}");
        }
        assert!(admits("/metrics", &[]));
        assert!(!admits("/metrics", &["localhost", "localhost"]));
        assert!(admits("http://127.0.0.1:9464/metrics", &[]));
        assert!(!admits("http://rebound.example/metrics", &[]));
        assert!(!admits("http://rebound.example/metrics", &["127.0.0.1"]));
    }
}
