//! `Set-Cookie`: described once and checked then, so that every later cookie of that description is well formed.

use std::time::Duration;

use http::header::{SET_COOKIE, ToStrError};
use http::{HeaderMap, HeaderValue};

use super::is_cookie_octet;
use crate::bearer::is_token;

/// Most bytes of name and value together (RFC 6265bis section 5.6, R033).
pub const MAX_NAME_AND_VALUE: usize = 4096;
/// Most bytes of one attribute's value.
pub const MAX_ATTRIBUTE: usize = 1024;
/// Longest lifetime in days; longer ones are cut to it (RFC 6265bis section 5.5, R034).
pub const MAX_AGE_DAYS: u64 = 400;

/// What a cookie is. All fields are needed: nothing about a cookie is left to a browser's default.
#[derive(Clone, Debug)]
pub struct CookieOptions {
    /// Its name: a token of RFC 9110. The prefixes `__Host-`, `__Secure-`, `__Http-` and `__Host-Http-`, in whatever
    /// case, oblige the other fields (R031, R032).
    pub name: String,
    /// The path it is sent to; starts with `/`.
    pub path: String,
    /// The domain whose hosts all get it, or none for this host alone. Every host below the domain can then read it.
    pub domain: Option<String>,
    /// Which requests from other sites bear it.
    pub same_site: SameSite,
    /// Whether scripts can read it.
    pub visibility: Visibility,
    /// Whether it travels in the clear.
    pub transport: Transport,
}

/// The `SameSite` attribute.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Only requests from the same site.
    Strict,
    /// Also when somebody follows a link to here.
    Lax,
    /// All requests; needs [`Transport::Secure`].
    None,
}

/// The `HttpOnly` attribute.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// For the server alone.
    HttpOnly,
    /// Scripts of the page may read it, as they must read the CSRF token's.
    Script,
}

/// The `Secure` attribute.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over TLS only; browsers take the loopback host for as good.
    Secure,
    /// Over anything. For development on a plain host name.
    AlsoPlaintext,
}

/// How long a browser keeps a cookie.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is closed.
    BrowserSession,
    /// This long, cut to whole seconds and to [`MAX_AGE_DAYS`].
    For(Duration),
}

/// A checked description, from which cookies and their exact removal are made.
#[derive(Clone, Debug)]
pub struct CookieSpec {
    name: String,
    place: String,
    attributes: String,
}

