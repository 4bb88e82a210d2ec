//! The JSON forms that several routes share, and how domain values are written in them.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wayleave::Session;
use wayleave_core::ports::Account;
use wayleave_core::record::Record;
use wayleave_core::time::Timestamp;

use crate::error::{ApiError, ErrorCode};
use crate::vault::{Right, VaultContext};

/// `{"success":true,"data":...}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T: ToSchema> {
    /// Always `true`; refusals have a form of their own.
    success: bool,
    /// The answer.
    data: T,
}

impl<T: ToSchema> Envelope<T> {
    /// Wraps an answer.
    pub const fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

impl<T: ToSchema + Serialize> IntoResponse for Envelope<T> {
    fn into_response(self) -> Response {
        // Most answers fit, so that writing them seldom has to make room.
        let mut text = Vec::with_capacity(512);
        match serde_json::to_writer(&mut text, &self) {
            Ok(()) => json(text),
            Err(_) => ApiError::new(ErrorCode::InternalError).into_response(),
        }
    }
}

/// An answer that is JSON already.
pub(crate) fn json(text: Vec<u8>) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds a string to JSON that is written by hand. Most need no escape and are copied whole.
pub(crate) fn push_json_string(json: &mut String, text: &str) {
    // To the end, whatever is found: that way several bytes are looked at at once.
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'));
    if is_plain {
        json.extend(["\"", text, "\""]);
    } else {
        json.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// `{"success":true}`, for what has nothing more to say.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Always `true`.
    success: bool,
}

impl Done {
    /// It was done.
    pub const YES: Self = Self { success: true };
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// The body of every refusal, for the OpenAPI document; [`crate::error::ApiError`] writes it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// Always `false`.
    pub success: bool,
    /// What went wrong.
    pub error: ErrorInfo,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorInfo {
    /// One of the codes of `spec/errors.toml`.
    #[schema(example = "session_invalid")]
    pub code: String,
    /// A sentence for people, always the same for one code.
    pub message: String,
    /// More, for programs.
    #[schema(required = false, value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
    /// The request's id, as it stands in the log.
    #[schema(required = false)]
    pub request_id: Option<String>,
}

/// The same in the form of RFC 9457, for clients that prefer `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `about:blank`, or one of the registered types.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the type means.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// A sentence for people, always the same for one code.
    pub detail: String,
    /// One of the codes of `spec/errors.toml`.
    #[schema(example = "session_invalid")]
    pub code: String,
    /// The request's id, as it stands in the log.
    #[schema(required = false)]
    pub instance: Option<String>,
    /// More, for programs.
    #[schema(required = false, value_type = Option<Object>)]
    pub details: Option<serde_json::Value>,
}

/// RFC 3339 in UTC, to the second, rounded down.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// A person, as the person's own client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// `user_...`
    pub id: String,
    /// What is typed to sign in.
    pub email: String,
    /// What to call the person.
    pub name: String,
    /// A job title; it grants nothing.
    pub role: String,
    /// The most that the person's sessions may do.
    pub permissions: Vec<String>,
    /// Whether signing in is on.
    pub is_active: bool,
    /// Telephone number.
    pub phone: Option<String>,
    /// Free labels.
    pub labels: Vec<String>,
    /// Address of a picture.
    pub avatar: Option<String>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl User {
    /// From an account.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            email: account.email.as_str().to_owned(),
            name: account.name.to_string(),
            role: account.role.to_string(),
            permissions: account.permissions.iter().map(str::to_owned).collect(),
            is_active: !account.disabled,
            phone: account.phone.as_deref().map(str::to_owned),
            labels: account.labels.iter().map(ToString::to_string).collect(),
            avatar: account.avatar.as_deref().map(str::to_owned),
            created_at: rfc3339(account.created_at),
            updated_at: rfc3339(account.updated_at),
        }
    }
}

/// The vault, as a session holds it open or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct VaultInfo {
    /// What the session may do with it.
    pub right: Right,
    /// When it was opened. RFC 3339.
    #[schema(format = DateTime)]
    pub opened_at: String,
    /// When it is over, unless it is used before. RFC 3339.
    #[schema(format = DateTime)]
    pub ends_at: String,
    /// What ended it, once it is over: `locked` or `expired`.
    pub ended: Option<String>,
}

