//! OPAQUE over HTTP: registering, changing to it, and logging in, each in two halves. Messages are base64url without
//! padding, as `@serenity-kit/opaque` writes them.

pub mod change;
pub mod login;
pub mod register;
pub mod step_up;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use wayleave_core::ports::EmailAddress;
use wayleave_opaque::{KeyStretching, Malformed, Record, Registration, RegistrationRequest, StretchingCost};
use wayleave_password::{Admission, Attempt, Counted};

use super::sign_in::{Crowd, note_lock, throttled};
use crate::access::Context;
use crate::accounts::Secret;
use crate::app::App;
use crate::error::{ApiError, ErrorCode};
use crate::opaque::Opaque;

/// What the client's key-stretching function costs: Argon2id, version 0x13, 64 bytes long, with a salt of 16 zeroes. A
/// client must refuse what is below a floor of its own.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stretching {
    /// Passes.
    #[schema(minimum = 1, maximum = 64, example = 3)]
    iterations: u32,
    /// Memory in KiB.
    #[schema(minimum = 1024, maximum = 2_097_151, example = 65_536)]
    memory_kib: u32,
    /// Lanes.
    #[schema(minimum = 1, maximum = 16, example = 4)]
    parallelism: u32,
}

impl Stretching {
    const fn of(held: KeyStretching) -> Self {
        let StretchingCost { iterations, memory_kib, parallelism } = held.cost();
        Self { iterations, memory_kib, parallelism }
    }
}

/// The first half of a registration.
#[derive(Serialize, ToSchema)]
pub struct RegistrationStarted {
    /// The server's answer: 64 bytes in base64url.
    #[schema(min_length = 86, max_length = 86)]
    response: String,
    /// What the client is to register with, and to send back.
    key_stretching: Stretching,
}

/// The OPAQUE part of the deployment.
///
/// # Errors
/// 404 where it is turned off.
fn opaque(app: &App) -> Result<&Opaque, ApiError> {
    app.opaque.as_ref().ok_or_else(|| ApiError::new(ErrorCode::NotFound))
}

/// Reads a message of the protocol.
///
/// # Errors
/// 400 that names the field (R109).
fn message<T>(
    field: &'static str,
    text: &str,
    parse: impl FnOnce(&[u8]) -> Result<T, Malformed>,
) -> Result<T, ApiError> {
    // No message is longer than a record.
    let fits = text.len() <= Record::LENGTH.div_ceil(3) * 4;
    let bytes = if fits { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
    bytes.and_then(|bytes| parse(&bytes).ok()).ok_or_else(|| {
        let fields = json!({ field: "a message of this protocol, in base64url without padding" });
        ApiError::new(ErrorCode::BadRequest).with_details(json!({ "fields": fields }))
    })
}

/// The record to keep, of a client that registered with what newcomers are told.
///
/// # Errors
/// 400 for a malformed one, 422 for other parameters: they would tell the account from names without one.
fn record(opaque: &Opaque, upload: &str, stretching: Stretching) -> Result<Record, ApiError> {
    let record = message("upload", upload, Registration::finish)?;
    if stretching != Stretching::of(opaque.key_stretching()) {
        return Err(ApiError::validation(&[("key_stretching", "as the first half of the registration said")]));
    }
    Ok(record)
}

async fn evaluate(
    app: &App,
    opaque: &Opaque,
    request: RegistrationRequest,
    name: &EmailAddress,
) -> Result<RegistrationStarted, ApiError> {
    let identifier = opaque.identifier(&*app.directory.credentials, name).await?;
    let response = Registration::start(opaque.authenticator().setup(), request, &identifier).map_err(|error| {
        tracing::error!(%error, "a registration could not be answered");
        ApiError::new(ErrorCode::InternalError)
    })?;
    Ok(RegistrationStarted {
        response: URL_SAFE_NO_PAD.encode(response.0),
        key_stretching: Stretching::of(opaque.key_stretching()),
    })
}

/// What is stored of a record that was made under this name.
async fn enrolled(app: &App, opaque: &Opaque, record: Record, name: &EmailAddress) -> Result<Secret, ApiError> {
    let identifier = opaque.identifier(&*app.directory.credentials, name).await?;
    Ok(Secret::Opaque(opaque.enrol(identifier, record, app.now())))
}

/// Counts an attempt to learn something about a name's password, as a failed sign-in: the client can tell by the answer
/// whether it guessed right, and need not say so (RFC 9807 section 9.2). A good end takes it back by [`refund`].
///
/// # Errors
/// 429 as for passwords, 503.
async fn charge(app: &App, context: &Context, name: &str, known_device: Option<[u8; 32]>) -> Result<Counted, ApiError> {
    let crowd = Crowd::look(app, context);
    let attempt = Attempt { email: name, known_device, strangers: crowd.strangers() };
    match app.passwords.admit(attempt).await? {
        Admission::Counted(counted) => {
            if let Some(failed) = &app.failed_attempts {
                failed.charge(context.client);
            }
            if counted.locks {
                note_lock(app, context, counted.account.as_ref().map(|account| &account.id));
            }
            Ok(*counted)
        }
        Admission::Locked { until } => Err(throttled(app, context, until)),
        Admission::TurnedAway => Err(crowd.turn_away(app, context)),
    }
}

/// Takes back what [`charge`] charged the deployment's limit with.
fn refund(app: &App, context: &Context) {
    if let Some(failed) = &app.failed_attempts {
        failed.refund(context.client);
    }
}
