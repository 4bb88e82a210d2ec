//! The values that configuration knows beside numbers, durations and words: origins, rates, cookie names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::value::{parse_duration, write_duration};

/// The text is not a value of the type it was read as. What one looks like stands in the table of keys.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid value")]
pub struct InvalidValue;

/// A web origin in its serialised form (RFC 6454 section 6.2): `https://host[:port]`, lower case, without a default
/// port. Plain `http` is accepted for loopback hosts only (R040, R048).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// The text, to be compared byte by byte with an `Origin` header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and, unless it is the default one, port: what a `Host` header says.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether it names this machine: `localhost`, a name below it, or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(split_port(self.authority()).map_or("", |(host, _)| host))
    }
}

impl FromStr for Origin {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.len() > 255 {
            return Err(InvalidValue);
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or(InvalidValue)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split_port(authority).ok_or(InvalidValue)?;
        let default_port = match scheme {
            "https" => 443,
            "http" if is_loopback_host(host) => 80,
            _ => return Err(InvalidValue),
        };
        if !is_host(host) {
            return Err(InvalidValue);
        }
        Ok(Self(match port {
            Some(port) if port != default_port => format!("{scheme}://{host}:{port}").into(),
            Some(_) | None => format!("{scheme}://{host}").into(),
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and port of an authority; `None` when the port is not one.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        // A colon inside the brackets of an IPv6 address separates no port.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    match port {
        None => Some((host, None)),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).map(|port| (host, Some(port)))
        }
        Some(_) => None,
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !host.is_empty()
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

fn is_loopback_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || host.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// At most `count` requests in `period`, written `30/1m`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// 1 to 1,000,000.
    pub count: u32,
    /// 1 second to 24 hours.
    pub period: Duration,
}

impl Rate {
    pub(super) const fn per(count: u32, period_seconds: u64) -> Self {
        Self { count, period: Duration::from_secs(period_seconds) }
    }

    /// So many times as many in the same time.
    #[must_use]
    pub const fn times(self, factor: u32) -> Self {
        Self { count: self.count.saturating_mul(factor), ..self }
    }

    /// One of so many parts in the same time, and at least one.
    #[must_use]
    pub fn part(self, of: u32) -> Self {
        Self { count: self.count.div_ceil(of.max(1)).max(1), ..self }
    }
}

impl FromStr for Rate {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (count, period) = text.split_once('/').ok_or(InvalidValue)?;
        let count = count.trim().parse().map_err(|_| InvalidValue)?;
        let period = parse_duration(period.trim()).ok_or(InvalidValue)?;
        let valid = (1..=1_000_000).contains(&count)
            && (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&period);
        if valid { Ok(Self { count, period }) } else { Err(InvalidValue) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, write_duration(self.period))
    }
}

/// The name of a server among others: 1 to 64 letters, digits, hyphens, underscores and full stops. Not one of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(Box<str>);

impl NodeName {
    /// Begins the names under which commands write to the audit log.
    pub const OF_COMMANDS: &str = "cli-";

    /// A name of the defaults, which a test reads back through the parser.
    pub(super) fn literal(name: &'static str) -> Self {
        Self(name.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let allowed = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let ours = allowed && !text.starts_with(Self::OF_COMMANDS);
        if ours && (1..=64).contains(&text.len()) { Ok(Self(text.into())) } else { Err(InvalidValue) }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a cookie: an RFC 9110 token of at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// A name of the defaults, which a test reads back through the parser.
    pub(super) fn literal(name: &'static str) -> Self {
        Self(name.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether browsers keep it to this very host (`__Host-`). They compare the prefix without regard to case (R031).
    #[must_use]
    pub fn is_host_only(&self) -> bool {
        self.begins_with("__Host-")
    }

    /// Whether browsers insist on `HttpOnly`: the `__Http-` prefixes.
    #[must_use]
    pub fn is_hidden_from_scripts(&self) -> bool {
        self.begins_with("__Http-") || self.begins_with("__Host-Http-")
    }

    /// Whether browsers take it over encrypted connections only: any of the reserved prefixes.
    #[must_use]
    pub fn demands_secure(&self) -> bool {
        self.is_host_only() || self.is_hidden_from_scripts() || self.begins_with("__Secure-")
    }

    fn begins_with(&self, prefix: &str) -> bool {
        self.0.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    }
}

impl FromStr for CookieName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let token = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if token { Ok(Self(text.into())) } else { Err(InvalidValue) }
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The `Domain` of a cookie: a host name with at least one dot, lower case, without a leading dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieDomain(Box<str>);

impl CookieDomain {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookieDomain {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let lower = text.to_ascii_lowercase();
        let valid = lower.len() <= 253 && lower.contains('.') && is_host(&lower) && lower.parse::<IpAddr>().is_err();
        if valid { Ok(Self(lower.into())) } else { Err(InvalidValue) }
    }
}

impl fmt::Display for CookieDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host's name in lower case; no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(Box<str>);

impl HostName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let lower = text.to_ascii_lowercase();
        let valid = lower.len() <= 253 && is_host(&lower) && lower.parse::<IpAddr>().is_err();
        if valid { Ok(Self(lower.into())) } else { Err(InvalidValue) }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A bearer token that is known by its SHA-256 only. The plain text is dropped as soon as it is read.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedToken([u8; 32]);

impl HashedToken {
    /// Whether `presented` is the token. Takes the same time for every wrong one (R003).
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        self.0.ct_eq(&Sha256::digest(presented.as_bytes())).into()
    }
}

impl FromStr for HashedToken {
    type Err = InvalidValue;

    /// Refuses what could be guessed: fewer than 32 characters or fewer than 10 different ones (R170).
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let mut letters: Vec<u8> = text.bytes().collect();
        let visible = letters.iter().all(u8::is_ascii_graphic) && (32..=256).contains(&letters.len());
        letters.sort_unstable();
        letters.dedup();
        if visible && letters.len() >= 10 { Ok(Self(Sha256::digest(text).into())) } else { Err(InvalidValue) }
    }
}

impl fmt::Debug for HashedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedToken(..)")
    }
}
