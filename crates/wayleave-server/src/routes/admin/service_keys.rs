//! Service keys: what trusted backends open sessions of their own users with.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use utoipa::ToSchema;
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{InsertServiceKey, ServiceKey, StoreError};
use wayleave_core::time::Timestamp;
use wayleave_core::token::ServiceToken;
use zeroize::Zeroizing;

use super::{MOST_LISTED, PermissionName, entry, names, permissions, record};
use crate::access::{ADMIN, Context};
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::shared::{self, Shared};
use crate::wire::{Done, Envelope, ErrorBody, PageOf, rfc3339};

/// Longest name, in bytes: a subject has room for 128 more.
const MOST_NAME: usize = 32;

/// Seconds that a key may be good: a minute to 400 days.
pub(crate) const EXPIRES_IN: RangeInclusive<u64> = 60..=34_560_000;

/// A service key, without its secret.
#[derive(Serialize, ToSchema)]
pub struct ServiceKeyInfo {
    /// The service. Its subjects are `ext:<name>:...`.
    name: String,
    /// The most that its sessions may do.
    permissions: Vec<String>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// From then on it opens nothing. RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When it was withdrawn. RFC 3339.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// Whether it can be used.
    live: bool,
}

impl ServiceKeyInfo {
    pub(crate) fn of(key: &ServiceKey, now: Timestamp) -> Self {
        Self {
            name: key.name.to_string(),
            permissions: names(&key.permissions),
            created_at: rfc3339(key.created_at),
            expires_at: rfc3339(key.expires_at),
            revoked_at: key.revoked_at.map(rfc3339),
            live: key.is_live(now),
        }
    }
}

/// Lists the keys of all services, withdrawn ones included, by name; all are on one page.
#[utoipa::path(get, path = "/api/admin/service-keys", operation_id = "admin_list_service_keys", tag = "admin",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<PageOf<ServiceKeyInfo>>), (status = "default", body = ErrorBody)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Envelope<PageOf<ServiceKeyInfo>>, ApiError> {
    let keys = app.directory.service_keys.list(MOST_LISTED).await?;
    let now = app.now();
    let items = keys.iter().map(|key| ServiceKeyInfo::of(key, now)).collect();
    Ok(Envelope::new(PageOf { items, next: None }))
}

/// A new service key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceKey {
    /// The service. A name is given out once and for ever.
    #[schema(pattern = "^[a-z][a-z0-9_-]{0,31}$", example = "shop")]
    name: String,
    /// The most that its sessions may do. Never `admin`, and nothing that begins with `vault`.
    #[schema(max_items = 64)]
    permissions: Vec<PermissionName>,
    /// Seconds that it is good, a minute to 400 days.
    #[schema(minimum = 60, maximum = 34_560_000)]
    expires_in: u32,
}

/// A service key with its secret.
#[derive(Serialize, ToSchema)]
pub struct CreatedServiceKey {
    /// The key.
    key: ServiceKeyInfo,
    /// What the service shows: `Authorization: Bearer sk_...`. Shown this once.
    #[schema(example = "sk_...")]
    secret: String,
}

