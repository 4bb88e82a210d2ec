//! The `Cookie` header of a request, read without mercy.

use http::HeaderMap;
use http::header::COOKIE;
use memchr::memchr;
use smallvec::SmallVec;

use super::is_cookie_octet;

/// Most bytes of all `Cookie` fields together (R007).
pub const MAX_COOKIE_BYTES: usize = 16 * 1024;
/// Most name-value pairs.
pub const MAX_COOKIE_PAIRS: usize = 128;

/// The cookies of one request.
///
/// The header is cut at every semicolon, one leading space is dropped, and the name ends at the first equals sign;
/// nothing else is interpreted: no quotes, no escapes, no `$Version`, no percent-encoding (R037, A05). Pairs without a
/// name are ignored, names are compared byte for byte (A04), and values of cookies that nobody asks for may hold
/// anything. HTTP/2 may split the header; the parts are read as one (RFC 9113 section 8.2.3).
pub struct RequestCookies<'a> {
    pairs: SmallVec<[(&'a [u8], &'a [u8]); 8]>,
}

impl<'a> RequestCookies<'a> {
    /// Reads every `Cookie` field.
    ///
    /// # Errors
    /// [`InvalidCookie::TooLarge`] beyond [`MAX_COOKIE_BYTES`] or [`MAX_COOKIE_PAIRS`]. Nothing is read by half (A06).
    pub fn read(headers: &'a HeaderMap) -> Result<Self, InvalidCookie> {
        let mut bytes = 0_usize;
        let mut pairs = SmallVec::new();
        for field in headers.get_all(COOKIE) {
            bytes = bytes.saturating_add(field.len());
            if bytes > MAX_COOKIE_BYTES {
                return Err(InvalidCookie::TooLarge);
            }
            for piece in pieces(field.as_bytes()) {
                let piece = piece.strip_prefix(b" ").unwrap_or(piece);
                let Some((name, value)) = memchr(b'=', piece).and_then(|end| piece.split_at_checked(end)) else {
                    continue;
                };
                if name.is_empty() {
                    continue;
                }
                if pairs.len() >= MAX_COOKIE_PAIRS {
                    return Err(InvalidCookie::TooLarge);
                }
                pairs.push((name, value.get(1..).unwrap_or_default()));
            }
        }
        Ok(Self { pairs })
    }

    /// The value of `name`, or nothing when there is no such cookie.
    ///
    /// # Errors
    /// [`InvalidCookie::Duplicate`] when the name comes more than once, whatever the values (R036, A03), and
    /// [`InvalidCookie::Malformed`] when its value is not made of cookie octets.
    pub fn find(&self, name: &str) -> Result<Option<&'a str>, InvalidCookie> {
        let mut values = self.pairs.iter().filter(|(held, _)| *held == name.as_bytes()).map(|(_, value)| *value);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(InvalidCookie::Duplicate);
        }
        // To the end, whatever is found: that way several octets are looked at at once.
        if !value.iter().fold(true, |fits, byte| fits & is_cookie_octet(*byte)) {
            return Err(InvalidCookie::Malformed);
        }
        std::str::from_utf8(value).map(Some).map_err(|_| InvalidCookie::Malformed)
    }

    /// Whether the request carries no cookie with a name, asked for or not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// What stands between the semicolons.
fn pieces(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some((piece, after)) = memchr(b';', text).and_then(|end| text.split_at_checked(end)) else {
            return Some(text);
        };
        rest = after.get(1..);
        Some(piece)
    })
}

/// A cookie cannot be used.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCookie {
    /// The header passes a limit; answered with 431.
    #[error("the Cookie header is too large")]
    TooLarge,
    /// The name comes more than once: another host of the same site may have planted one. Answered with 400.
    #[error("the cookie comes more than once")]
    Duplicate,
    /// The value holds something that no cookie of ours does. Answered with 400.
    #[error("the cookie's value is malformed")]
    Malformed,
}
