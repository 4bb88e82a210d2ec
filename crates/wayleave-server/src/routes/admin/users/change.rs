//! Changing an account, with what follows for its sessions, and never without an administrator left.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use wayleave::events::Cause;
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Account, AccountId, EmailAddress, StoreError};
use wayleave_core::subject::Subject;

use super::{LabelText, Person, account, fields, subject};
use crate::access::{ADMIN, Context, administers};
use crate::accounts::{change_account, display_name};
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};
use crate::http::body::JsonBody;
use crate::opaque::retired;
use crate::routes::admin::{PermissionName, entry, permissions, record};
use crate::shared::{self, Shared};
use crate::wire::{Envelope, ErrorBody};

/// Accounts looked through at once for another administrator.
const STEP: u32 = 1000;

/// What to change of an account; what is not named stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeUser {
    /// What is typed to sign in.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = String, required = false, max_length = 254, format = "email")]
    email: Option<String>,
    /// What to call the person.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200,
             pattern = r"^[^\x00-\x20\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$")]
    name: Option<String>,
    /// A job title; it grants nothing.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 100,
             pattern = r"^[^\x00-\x20\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$")]
    role: Option<String>,
    /// Telephone number; `null` removes it.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, required = false, min_length = 1, max_length = 40,
             pattern = r"^[^\x00-\x20\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff][^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$")]
    phone: Option<Option<String>>,
    /// Free labels, all of them.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Vec<LabelText>, required = false, max_items = 32)]
    labels: Option<Vec<LabelText>>,
    /// Address of a picture; `null` removes it.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Option<String>, required = false, max_length = 2048, pattern = "^https://[!-~]+$")]
    avatar: Option<Option<String>>,
    /// The most that the person's sessions may do, all of it. Live sessions feel it at their next request.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = Vec<PermissionName>, required = false, max_items = 64)]
    permissions: Option<Vec<PermissionName>>,
    /// Whether signing in is off. Turning it off ends every session at once.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = bool, required = false)]
    disabled: Option<bool>,
    /// Whether the next thing to do is to choose a new password. Turning it on ends every session at once.
    #[serde(default, deserialize_with = "named")]
    #[schema(value_type = bool, required = false)]
    must_change_password: Option<bool>,
}

/// Reads a field that is there, so that `null` is a value like any other and not the same as nothing.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// [`ChangeUser`] with every field found good.
struct Change {
    email: Option<EmailAddress>,
    name: Option<Box<str>>,
    role: Option<Box<str>>,
    phone: Option<Option<Box<str>>>,
    labels: Option<Vec<Box<str>>>,
    avatar: Option<Option<Box<str>>>,
    permissions: Option<Permissions>,
    disabled: Option<bool>,
    must_change_password: Option<bool>,
}

impl Change {
    fn read(request: ChangeUser) -> Result<Self, ApiError> {
        let ChangeUser {
            email,
            name,
            role,
            phone,
            labels,
            avatar,
            permissions: granted,
            disabled,
            must_change_password,
        } = request;
        Ok(Self {
            email: email.map(|text| fields::email(&text)).transpose()?,
            name: name.map(|text| display_name(&text)).transpose()?,
            role: role.map(|text| fields::role(&text)).transpose()?,
            phone: phone.map(|phone| phone.map(|text| fields::phone(&text)).transpose()).transpose()?,
            labels: labels.map(|labels| fields::labels(&labels)).transpose()?,
            avatar: avatar.map(|avatar| avatar.map(|text| fields::avatar(&text)).transpose()).transpose()?,
            permissions: granted.map(|granted| permissions(&granted)).transpose()?,
            disabled,
            must_change_password,
        })
    }

    /// Makes the change. Where it ends everything that the account has open, the epoch moves.
    fn apply(&self, account: &mut Account) {
        let Self { email, name, role, phone, labels, avatar, permissions, disabled, must_change_password } = self;
        let (was_disabled, had_to_change) = (account.disabled, account.must_change_password);
        set(&mut account.email, email.as_ref());
        set(&mut account.name, name.as_ref());
        set(&mut account.role, role.as_ref());
        set(&mut account.phone, phone.as_ref());
        set(&mut account.labels, labels.as_ref());
        set(&mut account.avatar, avatar.as_ref());
        set(&mut account.permissions, permissions.as_ref());
        set(&mut account.disabled, disabled.as_ref());
        set(&mut account.must_change_password, must_change_password.as_ref());
        if (account.disabled && !was_disabled) || (account.must_change_password && !had_to_change) {
            account.epoch += 1;
        }
    }
}

fn set<T: Clone>(held: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        held.clone_from(new);
    }
}