/// Makes a key for a service. Its secret is shown this once.
#[utoipa::path(post, path = "/api/admin/service-keys", operation_id = "admin_create_service_key", tag = "admin",
    security(("session" = []), ("bearer" = [])), request_body = NewServiceKey,
    responses((status = 201, body = Envelope<CreatedServiceKey>),
              (status = 409, description = "The name was given out before, or there are 1000 keys already; \
               `details.reason` says which.", body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<NewServiceKey>,
) -> Result<Response, ApiError> {
    let NewServiceKey { name, permissions: named, expires_in } = request;
    if !is_name(&name) {
        return Err(ApiError::validation(&[("name", "a letter and at most 31 more of a-z, 0-9, `-` and `_`")]));
    }
    let granted = permissions(&named)?;
    if !may_be_granted(&granted) {
        return Err(ApiError::validation(&[("permissions", "never `admin`, and nothing that begins with `vault`")]));
    }
    if !EXPIRES_IN.contains(&u64::from(expires_in)) {
        return Err(ApiError::validation(&[("expires_in", "60 to 34560000")]));
    }
    let conflict = |reason| ApiError::new(ErrorCode::Conflict).with_details(json!({ "reason": reason }));
    if app.directory.service_keys.list(MOST_LISTED).await?.len() >= usize::try_from(MOST_LISTED).unwrap_or(0) {
        return Err(conflict("too_many_service_keys"));
    }
    let mut random = Zeroizing::new([0; 34]);
    app.entropy.fill(random.as_mut())?;
    let token = ServiceToken::new(*random);
    let now = app.now();
    let key = ServiceKey {
        name: name.into(),
        key: token.hash().0,
        permissions: granted,
        created_at: now,
        expires_at: now.plus(Duration::from_secs(expires_in.into())),
        revoked_at: None,
    };
    match app.directory.service_keys.insert(&key).await? {
        InsertServiceKey::Done => {}
        InsertServiceKey::Exists => return Err(conflict("name_taken")),
    }
    let mut facts = Map::new();
    facts.insert("name".into(), key.name.as_ref().into());
    facts.insert("expires_at".into(), rfc3339(key.expires_at).into());
    let granted = ("granted", key.permissions.iter().collect());
    record(&app, &entry(&context, "service_key.created"), &facts, &[granted]);
    let answer = CreatedServiceKey { key: ServiceKeyInfo::of(&key, now), secret: token.reveal().to_string() };
    Ok((StatusCode::CREATED, Envelope::new(answer)).into_response())
}

/// Withdraws a service's key. The sessions that it opened are not honoured any more either.
#[utoipa::path(delete, path = "/api/admin/service-keys/{name}", operation_id = "admin_revoke_service_key",
    tag = "admin", security(("session" = []), ("bearer" = [])), params(("name" = String, Path, description = "The service.", max_length = 32)),
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn revoke(State(app): State<Arc<App>>, context: Context, Path(name): Path<String>) -> Result<Done, ApiError> {
    let missing = || ApiError::new(ErrorCode::NotFound);
    let held = app.directory.service_keys.by_name(&name).await?.ok_or_else(missing)?;
    withdraw(&app, &held, entry(&context, "service_key.revoked")).await?;
    Ok(Done::YES)
}

/// Withdraws the key `held`, with `entry` in the audit log if it was not withdrawn before.
pub(crate) async fn withdraw(app: &App, held: &ServiceKey, entry: Entry) -> Result<(), StoreError> {
    let ServiceKey { name, revoked_at, .. } = held;
    let write = async {
        app.directory.service_keys.revoke(name, app.now()).await?;
        if revoked_at.is_none() {
            app.record(Entry { detail: Some(json!({ "name": name })), ..entry });
        }
        Ok(())
    };
    // Every subject of the service stands differently then, and there may be many.
    shared::change(app, Shared::Everything, write).await
}

/// Whether `text` can be the name of a service.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= MOST_NAME
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// Whether a trusted backend may hand these on: neither administration nor anything of vaults.
pub(crate) fn may_be_granted(permissions: &Permissions) -> bool {
    !permissions.iter().any(|name| name == ADMIN || name.starts_with("vault"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_subjects() {
        for good in ["a", "shop", "shop-2_eu", &"a".repeat(32)] {
            assert!(is_name(good), "{good:?}");
        }
        for hostile in ["", "2shop", "-a", "Shop", "a:b", "a b", "a\n", "ä", &"a".repeat(33)] {
            assert!(!is_name(hostile), "{hostile:?}");
        }
    }

    #[test]
    fn neither_administration_nor_vaults_are_handed_on() {
        let granted = |names: &[&str]| may_be_granted(&Permissions::new(names.iter().copied()).unwrap());
        assert!(granted(&[]));
        assert!(granted(&["read:profile", "administer", "read:vault"]));
        for hostile in ["admin", "vault", "vault:read", "vaults"] {
            assert!(!granted(&["read:profile", hostile]), "{hostile}");
        }
    }
}
