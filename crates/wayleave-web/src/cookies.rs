//! Cookies, both ways: a strict reader of the `Cookie` header and a builder of `Set-Cookie` that refuses to write what
//! a browser would misread (RFC 6265bis, "layered cookies").

mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{InvalidCookie, MAX_COOKIE_BYTES, MAX_COOKIE_PAIRS, RequestCookies};
pub use write::{
    CookieOptions, CookieSpec, CookieTooLarge, InvalidCookieSpec, Lifetime, MAX_AGE_DAYS, MAX_ATTRIBUTE,
    MAX_NAME_AND_VALUE, SameSite, Transport, Visibility, put_cookie,
};

/// `cookie-octet` of RFC 6265 section 4.1.1: visible ASCII without the double quote, comma, semicolon and backslash.
const fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}
