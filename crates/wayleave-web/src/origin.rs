//! Web origins, compared whole: scheme, host and port as browsers serialise them (RFC 6454 section 6.2, R048).

use std::sync::Arc;

use http::Uri;

/// Longest origin that is looked at, in bytes.
pub const MAX_ORIGIN: usize = 300;

/// One origin in its serialised form, such as `https://panel.example` or `http://127.0.0.1:5173`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// Reads an origin from configuration. The scheme is `http` or `https`, the host is in lower-case ASCII, the
    /// scheme's own port is not written, and nothing follows, not even a slash.
    ///
    /// # Errors
    /// [`InvalidOrigin`] when it is anything else: a browser would never send it in that form, so it would never match.
    pub fn new(text: &str) -> Result<Self, InvalidOrigin> {
        match Self::of_url(text) {
            Some(origin) if &*origin.0 == text => Ok(origin),
            _ => Err(InvalidOrigin),
        }
    }

    /// The origin of an absolute `http` or `https` URL, as a `Referer` has it.
    #[must_use]
    pub fn of_url(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?;
        let authority = uri.authority()?;
        let host = authority.host();
        if authority.as_str().contains('@') || !is_host(host) || authority.as_str().len() > MAX_ORIGIN {
            return None;
        }
        let own_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        // `port_u16` is none both without a port and with one that is not a number.
        let port = match (authority.port(), authority.port_u16()) {
            (None, None) if authority.as_str() == host => None,
            (Some(_), Some(port)) => Some(port),
            _ => return None,
        };
        let text = match port {
            Some(port) if port != own_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        };
        Some(Self(text.into()))
    }

    /// The serialised form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

fn is_host(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && !host.ends_with('.')
                && host.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
                })
        }
    }
}

/// A list of allowed origins; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Origins(Arc<[Origin]>);

impl Origins {
    /// A list of these.
    #[must_use]
    pub fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        Self(origins.into_iter().collect())
    }

    /// Whether a header's value is exactly one of them. `null` and `*` never are.
    #[must_use]
    pub fn allow(&self, value: &[u8]) -> bool {
        self.0.iter().any(|origin| origin.0.as_bytes() == value)
    }

    /// The origins.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The text is not a serialised web origin.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is http:// or https://, a lower-case host and, unless it is the scheme's own, a port; nothing after it"
)]
pub struct InvalidOrigin;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_browsers_send() {
        for text in
            ["https://panel.example", "http://127.0.0.1:5173", "https://xn--bcher-kva.example:8443", "http://[::1]:80"]
        {
            let expected = if text.ends_with("[::1]:80") { Err(InvalidOrigin) } else { Ok(()) };
            assert_eq!(Origin::new(text).map(|_| ()), expected, "{text}");
        }
        assert!(Origin::new("http://[::1]").is_ok());
    }

    /// R048: nothing that only resembles an origin is taken into the list.
    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "*",
            "null",
            "panel.example",
            "https://",
            "https://panel.example/",
            "https://panel.example/app",
            "https://panel.example?x",
            "https://panel.example:443",
            "https://panel.example:",
            "https://panel.example:99999",
            "https://Panel.example",
            "HTTPS://panel.example",
            "https://panel.example.",
            "https://user@panel.example",
            "https://panel.example#x",
            "ftp://panel.example",
            "https://*.example",
            "https://b\u{fc}cher.example",
            "https://panel.example ",
        ] {
            assert_eq!(Origin::new(text), Err(InvalidOrigin), "{text:?}");
        }
    }

    #[test]
    fn a_url_has_an_origin() {
        let of = |url: &str| Origin::of_url(url).map(|origin| origin.as_str().to_owned());
        assert_eq!(of("https://panel.example/a/b?c=d").as_deref(), Some("https://panel.example"));
        assert_eq!(of("https://panel.example:443/a").as_deref(), Some("https://panel.example"));
        assert_eq!(of("https://panel.example:444/a").as_deref(), Some("https://panel.example:444"));
        assert_eq!(of("https://panel.example@evil.example/"), None);
        assert_eq!(of("/relative"), None);
    }

    /// R040: matching is by the whole serialised form.
    #[test]
    fn matches_exactly() {
        let list = Origins::new([Origin::new("https://good.example").unwrap()]);
        assert!(list.allow(b"https://good.example"));
        for other in [
            "https://good.example.evil.com",
            "http://good.example",
            "https://good.example:8443",
            "https://good.example/",
            "https://GOOD.example",
            "null",
            "*",
            "",
        ] {
            assert!(!list.allow(other.as_bytes()), "{other:?}");
        }
    }
}
