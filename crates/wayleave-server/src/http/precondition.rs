//! `If-Match` and `If-None-Match` (RFC 9110 section 13) of requests that change something: which version the client has seen.

use std::str::FromStr;

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use crate::error::{ApiError, ErrorCode};

/// What must be there for a change to be made.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Precondition<T> {
    /// Nothing: `If-None-Match: *`.
    Absent,
    /// Anything: `If-Match: *`.
    Present,
    /// This version: `If-Match: "..."`.
    Exactly(T),
}

/// What the headers of a request demand.
///
/// # Errors
/// 428 `precondition_required` where they demand nothing, so that no write is lost by being forgotten. 412
/// `precondition_failed` for tags that no version of ours has, weak ones among them. 400 for more than one of the headers or
/// of their values: a change is made to one version.
pub fn precondition<T: FromStr>(headers: &HeaderMap) -> Result<Precondition<T>, ApiError> {
    let malformed = || ApiError::new(ErrorCode::BadRequest);
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        let value = values.next();
        if values.next().is_some() { Err(malformed()) } else { Ok(value) }
    };
    match (only(IF_MATCH)?, only(IF_NONE_MATCH)?) {
        (None, None) => Err(ApiError::new(ErrorCode::PreconditionRequired)),
        (Some(_), Some(_)) => Err(malformed()),
        (None, Some(value)) if value == "*" => Ok(Precondition::Absent),
        (None, Some(_)) => Err(malformed()),
        (Some(value), None) if value == "*" => Ok(Precondition::Present),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| malformed())?;
            if text.contains(',') {
                return Err(malformed());
            }
            let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|tag| tag.parse().ok());
            tag.map(Precondition::Exactly).ok_or_else(|| ApiError::new(ErrorCode::PreconditionFailed))
        }
    }
}

/// Says in an answer which version it is about.
pub fn put_etag(headers: &mut HeaderMap, version: impl std::fmt::Display) {
    // Versions are written in hex digits, which a header takes.
    if let Ok(value) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(ETAG, value);
    }
}

#[cfg(test)]
mod tests {
    use wayleave_core::ports::KeyTag;

    use super::*;

    const TAG: &str = "000102030405060708090a0b0c0d0e0f";

    fn read(fields: &[(&'static str, &str)]) -> Result<Precondition<KeyTag>, ErrorCode> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        precondition(&headers).map_err(|error| error.code())
    }

    #[test]
    fn the_headers_say_what_must_be_there() {
        let tag: KeyTag = TAG.parse().unwrap();
        let quoted = format!("\"{TAG}\"");
        assert_eq!(read(&[("if-match", &quoted)]), Ok(Precondition::Exactly(tag)));
        assert_eq!(read(&[("if-match", "*")]), Ok(Precondition::Present));
        assert_eq!(read(&[("if-none-match", "*")]), Ok(Precondition::Absent));
        assert_eq!(read(&[]), Err(ErrorCode::PreconditionRequired));
        let mut headers = HeaderMap::new();
        put_etag(&mut headers, tag);
        assert_eq!(headers.get(ETAG).unwrap(), &*quoted);
    }

    #[test]
    fn what_names_no_version_of_ours_matches_none() {
        for value in [TAG, "\"\"", "W/\"000102030405060708090a0b0c0d0e0f\"", "\"0\"", "\"", ""] {
            assert_eq!(read(&[("if-match", value)]), Err(ErrorCode::PreconditionFailed), "{value}");
        }
    }

    #[test]
    fn a_change_is_made_to_one_version() {
        let quoted = format!("\"{TAG}\"");
        for fields in [
            &[("if-match", &*quoted), ("if-match", &*quoted)][..],
            &[("if-match", "*"), ("if-none-match", "*")],
            &[("if-none-match", &quoted)],
            &[("if-match", "\"a\", \"b\"")],
        ] {
            assert_eq!(read(fields), Err(ErrorCode::BadRequest), "{fields:?}");
        }
    }
}
