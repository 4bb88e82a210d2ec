//! People: who there is, making accounts, helping those who cannot get in.

mod change;
mod fields;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use utoipa::ToSchema;
use wayleave::events::Cause;
use wayleave_core::ports::{Account, AccountId, InsertAccount};
use wayleave_core::subject::Subject;

use super::{LinkAnswer, PermissionName, entry, names, permissions, record};
use crate::access::Context;
use crate::accounts::{Secret, display_name, insert_account, new_account};
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::http::query::Query;
use crate::links;
use crate::routes::password;
use crate::routes::sessions::EndedCount;
use crate::routes::vault::LockedCount;
use crate::vault;
use crate::wire::{Done, Envelope, ErrorBody, PageOf, page_size, rfc3339};

pub use change::*;
pub use fields::LabelText;

/// Longest text to look for, in characters.
const MOST_SEARCH: usize = 254;

/// An account, as administrators see it.
#[derive(Serialize, ToSchema)]
pub struct Person {
    /// `user_...`; its sessions have the subject `user:<id>`.
    id: String,
    /// What is typed to sign in.
    email: String,
    /// What to call the person.
    name: String,
    /// A job title; it grants nothing.
    role: String,
    /// The most that the person's sessions may do.
    permissions: Vec<String>,
    /// Whether signing in is off.
    disabled: bool,
    /// Whether the next thing to do is to choose a new password.
    must_change_password: bool,
    /// Telephone number.
    phone: Option<String>,
    /// Free labels.
    labels: Vec<String>,
    /// Address of a picture.
    avatar: Option<String>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    updated_at: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    last_sign_in_at: Option<String>,
}

impl Person {
    pub(crate) fn of(account: &Account) -> Self {
        let Account {
            id,
            email,
            name,
            role,
            phone,
            labels,
            avatar,
            permissions,
            disabled,
            must_change_password,
            epoch: _,
            created_at,
            updated_at,
            last_sign_in_at,
            revision: _,
        } = account;
        Self {
            id: id.to_string(),
            email: email.as_str().to_owned(),
            name: name.to_string(),
            role: role.to_string(),
            permissions: names(permissions),
            disabled: *disabled,
            must_change_password: *must_change_password,
            phone: phone.as_deref().map(str::to_owned),
            labels: labels.iter().map(ToString::to_string).collect(),
            avatar: avatar.as_deref().map(str::to_owned),
            created_at: rfc3339(*created_at),
            updated_at: rfc3339(*updated_at),
            last_sign_in_at: last_sign_in_at.map(rfc3339),
        }
    }
}

/// Which accounts to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    /// Only those whose e-mail address or name contains this; upper and lower case of ASCII are the same.
    #[param(max_length = 254)]
    search: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^user_[A-Za-z0-9_-]{22}$")]
    after: Option<String>,
    /// At most this many; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Lists accounts in the order of their ids.
#[utoipa::path(get, path = "/api/admin/users", operation_id = "admin_list_users", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(UserQuery),
    responses((status = 200, body = Envelope<PageOf<Person>>), (status = "default", body = ErrorBody)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<UserQuery>,
) -> Result<Envelope<PageOf<Person>>, ApiError> {
    let UserQuery { search, after, limit } = query;
    let search = search.filter(|text| !text.is_empty());
    if search.as_ref().is_some_and(|text| text.chars().count() > MOST_SEARCH) {
        return Err(ApiError::validation(&[("search", "at most 254 characters")]));
    }
    let malformed = || ApiError::validation(&[("after", "`next` of the page before")]);
    let after = after.map(|text| AccountId::parse(&text).ok_or_else(malformed)).transpose()?;
    let most = page_size(limit)?;
    // One more than is shown tells whether there is another page.
    let found = app.directory.accounts.list(search.as_deref(), after.as_ref(), most + 1).await?;
    let shown = usize::try_from(most).ok().and_then(|most| found.get(..most)).unwrap_or(&found);
    let next = shown.last().filter(|_| shown.len() < found.len()).map(|last| last.id.to_string());
    Ok(Envelope::new(PageOf { items: shown.iter().map(Person::of).collect(), next }))
}

