//! The fields of an account as administrators write them, each with its bounds.

use serde::Deserialize;
use utoipa::ToSchema;
use wayleave_core::ports::EmailAddress;

use crate::error::ApiError;
use crate::text::line;

/// Most labels of one account.
const MOST_LABELS: usize = 32;
/// Longest address of a picture, in bytes.
const MOST_AVATAR: usize = 2048;

/// A free label.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(
    min_length = 1,
    max_length = 64,
    pattern = r"^[^\x00-\x20\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$",
    example = "night shift"
)]
pub struct LabelText(String);

/// An e-mail address.
///
/// # Errors
/// 422 when it is none.
pub(super) fn email(text: &str) -> Result<EmailAddress, ApiError> {
    text.parse().map_err(|_| ApiError::validation(&[("email", "an e-mail address")]))
}

/// A job title.
///
/// # Errors
/// 422 when it is empty, longer than 100 characters or has control characters.
pub(super) fn role(text: &str) -> Result<Box<str>, ApiError> {
    line(text, 100).ok_or_else(|| ApiError::validation(&[("role", "1 to 100 characters, no control characters")]))
}

/// A telephone number, as entered.
///
/// # Errors
/// 422 when it is empty, longer than 40 characters or has control characters.
pub(super) fn phone(text: &str) -> Result<Box<str>, ApiError> {
    line(text, 40).ok_or_else(|| ApiError::validation(&[("phone", "1 to 40 characters, no control characters")]))
}

/// Labels in the order given.
///
/// # Errors
/// 422 when there are more than 32, or one is empty, longer than 64 characters or has control characters.
pub(super) fn labels(labels: &[LabelText]) -> Result<Vec<Box<str>>, ApiError> {
    let malformed =
        || ApiError::validation(&[("labels", "at most 32 of 1 to 64 characters each, no control characters")]);
    if labels.len() > MOST_LABELS {
        return Err(malformed());
    }
    labels.iter().map(|LabelText(text)| line(text, 64).ok_or_else(malformed)).collect()
}

/// The address of a picture. Only `https:`, so that no page that shows it runs a script or mixes plain text in.
///
/// # Errors
/// 422 when it is not `https://` and visible ASCII of at most 2048 bytes.
pub(super) fn avatar(text: &str) -> Result<Box<str>, ApiError> {
    let rest = text.strip_prefix("https://").unwrap_or_default();
    let fits = !rest.is_empty() && text.len() <= MOST_AVATAR && rest.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(text.into()) } else { Err(ApiError::validation(&[("avatar", "an https address")])) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_by_https_alone() {
        assert!(avatar("https://example.org/ann.png?s=40").is_ok());
        let long = format!("https://example.org/{}", "a".repeat(MOST_AVATAR));
        for hostile in ["", "https://", "http://example.org/a", "javascript:alert(1)", "data:,x", "https://a b", &long]
        {
            assert!(avatar(hostile).is_err(), "{hostile:?}");
        }
    }

    #[test]
    fn labels_are_bounded_in_number() {
        let many = |count| vec![LabelText("l".into()); count];
        assert!(labels(&many(32)).is_ok());
        assert!(labels(&many(33)).is_err());
    }
}
