//! Who is signed in, for sessions that carry their identity in their own data.

use wayleave_core::authentication::Authentication;
use wayleave_core::permission::Permissions;
use wayleave_core::subject::Subject;

/// Who is signed in, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub subject: Subject,
    /// What was granted at the sign-in; every request cuts it down to what the subject may do then.
    pub permissions: Permissions,
    /// How and when the subject proved itself.
    pub authentication: Authentication,
    /// The epoch of the subject's standing at the sign-in.
    pub epoch: u64,
    /// The subject's generation of revocable sessions at the sign-in.
    pub generation: u64,
    /// Whether the person asked to be remembered.
    pub remembered: bool,
}