/// Shows one account.
#[utoipa::path(get, path = "/api/admin/users/{id}", operation_id = "admin_show_user", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The account.", max_length = 27)),
    responses((status = 200, body = Envelope<Person>), (status = "default", body = ErrorBody)))]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Envelope<Person>, ApiError> {
    Ok(Envelope::new(Person::of(&account(&app, &id).await?)))
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What is typed to sign in.
    #[schema(max_length = 254, format = "email", example = "ann@example.com")]
    email: String,
    /// What to call the person.
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x20\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$"
    )]
    name: String,
    /// A job title; it grants nothing.
    #[schema(
        min_length = 1,
        max_length = 100,
        pattern = r"^[^\x00-\x20\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$"
    )]
    role: Option<String>,
    /// Telephone number.
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = r"^[^\x00-\x20\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$"
    )]
    phone: Option<String>,
    /// Free labels.
    #[schema(max_items = 32)]
    labels: Option<Vec<LabelText>>,
    /// The most that the person's sessions may do; the deployment's default unless told.
    #[schema(max_items = 64)]
    permissions: Option<Vec<PermissionName>>,
    /// At least 8 characters, at most 1024 bytes, and not a common one. Without one the answer has a link that sets it.
    #[schema(min_length = 8, max_length = 1024, format = Password)]
    password: Option<String>,
    /// Whether the first thing to do is to choose another password.
    #[serde(default)]
    must_change_password: bool,
}

/// An account that was made.
#[derive(Serialize, ToSchema)]
pub struct CreatedUser {
    /// The account.
    user: Person,
    /// Where the person chooses a password, for an account that was made without one.
    reset_link: Option<LinkAnswer>,
}

/// Makes an account.
#[utoipa::path(post, path = "/api/admin/users", operation_id = "admin_create_user", tag = "admin",
    security(("session" = []), ("bearer" = [])), request_body = NewUser,
    responses((status = 201, body = Envelope<CreatedUser>),
              (status = 409, description = "An account has this address already.", body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn create(
    State(app): State<Arc<App>>,
    context: Context,
    JsonBody(request): JsonBody<NewUser>,
) -> Result<Response, ApiError> {
    let NewUser { email, name, role, phone, labels, permissions: named, password, must_change_password } = request;
    let granted = match named {
        Some(named) => permissions(&named)?,
        None => app.options.default_permissions.clone(),
    };
    let mut account = new_account(&app, fields::email(&email)?, display_name(&name)?, granted)?;
    if let Some(role) = role {
        account.role = fields::role(&role)?;
    }
    account.phone = phone.map(|text| fields::phone(&text)).transpose()?;
    account.labels = labels.map(|labels| fields::labels(&labels)).transpose()?.unwrap_or_default();
    account.must_change_password = must_change_password;
    // A weak password is refused before there is anything.
    let secret = match &password {
        Some(text) => Some(Secret::Password(app.passwords.prepare(&account, password::password(text)?).await?)),
        None => None,
    };
    match insert_account(&app.directory, &account, secret.as_ref()).await? {
        InsertAccount::Done => {}
        InsertAccount::Exists => return Err(ApiError::new(ErrorCode::EmailTaken)),
    }
    let made = Entry { subject: Some(subject(&account)?.as_str().into()), ..entry(&context, "user.created") };
    record(&app, &made, &Map::new(), &[("granted", account.permissions.iter().collect())]);
    let reset_link = match secret {
        Some(_) => None,
        None => Some(make_reset_link(&app, &context, &account).await?),
    };
    let answer = CreatedUser { user: Person::of(&account), reset_link };
    Ok((StatusCode::CREATED, Envelope::new(answer)).into_response())
}

/// Forgets the failed sign-ins of an account, so that the next attempt counts as the first.
#[utoipa::path(post, path = "/api/admin/users/{id}/unlock", operation_id = "admin_unlock_user", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The account.", max_length = 27)),
    responses((status = 200, body = Done), (status = "default", body = ErrorBody)))]