impl CookieSpec {
    /// Checks `options`.
    ///
    /// # Errors
    /// [`InvalidCookieSpec`] says which rule they break. Control characters, semicolons and everything outside ASCII
    /// are refused in all of them (A08).
    pub fn new(options: CookieOptions) -> Result<Self, InvalidCookieSpec> {
        let CookieOptions { name, path, domain, same_site, visibility, transport } = options;
        if name.is_empty() || name.len() > MAX_ATTRIBUTE || !name.bytes().all(is_token) {
            return Err(InvalidCookieSpec::Name);
        }
        if !path.starts_with('/') || !is_attribute(&path) {
            return Err(InvalidCookieSpec::Path);
        }
        if let Some(domain) = &domain
            && !is_domain(domain)
        {
            return Err(InvalidCookieSpec::Domain);
        }
        let prefix = Prefix::of(&name);
        if (prefix.needs_secure || same_site == SameSite::None) && transport != Transport::Secure {
            return Err(InvalidCookieSpec::NeedsSecure);
        }
        if prefix.needs_host && (domain.is_some() || path != "/") {
            return Err(InvalidCookieSpec::NeedsHost);
        }
        if prefix.needs_http_only && visibility != Visibility::HttpOnly {
            return Err(InvalidCookieSpec::NeedsHttpOnly);
        }
        let mut attributes = format!("; Path={path}");
        if let Some(domain) = domain {
            attributes.push_str("; Domain=");
            attributes.push_str(&domain);
        }
        let place = format!("{name}{attributes}");
        attributes.push_str(match transport {
            Transport::Secure => "; Secure",
            Transport::AlsoPlaintext => "",
        });
        attributes.push_str(match visibility {
            Visibility::HttpOnly => "; HttpOnly",
            Visibility::Script => "",
        });
        attributes.push_str(match same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        Ok(Self { name, place, attributes })
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells the cookie from every other in a browser: name, path and domain.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A `Set-Cookie` value that sets the cookie. It is marked sensitive, so that HTTP libraries do not print it.
    ///
    /// # Errors
    /// [`CookieTooLarge`] when name and value pass [`MAX_NAME_AND_VALUE`] or the value has other than cookie octets;
    /// the cookie that the browser holds stays as it is (R033, A07).
    pub fn set(&self, value: &str, lifetime: Lifetime) -> Result<HeaderValue, CookieTooLarge> {
        if self.name.len() + value.len() > MAX_NAME_AND_VALUE || !value.bytes().all(is_cookie_octet) {
            return Err(CookieTooLarge);
        }
        let age = match lifetime {
            Lifetime::BrowserSession => String::new(),
            Lifetime::For(length) => format!("; Max-Age={}", length.as_secs().min(MAX_AGE_DAYS * 24 * 60 * 60)),
        };
        let text = format!("{}={value}{age}{}", self.name, self.attributes);
        let mut header = HeaderValue::from_str(&text).map_err(|_| CookieTooLarge)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// The `Set-Cookie` value that removes exactly this cookie: the same name, path, domain and attributes.
    #[must_use]
    pub fn removal(&self) -> HeaderValue {
        let text = format!("{}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{}", self.name, self.attributes);
        // Every part was checked by `new`, so the fallback is never sent.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("invalid=; Max-Age=0"))
    }
}

/// Puts a `Set-Cookie` value into a response's headers in place of any other of the same name, so that a response
/// never sets one cookie twice (R035).
pub fn put_cookie(headers: &mut HeaderMap, cookie: HeaderValue) {
    let name = name_of(&cookie).ok().map(str::to_owned);
    let others: Vec<HeaderValue> =
        headers.get_all(SET_COOKIE).iter().filter(|other| name_of(other).ok() != name.as_deref()).cloned().collect();
    headers.remove(SET_COOKIE);
    for other in others {
        headers.append(SET_COOKIE, other);
    }
    headers.append(SET_COOKIE, cookie);
}

fn name_of(cookie: &HeaderValue) -> Result<&str, ToStrError> {
    cookie.to_str().map(|text| text.split('=').next().unwrap_or_default())
}

struct Prefix {
    needs_secure: bool,
    needs_host: bool,
    needs_http_only: bool,
}

impl Prefix {
    /// Browsers match the prefixes without regard to case, so that `__host-` cannot slip past a server that does not.
    fn of(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let host = lower.starts_with("__host-");
        let http = lower.starts_with("__http-") || lower.starts_with("__host-http-");
        Self { needs_secure: host || http || lower.starts_with("__secure-"), needs_host: host, needs_http_only: http }
    }
}

fn is_attribute(text: &str) -> bool {
    text.len() <= MAX_ATTRIBUTE && text.bytes().all(|byte| matches!(byte, 0x20..=0x3a | 0x3c..=0x7e))
}

/// A host name in its ASCII form, without a leading or trailing dot.
fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// A cookie cannot be described so.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCookieSpec {
    /// The name is empty, too long or not a token.
    #[error("a cookie's name is letters, digits and !#$%&'*+-.^_`|~")]
    Name,
    /// The path does not start with a slash, is too long, or holds a semicolon or control character.
    #[error("a cookie's path starts with / and holds no semicolon or control character")]
    Path,
    /// The domain is not a lower-case host name of at least two labels.
    #[error("a cookie's domain is a lower-case host name without leading dot")]
    Domain,
    /// `SameSite=None` and every prefix need the `Secure` attribute.
    #[error("this cookie must be Secure")]
    NeedsSecure,
    /// `__Host-` needs the path `/` and no domain.
    #[error("a __Host- cookie has the path / and no domain")]
    NeedsHost,
    /// `__Http-` and `__Host-Http-` need `HttpOnly`.
    #[error("a __Http- cookie must be HttpOnly")]
    NeedsHttpOnly,
}

/// The cookie would not be stored by a browser, or would be stored as another one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cookie's name and value are at most 4096 bytes of cookie octets")]
pub struct CookieTooLarge;
