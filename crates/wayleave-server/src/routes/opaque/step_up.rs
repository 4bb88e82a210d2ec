//! Proving again by OPAQUE, inside a session.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use wayleave_core::entries::Entries;

use super::login::{Proved, prove};
use crate::access::Context;
use crate::app::App;
use crate::error::ApiError;
use crate::http::body::JsonBody;
use crate::routes::password::{Reauthenticated, freshness, reauthenticated, transport};
use crate::vault::{self, Right};
use crate::wire::{Envelope, ErrorBody};

/// A fresh proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpaqueStepUp {
    /// From the first half, `POST /api/auth/opaque/login/start` with the address of the session's own account.
    #[schema(min_length = 43, max_length = 43)]
    login_id: String,
    /// KE3: 64 bytes in base64url.
    #[schema(min_length = 86, max_length = 86)]
    finish: String,
    /// What the session should do with the vault, which it holds open from now on. What it had open stays as it is unless
    /// told.
    #[serde(default)]
    vault: Option<Right>,
}

/// Proves again by OPAQUE who is behind the session, for actions that want a recent sign-in, and to open the vault. The
/// session goes on under a new id and with new tokens.
#[utoipa::path(post, path = "/api/auth/opaque/step-up", operation_id = "opaque_step_up", tag = "account",
    security(("session" = []), ("bearer" = [])), request_body = OpaqueStepUp,
    responses((status = 200, body = Envelope<Reauthenticated>), (status = "default", body = ErrorBody)))]
pub async fn step_up(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<OpaqueStepUp>,
) -> Result<Response, ApiError> {
    let session = context.session()?;
    // A proof of somebody else is refused below, with the session left as it is.
    let Proved { account: _, evidence, known_device: _ } =
        prove(&app, &context, &request.login_id, &request.finish).await?;
    let mut opens = Entries::new();
    if let Some(right) = request.vault {
        vault::open(&app, right, session.session_expires_at(), &mut opens)?;
    }
    let transport = transport(&context);
    let freshness = freshness(&context, transport);
    let opened = app.manager.reauthenticate_to_open(session, evidence, freshness, &opens, &context.origin).await?;
    app.record(crate::audit::Entry {
        subject: session.subject().map(|subject| subject.as_str().into()),
        session: Some(app.reference(&opened.record.id)),
        reason: Some("opaque"),
        ..context.entry("session.step_up")
    });
    if request.vault.is_some() {
        vault::note_opened(&app, &context, &opened.record);
    }
    reauthenticated(&app, transport, &opened)
}