/// Changes an account.
///
/// Permissions that are taken away are gone from live sessions at their next request. No change may leave the
/// deployment without an administrator who can sign in.
#[utoipa::path(patch, path = "/api/admin/users/{id}", operation_id = "admin_change_user", tag = "admin",
    security(("session" = []), ("bearer" = [])), params(("id" = String, Path, description = "The account.", max_length = 27)),
    request_body = ChangeUser,
    responses((status = 200, body = Envelope<Person>),
              (status = 409, description = "Another account has this address, nobody would be left to administer \
               (`details.reason` is `last_administrator`), or others change the account at the same time.",
               body = ErrorBody),
              (status = "default", body = ErrorBody)))]
pub async fn change(
    State(app): State<Arc<App>>,
    context: Context,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<ChangeUser>,
) -> Result<Envelope<Person>, ApiError> {
    let change = Change::read(request)?;
    let held = account(&app, &id).await?;
    let mut planned = held.clone();
    change.apply(&mut planned);
    if administers(&held) && !administers(&planned) && !another_administers(&app, &held.id).await? {
        return Err(last_administrator());
    }
    let subject = subject(&held)?;
    if planned.email != held.email {
        retired::retire(&*app.directory.credentials, &held.id, &held.email, app.now()).await?;
    }
    let write = carry_out(&app, &context, &subject, held, &change);
    let after = shared::change(&app, Shared::Subject(&subject), write).await?;
    Ok(Envelope::new(Person::of(&after)))
}

/// Makes a change of the account `before`, with its audit entries, and ends the sessions that it puts an end to.
async fn carry_out(
    app: &App,
    context: &Context,
    subject: &Subject,
    mut before: Account,
    change: &Change,
) -> Result<Account, ApiError> {
    let now = app.now();
    let id = before.id.clone();
    let after = change_account(app, &id, |account| {
        before = account.clone();
        change.apply(account);
        account.updated_at = now;
    })
    .await?;
    let entry = |event| Entry { subject: Some(subject.as_str().into()), ..entry(context, event) };
    for (event, facts, lists) in events(&before, &after) {
        record(app, &entry(event), &facts, &lists);
    }
    // Two administrators may have taken each other's permission at the same moment; then neither did.
    if administers(&before) && !administers(&after) && !app.directory.accounts.anybody_holds(ADMIN).await? {
        let restored = change_account(app, &id, |account| {
            let Account { epoch, last_sign_in_at, revision, .. } = *account;
            *account = Account { epoch, last_sign_in_at, revision, ..before.clone() };
        })
        .await?;
        for (event, facts, lists) in events(&after, &restored) {
            let entry = Entry { reason: Some("last_administrator"), ..entry(event) };
            record(app, &entry, &facts, &lists);
        }
        return Err(last_administrator());
    }
    if after.epoch > before.epoch {
        let cause = if after.disabled { Cause::SubjectDisabled } else { Cause::Administrator };
        app.manager.end_all(subject, None, cause, &context.as_actor()).await?;
    }
    Ok(after)
}

async fn another_administers(app: &App, but: &AccountId) -> Result<bool, StoreError> {
    let accounts = &app.directory.accounts;
    let mut after = None;
    loop {
        let step = accounts.list(None, after.as_ref(), STEP).await?;
        if step.iter().any(|account| account.id != *but && administers(account)) {
            return Ok(true);
        }
        match step.last() {
            Some(last) => after = Some(last.id.clone()),
            None => return Ok(false),
        }
    }
}

fn last_administrator() -> ApiError {
    ApiError::new(ErrorCode::Conflict).with_details(json!({ "reason": "last_administrator" }))
}

/// What the audit log is told: the names of the fields that changed, and which permissions came and went.
type Happened<'a> = (&'static str, Map<String, Value>, Vec<(&'static str, Vec<&'a str>)>);

fn events<'a>(before: &'a Account, after: &'a Account) -> Vec<Happened<'a>> {
    let Account {
        id: _,
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
        created_at: _,
        updated_at: _,
        last_sign_in_at: _,
        revision: _,
    } = after;
    let mut events = Vec::new();
    let fields: Vec<Value> = [
        ("email", *email != before.email),
        ("name", *name != before.name),
        ("role", *role != before.role),
        ("phone", *phone != before.phone),
        ("labels", *labels != before.labels),
        ("avatar", *avatar != before.avatar),
        ("permissions", *permissions != before.permissions),
        ("must_change_password", *must_change_password != before.must_change_password),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(field, _)| field.into())
    .collect();
    if !fields.is_empty() {
        let only_in =
            |one: &'a Permissions, other: &Permissions| one.iter().filter(|name| !other.contains(name)).collect();
        let granted = ("granted", only_in(permissions, &before.permissions));
        let taken = ("taken", only_in(&before.permissions, permissions));
        let facts = Map::from_iter([("fields".to_owned(), fields.into())]);
        events.push(("user.changed", facts, vec![granted, taken]));
    }
    match (before.disabled, *disabled) {
        (false, true) => events.push(("user.disabled", Map::new(), Vec::new())),
        (true, false) => events.push(("user.enabled", Map::new(), Vec::new())),
        (true, true) | (false, false) => {}
    }
    events
}

#[cfg(test)]
mod tests;