pub async fn unlock(State(app): State<Arc<App>>, context: Context, Path(id): Path<String>) -> Result<Done, ApiError> {
    let account = account(&app, &id).await?;
    app.passwords.unlock(&account).await?;
    app.record(Entry { subject: Some(subject(&account)?.as_str().into()), ..entry(&context, "user.unlocked") });
    Ok(Done::YES)
}

/// Makes a link that sets a new password, good once. It is shown this once; the password in force stays until then.
#[utoipa::path(post, path = "/api/admin/users/{id}/reset-link", operation_id = "admin_create_reset_link",
    tag = "admin", security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The account.", max_length = 27)),
    responses((status = 201, body = Envelope<LinkAnswer>),
              (status = 409, description = "The account is disabled.", body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn reset_link(
    State(app): State<Arc<App>>,
    context: Context,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let account = account(&app, &id).await?;
    if account.disabled {
        return Err(ApiError::new(ErrorCode::Conflict).with_details(json!({ "reason": "disabled" })));
    }
    let answer = make_reset_link(&app, &context, &account).await?;
    Ok((StatusCode::CREATED, Envelope::new(answer)).into_response())
}

async fn make_reset_link(app: &App, context: &Context, account: &Account) -> Result<LinkAnswer, ApiError> {
    let maker = context.session()?.subject().and_then(AccountId::of_subject);
    let link = links::issue_reset(app, account, maker.as_ref()).await?;
    app.record(Entry { subject: Some(subject(account)?.as_str().into()), ..entry(context, "user.reset_link") });
    Ok(LinkAnswer::of(&link))
}

/// Ends every session of an account.
#[utoipa::path(delete, path = "/api/admin/users/{id}/sessions", operation_id = "admin_end_sessions_of_user",
    tag = "admin", security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The account.", max_length = 27)),
    responses((status = 200, body = Envelope<EndedCount>), (status = "default", body = ErrorBody)))]
pub async fn end_sessions(
    State(app): State<Arc<App>>,
    context: Context,
    Path(id): Path<String>,
) -> Result<Envelope<EndedCount>, ApiError> {
    let subject = subject(&account(&app, &id).await?)?;
    let ended = app.manager.end_all(&subject, None, Cause::Administrator, &context.as_actor()).await?;
    Ok(Envelope::new(EndedCount { ended: ended.0.len() }))
}

/// Locks the vault in every session of an account. The sessions go on; it takes another proof of the password by OPAQUE to
/// open it again.
#[utoipa::path(post, path = "/api/admin/users/{id}/vault/lock", operation_id = "admin_lock_vault", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The account.", max_length = 27)),
    responses((status = 200, body = Envelope<LockedCount>), (status = "default", body = ErrorBody)))]
pub async fn lock_vault(
    State(app): State<Arc<App>>,
    context: Context,
    Path(id): Path<String>,
) -> Result<Envelope<LockedCount>, ApiError> {
    let subject = subject(&account(&app, &id).await?)?;
    Ok(Envelope::new(LockedCount { locked: vault::lock_all(&app, &context, &subject).await? }))
}

async fn account(app: &App, id: &str) -> Result<Account, ApiError> {
    let missing = || ApiError::new(ErrorCode::NotFound);
    let id = AccountId::parse(id).ok_or_else(missing)?;
    app.directory.accounts.by_id(&id).await?.ok_or_else(missing)
}

fn subject(account: &Account) -> Result<Subject, ApiError> {
    account.subject().ok_or_else(|| ApiError::new(ErrorCode::InternalError))
}
