//! Reads the `Authorization` header strictly: one header, one scheme, one token (RFC 6750 section 2.1, RFC 9110
//! section 11.6.2).

use http::HeaderMap;
use http::header::AUTHORIZATION;

#[cfg(test)]
mod tests;

/// Longest header value that is looked at, in bytes: a JWT of 8 KiB and its scheme (R007).
pub const MAX_AUTHORIZATION: usize = 8 * 1024 + 16;

/// A token as it was sent. Not `Debug`, so that it cannot slip into a log.
#[derive(Copy, Clone)]
pub struct BearerToken<'a>(&'a str);

impl<'a> BearerToken<'a> {
    /// The token: 1 to 8192 characters of the `token68` alphabet.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// What the header holds.
#[derive(Copy, Clone)]
pub enum Authorization<'a> {
    /// There is none.
    Absent,
    /// A bearer token.
    Bearer(BearerToken<'a>),
    /// Credentials of another scheme, which are not ours to read.
    OtherScheme,
}

/// The header cannot be honoured. Each of these is a 400 `invalid_request` (R009, R074).
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthorization {
    /// There is more than one header (A10, R009).
    #[error("more than one Authorization header")]
    Repeated,
    /// It is longer than [`MAX_AUTHORIZATION`]; nothing of it was parsed or hashed.
    #[error("the Authorization header is too long")]
    TooLong,
    /// It has no scheme, or a bearer token that is empty or not `token68`.
    #[error("the Authorization header is malformed")]
    Malformed,
}

/// Reads the `Authorization` header. The scheme's case does not matter; any number of spaces, and nothing but spaces,
/// separates it from the token (R075).
///
/// # Errors
/// [`InvalidAuthorization`], in the order in which it lists its cases.
pub fn authorization(headers: &HeaderMap) -> Result<Authorization<'_>, InvalidAuthorization> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(Authorization::Absent) };
    if values.next().is_some() {
        return Err(InvalidAuthorization::Repeated);
    }
    if value.len() > MAX_AUTHORIZATION {
        return Err(InvalidAuthorization::TooLong);
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| InvalidAuthorization::Malformed)?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    if scheme.is_empty() || !scheme.bytes().all(is_token) {
        return Err(InvalidAuthorization::Malformed);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Authorization::OtherScheme);
    }
    let token = rest.trim_start_matches(' ');
    if is_token68(token) { Ok(Authorization::Bearer(BearerToken(token))) } else { Err(InvalidAuthorization::Malformed) }
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    // To the end, whatever is found: that way several characters are looked at at once.
    !body.is_empty() && body.bytes().fold(true, |fits, byte| fits & is_token68_octet(byte))
}

const fn is_token68_octet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}
