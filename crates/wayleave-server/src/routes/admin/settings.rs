//! What administrators decide for everybody: the session timeout, lockout, registration.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wayleave_core::record::Revision;

use super::entry;
use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::settings::{ChangeError, InForce, Policy};
use crate::shared::{self, Shared};
use crate::wire::{Envelope, ErrorBody};

/// Highest revision that a request may name: every JSON reader has numbers up to here exactly.
const MOST_REVISION: u64 = (1 << 53) - 1;

/// The settings in force.
#[derive(Serialize, ToSchema)]
pub struct SettingsAnswer {
    /// What administrators decided.
    policy: Policy,
    /// Counts changes; 0 while the configured defaults are in force.
    revision: u64,
}

impl SettingsAnswer {
    fn of(settings: &InForce) -> Self {
        Self { policy: settings.policy.clone(), revision: settings.revision.unwrap_or_default().0 }
    }
}

/// The settings in force.
#[utoipa::path(get, path = "/api/admin/settings", operation_id = "admin_read_settings", tag = "admin",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<SettingsAnswer>), (status = "default", body = ErrorBody)))]
pub async fn read(State(app): State<Arc<App>>) -> Envelope<SettingsAnswer> {
    Envelope::new(SettingsAnswer::of(&app.policy.current()))
}

/// New settings.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsChange {
    /// All of them.
    policy: Policy,
    /// The revision that they replace.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    revision: u64,
}

/// Puts new settings in force, at once and for live sessions too, if the ones in force are still those of `revision`.
///
/// A shorter session timeout ends what is idle for longer at its next request; a longer one revives nothing.
#[utoipa::path(put, path = "/api/admin/settings", operation_id = "admin_change_settings", tag = "admin",
    security(("session" = []), ("bearer" = [])), request_body = SettingsChange,
    responses((status = 200, body = Envelope<SettingsAnswer>),
              (status = 409, description = "Somebody else changed them meanwhile.", body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<SettingsChange>,
) -> Result<Envelope<SettingsAnswer>, ApiError> {
    let SettingsChange { policy, revision } = request;
    let mut problems = policy.problems();
    if revision > MOST_REVISION {
        problems.push(("revision", "0 to 9007199254740991"));
    }
    if !problems.is_empty() {
        return Err(ApiError::validation(&problems));
    }
    let write = async {
        let before = app.policy.current();
        let expected = (revision > 0).then_some(Revision(revision));
        let after = app.policy.change(policy, expected, app.now()).await.map_err(|error| match error {
            ChangeError::Conflict => ApiError::new(ErrorCode::Conflict),
            ChangeError::Store(error) => error.into(),
        })?;
        app.apply_policy();
        app.record(Entry {
            detail: Some(json!({ "before": before.policy, "after": after.policy })),
            ..entry(&context, "settings.changed")
        });
        Ok::<_, ApiError>(after)
    };
    let after = shared::change(&app, Shared::Settings, write).await?;
    Ok(Envelope::new(SettingsAnswer::of(&after)))
}
