//! The vault of the person behind the session: locking it, and its key.

pub mod key;

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Context;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::vault;
use crate::wire::{Envelope, ErrorBody};

pub mod blobs;

/// In which sessions to lock the vault.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockScope {
    /// In this one.
    #[default]
    This,
    /// In every session of the account.
    All,
}

/// In which sessions to lock the vault.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockRequest {
    /// In this one unless told.
    #[serde(default)]
    scope: LockScope,
}

/// How many sessions had the vault open.
#[derive(Serialize, ToSchema)]
pub struct LockedCount {
    /// How many.
    pub locked: usize,
}

/// Locks the vault in this session, or in every session of the account. The sessions go on; it takes another proof of the
/// password by OPAQUE to open it again. Does no harm where it is not open.
#[utoipa::path(post, path = "/api/vault/lock", operation_id = "lock_vault", tag = "vault",
    security(("session" = []), ("bearer" = [])), request_body = LockRequest,
    responses((status = 200, body = Envelope<LockedCount>), (status = "default", body = ErrorBody)))]
pub async fn lock(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<LockRequest>,
) -> Result<Envelope<LockedCount>, ApiError> {
    let session = context.session()?;
    let locked = match request.scope {
        LockScope::This => usize::from(vault::lock(&app, &context, session.record()).await?),
        LockScope::All => {
            let subject = session.subject().ok_or_else(|| ApiError::new(ErrorCode::PermissionDenied))?;
            vault::lock_all(&app, &context, subject).await?
        }
    };
    Ok(Envelope::new(LockedCount { locked }))
}
