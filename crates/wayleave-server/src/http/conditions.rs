//! Conditional requests (RFC 9110 section 13) on things whose versions have random names: which version a change is made
//! from, and which one a reader has at hand.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use wayleave_core::blob::BlobId;
use wayleave_core::ports::Expected;

use crate::error::{ApiError, ErrorCode};

/// Most versions that one header may name.
const MOST_TAGS: usize = 32;

/// What `If-Match` or `If-None-Match` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    /// `*`
    Any,
    /// Versions; what is none of ours is no version of anything.
    Listed(Vec<Tag>),
}

/// One version in a list.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// None for what cannot be one of ours.
    id: Option<BlobId>,
    weak: bool,
}

impl Tags {
    /// Reads a header; none where it is not there.
    ///
    /// # Errors
    /// 400 when it is malformed, repeated or too long.
    pub fn of(headers: &HeaderMap, name: HeaderName) -> Result<Option<Self>, ApiError> {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let malformed = || ApiError::new(ErrorCode::BadRequest);
        let text = value.to_str().map_err(|_| malformed())?.trim();
        if values.next().is_some() {
            return Err(malformed());
        }
        if text == "*" {
            return Ok(Some(Self::Any));
        }
        let tags: Option<Vec<_>> = text.split(',').take(MOST_TAGS + 1).map(|tag| Tag::read(tag.trim())).collect();
        match tags {
            Some(tags) if tags.len() <= MOST_TAGS => Ok(Some(Self::Listed(tags))),
            Some(_) | None => Err(malformed()),
        }
    }

    /// Whether they have a version, by the weak comparison, which is right for `If-None-Match`.
    #[must_use]
    pub fn has_weakly(&self, id: BlobId) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag.id == Some(id)),
        }
    }

    /// Whether they have a version, by the strong comparison, which is right for `If-Match`.
    fn has(&self, id: BlobId) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag.id == Some(id) && !tag.weak),
        }
    }
}

impl Tag {
    fn read(text: &str) -> Option<Self> {
        let (weak, quoted) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let is_tag = opaque.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e));
        is_tag.then(|| Self { id: opaque.parse().ok(), weak })
    }
}

/// Which version a change is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The client did not say.
    Absent,
    /// `If-None-Match: *`: there is none yet.
    New,
    /// `If-Match`.
    Match(Tags),
}

impl Condition {
    /// Reads the headers of a change.
    ///
    /// # Errors
    /// 400 when they are malformed, contradict each other, or `If-None-Match` is anything but `*`.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        match (Tags::of(headers, IF_MATCH)?, Tags::of(headers, IF_NONE_MATCH)?) {
            (None, None) => Ok(Self::Absent),
            (None, Some(Tags::Any)) => Ok(Self::New),
            (Some(tags), None) => Ok(Self::Match(tags)),
            (_, Some(_)) => Err(ApiError::new(ErrorCode::BadRequest)),
        }
    }

    /// Whether the client did not say.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// What must be there for the change to be made, where `current` is there now.
    ///
    /// # Errors
    /// 412 `precondition_failed` where something else is; 428 `precondition_required` where something is and the client did
    /// not say that it knows.
    pub fn judge(&self, current: Option<BlobId>) -> Result<Expected, ApiError> {
        let expected = match (self, current) {
            (Self::Absent | Self::New, None) => Expected::Absent,
            (Self::Match(Tags::Any), Some(_)) => Expected::Present,
            (Self::Match(tags), Some(id)) if tags.has(id) => Expected::Exactly(id),
            (Self::Absent | Self::New, Some(_)) | (Self::Match(_), _) => {
                return Err(self.unmet(ApiError::new(ErrorCode::PreconditionFailed)));
            }
        };
        Ok(expected)
    }

    /// What the client is told where something else was there: that it must say what it knows, if it did not.
    #[must_use]
    pub fn unmet(&self, error: ApiError) -> ApiError {
        if self.is_absent() && error.code() == ErrorCode::PreconditionFailed {
            return ApiError::new(ErrorCode::PreconditionRequired);
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const ID: BlobId = BlobId([0xab; 16]);
    const OTHER: BlobId = BlobId([0xcd; 16]);

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn judge(fields: &[(HeaderName, &str)], current: Option<BlobId>) -> Result<Expected, ErrorCode> {
        let condition = Condition::of(&headers(fields)).map_err(|error| error.code())?;
        condition.judge(current).map_err(|error| error.code())
    }

    #[test]
    fn changes_need_to_know_what_is_there() {
        let (strong, weak) = (format!("\"{ID}\""), format!("W/\"{ID}\""));
        let list = format!("\"x\",  W/\"{ID}\", \"{OTHER}\" , \"{ID}\"");
        let failed = Err(ErrorCode::PreconditionFailed);
        for (fields, where_none, where_one) in [
            (vec![], Ok(Expected::Absent), Err(ErrorCode::PreconditionRequired)),
            (vec![(IF_NONE_MATCH, "*")], Ok(Expected::Absent), failed),
            (vec![(IF_MATCH, "*")], failed, Ok(Expected::Present)),
            (vec![(IF_MATCH, &*strong)], failed, Ok(Expected::Exactly(ID))),
            (vec![(IF_MATCH, &*list)], failed, Ok(Expected::Exactly(ID))),
            // A weak one never matches for a change.
            (vec![(IF_MATCH, &*weak)], failed, failed),
            (vec![(IF_MATCH, "\"anything\"")], failed, failed),
            (vec![(IF_MATCH, "\"\"")], failed, failed),
        ] {
            assert_eq!(judge(&fields, None), where_none, "{fields:?}");
            assert_eq!(judge(&fields, Some(ID)), where_one, "{fields:?}");
        }
        assert_eq!(judge(&[(IF_MATCH, &strong)], Some(OTHER)), failed);
    }

    #[test]
    fn malformed_conditions_are_refused() {
        let (tag, many) = (format!("\"{ID}\""), vec!["\"x\""; MOST_TAGS + 1].join(","));
        for fields in [
            vec![(IF_MATCH, "")],
            vec![(IF_MATCH, "x")],
            vec![(IF_MATCH, "\"x")],
            vec![(IF_MATCH, "\"")],
            vec![(IF_MATCH, "w/\"x\"")],
            vec![(IF_MATCH, "\"x\",")],
            vec![(IF_MATCH, "*, \"x\"")],
            vec![(IF_MATCH, "\"a b\"")],
            vec![(IF_MATCH, &*many)],
            vec![(IF_MATCH, &*tag), (IF_NONE_MATCH, "*")],
            vec![(IF_NONE_MATCH, &*tag)],
        ] {
            assert_eq!(judge(&fields, None), Err(ErrorCode::BadRequest), "{fields:?}");
        }
        let mut twice = headers(&[(IF_MATCH, "*")]);
        twice.append(IF_MATCH, HeaderValue::from_static("*"));
        assert_eq!(Condition::of(&twice).map_err(|error| error.code()), Err(ErrorCode::BadRequest));
    }

    /// Readers are told that nothing changed by either comparison.
    #[test]
    fn readers_compare_weakly() {
        let read = |value: &str| Tags::of(&headers(&[(IF_NONE_MATCH, value)]), IF_NONE_MATCH).ok().flatten();
        let (strong, weak) = (format!("\"{ID}\""), format!("W/\"{ID}\""));
        for value in [&strong, &weak, "*"] {
            assert!(read(value).is_some_and(|tags| tags.has_weakly(ID)), "{value}");
        }
        assert!(read(&strong).is_some_and(|tags| !tags.has_weakly(OTHER)));
    }
}
