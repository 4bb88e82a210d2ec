//! Invitations to make an account.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use utoipa::ToSchema;
use wayleave_core::ports::{AccountId, EmailAddress, EntropyFailure, Invitation};

use super::{LinkAnswer, MOST_LISTED, PermissionName, entry, names, permissions, record};
use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::links::{self, Link, LinkKind};
use crate::wire::{Done, Envelope, ErrorBody, PageOf, rfc3339};

/// An invitation, without its secret.
#[derive(Serialize, ToSchema)]
pub struct InvitationInfo {
    /// What it is called here. Opens nothing.
    id: String,
    /// The only address that may use it, if it is bound to one.
    email: Option<String>,
    /// What the new account may do.
    permissions: Vec<String>,
    /// The account of whoever made it; none for the command line.
    created_by: Option<String>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// From then on it is void. RFC 3339.
    #[schema(format = DateTime)]
    expires_at: String,
}

impl InvitationInfo {
    fn of(invitation: &Invitation) -> Self {
        Self {
            id: public_id(&invitation.key),
            email: invitation.email.as_ref().map(|email| email.as_str().to_owned()),
            permissions: names(&invitation.permissions),
            created_by: invitation.created_by.as_ref().map(ToString::to_string),
            created_at: rfc3339(invitation.created_at),
            expires_at: rfc3339(invitation.expires_at),
        }
    }
}

/// Lists the invitations that are still good, newest first; all are on one page.
#[utoipa::path(get, path = "/api/admin/invitations", operation_id = "admin_list_invitations", tag = "admin",
    security(("session" = []), ("bearer" = [])),
    responses((status = 200, body = Envelope<PageOf<InvitationInfo>>), (status = "default", body = ErrorBody)))]
pub async fn list(State(app): State<Arc<App>>) -> Result<Envelope<PageOf<InvitationInfo>>, ApiError> {
    let invitations = app.directory.invitations.list(app.now(), MOST_LISTED).await?;
    Ok(Envelope::new(PageOf { items: invitations.iter().map(InvitationInfo::of).collect(), next: None }))
}

/// A new invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// The only address that may use it; any unless told.
    #[schema(max_length = 254, format = "email", example = "ann@example.com")]
    email: Option<String>,
    /// What the new account may do; the deployment's default unless told.
    #[schema(max_items = 64)]
    permissions: Option<Vec<PermissionName>>,
    /// Seconds that it is good, a minute to 30 days; what the configuration says unless told.
    #[schema(minimum = 60, maximum = 2_592_000)]
    expires_in: Option<u32>,
}

/// An invitation with its link.
#[derive(Serialize, ToSchema)]
pub struct CreatedInvitation {
    /// The invitation.
    invitation: InvitationInfo,
    /// To be passed on to whoever is invited.
    link: LinkAnswer,
}

/// Makes an invitation, good for one account. Its link is shown this once.
#[utoipa::path(post, path = "/api/admin/invitations", operation_id = "admin_create_invitation", tag = "admin",
    security(("session" = []), ("bearer" = [])), request_body = NewInvitation,
    responses((status = 201, body = Envelope<CreatedInvitation>),
              (status = 409, description = "1000 invitations wait already.", body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<NewInvitation>,
) -> Result<Response, ApiError> {
    let NewInvitation { email, permissions: named, expires_in } = request;
    let email = email
        .map(|text| text.parse::<EmailAddress>())
        .transpose()
        .map_err(|_| ApiError::validation(&[("email", "an e-mail address")]))?;
    let granted = match named {
        Some(named) => permissions(&named)?,
        None => app.options.default_permissions.clone(),
    };
    let lives = match expires_in {
        Some(seconds @ 60..=2_592_000) => Duration::from_secs(seconds.into()),
        Some(_) => return Err(ApiError::validation(&[("expires_in", "60 to 2592000")])),
        None => app.options.invitation,
    };
    let now = app.now();
    if app.directory.invitations.list(now, MOST_LISTED).await?.len() >= usize::try_from(MOST_LISTED).unwrap_or(0) {
        return Err(ApiError::new(ErrorCode::Conflict).with_details(json!({ "reason": "too_many_invitations" })));
    }
    let token = links::new_token(&*app.entropy)?;
    let invitation = Invitation {
        key: token.hash().0,
        email,
        permissions: granted,
        created_by: context.session()?.subject().and_then(AccountId::of_subject),
        created_at: now,
        expires_at: now.plus(lives),
    };
    if !app.directory.invitations.insert(&invitation).await? {
        // 256 bits that came before are no random bits.
        return Err(EntropyFailure.into());
    }
    let mut facts = Map::new();
    facts.insert("id".into(), public_id(&invitation.key).into());
    facts.insert("expires_at".into(), rfc3339(invitation.expires_at).into());
    let granted = ("granted", invitation.permissions.iter().collect());
    record(&app, &entry(&context, "invitation.created"), &facts, &[granted]);
    let url = links::url(LinkKind::Invitation, &app.options.public_url, &token);
    let answer = CreatedInvitation {
        link: LinkAnswer::of(&Link { url, expires_at: invitation.expires_at }),
        invitation: InvitationInfo::of(&invitation),
    };
    Ok((StatusCode::CREATED, Envelope::new(answer)).into_response())
}

/// Withdraws an invitation.
#[utoipa::path(delete, path = "/api/admin/invitations/{id}", operation_id = "admin_withdraw_invitation",
    tag = "admin", security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The invitation, as the list calls it.", max_length = 43)),
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn withdraw(State(app): State<Arc<App>>, context: Context, Path(id): Path<String>) -> Result<Done, ApiError> {
    let missing = || ApiError::new(ErrorCode::NotFound);
    let key = key(&id).ok_or_else(missing)?;
    if !app.directory.invitations.withdraw(key).await? {
        return Err(missing());
    }
    app.record(Entry { detail: Some(json!({ "id": id })), ..entry(&context, "invitation.withdrawn") });
    Ok(Done::YES)
}

/// What an invitation is called in public: the hash that stores know it by, from which nobody finds the token.
fn public_id(key: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

fn key(id: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let length = URL_SAFE_NO_PAD.decode_slice(id, &mut key).ok()?;
    (length == key.len()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_invitation() {
        assert_eq!(key(&public_id(&[0xfe; 32])), Some([0xfe; 32]));
        for hostile in ["", "AAAA", &"A".repeat(42), &"A".repeat(44), &"A".repeat(1000), "../../etc/passwd"] {
            assert_eq!(key(hostile), None, "{hostile:?}");
        }
    }
}