impl VaultInfo {
    /// From a record; `None` where the session never opened the vault.
    #[must_use]
    pub fn of(record: &Record, now: Timestamp) -> Option<Self> {
        let context = VaultContext::of(record)?;
        Some(Self {
            right: context.right,
            opened_at: rfc3339(context.opened_at),
            ends_at: rfc3339(context.ends_at),
            ended: context.end(Duration::MAX, now).map(|end| end.as_str().to_owned()),
        })
    }
}

/// A session, as its owner or an administrator sees it. Holds nothing that opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionInfo {
    /// The handle for ending it.
    #[schema(example = "web_q83vASNFZ4mrze8BI0VniavN")]
    pub session_id: String,
    /// Its kind.
    pub session_type: String,
    /// Whose it is; none for guests.
    pub subject: Option<String>,
    /// Whether this request came with it.
    pub current: bool,
    /// What it was granted at sign-in.
    pub permissions: Vec<String>,
    /// How its subject proved itself (RFC 8176).
    pub amr: Vec<String>,
    /// When its subject proved itself. RFC 3339.
    #[schema(format = DateTime)]
    pub auth_time: Option<String>,
    /// Whether its user asked to be remembered.
    pub remembered: bool,
    /// The device, as far as it told.
    pub device: Option<String>,
    /// The coarse network it was opened from.
    pub network: Option<String>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The last activity that was written down. RFC 3339.
    #[schema(format = DateTime)]
    pub last_activity: String,
    /// When the current token ends. RFC 3339.
    #[schema(format = DateTime)]
    pub expires_at: String,
    /// When it ends without further activity. RFC 3339.
    #[schema(format = DateTime)]
    pub idle_expires_at: Option<String>,
    /// When it ends, whatever happens. RFC 3339.
    #[schema(format = DateTime)]
    pub session_expires_at: String,
    /// Whether it has ended already and is only still on record.
    pub ended: bool,
    /// The vault, where the session opened it.
    #[schema(required = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultInfo>,
}

impl SessionInfo {
    /// From a record; `current` is the session of the request.
    #[must_use]
    pub fn of(record: &Record, current: Option<&Session>, now: Timestamp) -> Self {
        let authentication = record.authentication;
        Self {
            session_id: record.id.to_string(),
            session_type: record.kind.to_string(),
            subject: record.subject.as_ref().map(ToString::to_string),
            current: current.is_some_and(|session| session.id() == record.id),
            permissions: record.permissions.iter().map(str::to_owned).collect(),
            amr: authentication
                .iter()
                .flat_map(|authentication| authentication.methods.iter())
                .map(|method| method.as_str().to_owned())
                .collect(),
            auth_time: authentication.map(|authentication| rfc3339(authentication.at)),
            remembered: record.remembered,
            device: record.client.label.as_deref().map(str::to_owned),
            network: record.client.network.as_deref().map(str::to_owned),
            created_at: rfc3339(record.created_at),
            last_activity: rfc3339(record.last_seen_at),
            expires_at: rfc3339(record.token_expires_at),
            idle_expires_at: record.idle_expires_at.map(rfc3339),
            session_expires_at: rfc3339(record.absolute_expires_at),
            ended: now >= record.ends_at(),
            vault: VaultInfo::of(record, now),
        }
    }
}

/// A page of a longer list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageOf<T: ToSchema> {
    /// The items.
    pub items: Vec<T>,
    /// To be sent as `after` for the next page; none at the end.
    pub next: Option<String>,
}

/// Which page of a longer list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// `next` of the page before.
    #[param(max_length = 512)]
    pub after: Option<String>,
    /// At most this many, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

impl PageQuery {
    /// The size of the page: 50 unless told.
    ///
    /// # Errors
    /// 422 outside 1 to 200, and for a cursor longer than any of ours.
    pub fn most(&self) -> Result<u32, ApiError> {
        if self.after.as_ref().is_some_and(|after| after.len() > 512) {
            return Err(ApiError::validation(&[("after", "`next` of the page before")]));
        }
        page_size(self.limit)
    }
}

/// The size of a page: 50 unless told.
///
/// # Errors
/// 422 outside 1 to 200.
pub fn page_size(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(50);
    if (1..=200).contains(&limit) { Ok(limit) } else { Err(ApiError::validation(&[("limit", "1 to 200")])) }
}
