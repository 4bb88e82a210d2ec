//! What clients are told when `wayleave-web` finds a header that cannot be honoured.
use wayleave_web::bearer::InvalidAuthorization;
use wayleave_web::cookies::InvalidCookie;
use wayleave_web::csrf::CsrfFailure;
use wayleave_web::fetch_metadata::DenyReason;

use crate::error::{ApiError, ErrorCode};

impl From<InvalidAuthorization> for ApiError {
    fn from(error: InvalidAuthorization) -> Self {
        match error {
            InvalidAuthorization::Repeated | InvalidAuthorization::TooLong | InvalidAuthorization::Malformed => {
                Self::new(ErrorCode::InvalidRequest)
            }
        }
    }
}

impl From<InvalidCookie> for ApiError {
    fn from(error: InvalidCookie) -> Self {
        match error {
            InvalidCookie::TooLarge => Self::new(ErrorCode::HeadersTooLarge),
            InvalidCookie::Duplicate | InvalidCookie::Malformed => Self::new(ErrorCode::InvalidRequest),
        }
    }
}

impl From<CsrfFailure> for ApiError {
    fn from(failure: CsrfFailure) -> Self {
        match failure {
            CsrfFailure::Missing | CsrfFailure::CookieMissing | CsrfFailure::Malformed | CsrfFailure::NotOurs => {
                Self::new(ErrorCode::CsrfFailed)
            }
        }
    }
}

impl From<DenyReason> for ApiError {
    fn from(reason: DenyReason) -> Self {
        match reason {
            DenyReason::Repeated
            | DenyReason::ForeignOrigin
            | DenyReason::OtherSite
            | DenyReason::NotANavigation
            | DenyReason::Referer
            | DenyReason::Silent => Self::new(ErrorCode::OriginNotAllowed),
        }
    }
}
