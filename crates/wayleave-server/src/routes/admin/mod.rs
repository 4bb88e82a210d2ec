//! Administration: everything under `/api/admin`. Every route wants the `admin` permission and a recent sign-in.

pub mod audit;
pub mod invitations;
pub mod keys;
pub mod service_keys;
pub mod sessions;
pub mod settings;
pub mod stats;
pub mod users;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use wayleave_core::permission::{MAX_PERMISSIONS, Permissions};
use wayleave_core::ports::MAX_AUDIT_DETAIL;

use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::ApiError;
use crate::links::Link;
use crate::wire::rfc3339;

/// Most invitations that wait, and most service keys ever made: as many as one listing shows.
pub(crate) const MOST_LISTED: u32 = 1000;
/// Names in one audit row, when all of them do not fit it; the longest take 67 bytes each.
const NAMES_IN_A_ROW: usize = 24;

/// The name of a permission.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(pattern = "^[a-z0-9:_.-]{1,64}$", example = "users:manage")]
pub struct PermissionName(String);

/// Permissions as a request names them.
///
/// # Errors
/// 422 when a name is malformed or there are more than 64.
pub(super) fn permissions(names: &[PermissionName]) -> Result<Permissions, ApiError> {
    let malformed =
        || ApiError::validation(&[("permissions", "at most 64 names of 1 to 64 characters: a-z, 0-9, `: _ . -`")]);
    if names.len() > MAX_PERMISSIONS {
        return Err(malformed());
    }
    Permissions::new(names.iter().map(|PermissionName(name)| name.as_str())).map_err(|_| malformed())
}

/// Names for an answer.
fn names(permissions: &Permissions) -> Vec<String> {
    permissions.iter().map(str::to_owned).collect()
}

/// A one-time link. It is shown this once.
#[derive(Serialize, ToSchema)]
pub struct LinkAnswer {
    /// The whole address. Its secret stands behind the `#`.
    #[schema(example = "https://id.example.org/reset#ln_...")]
    url: String,
    /// From then on it opens nothing. RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
}

impl LinkAnswer {
    fn of(link: &Link) -> Self {
        Self { url: link.url.to_string(), expires_at: rfc3339(link.expires_at) }
    }
}

/// An audit entry of what an administrator does.
fn entry(context: &Context, event: &'static str) -> Entry {
    Entry { actor: context.as_actor().actor.as_deref().map(Into::into), ..context.entry(event) }
}

/// Lists of names, each under what it is called.
pub(crate) type Lists<'a> = &'a [(&'static str, Vec<&'a str>)];

/// Puts `entry` down with `facts` and `lists` as its detail: in one row, or where they are too long for one, in
/// several, so that none of the names is missing from the log.
pub(crate) fn record(app: &App, entry: &Entry, facts: &Map<String, Value>, lists: Lists<'_>) {
    for detail in details(facts, lists) {
        let detail = detail.as_object().is_some_and(|detail| !detail.is_empty()).then_some(detail);
        app.record(Entry { detail, ..entry.clone() });
    }
}

fn details(facts: &Map<String, Value>, lists: Lists<'_>) -> Vec<Value> {
    let with = |name: &str, names: &[&str]| [(name.to_owned(), Value::from(names))];
    let mut whole = facts.clone();
    whole.extend(lists.iter().filter(|(_, names)| !names.is_empty()).flat_map(|(name, names)| with(name, names)));
    let whole = Value::from(whole);
    if whole.to_string().len() <= MAX_AUDIT_DETAIL {
        return vec![whole];
    }
    let parts = lists
        .iter()
        .flat_map(|(name, names)| names.chunks(NAMES_IN_A_ROW).map(move |names| Value::from_iter(with(name, names))));
    std::iter::once(Value::from(facts.clone())).chain(parts).collect()
}

#[cfg(test)]
mod tests;
