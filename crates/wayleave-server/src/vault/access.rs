//! The guard of every route of the vault.

use std::time::Duration;

use serde_json::json;
use wayleave::UpdateError;
use wayleave_core::entries::Entries;
use wayleave_core::ports::AccountId;
use wayleave_core::record::Record;
use wayleave_core::time::Timestamp;

use super::context::{End, Lacking, Lifetime, Refusal, Right, VaultContext, judge};
use super::lock;
use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode, StepUp};

/// The right of a session to do something with its account's vault, at this moment. Only [`VaultAccess::demand`] makes one.
#[derive(Clone, Debug)]
pub struct VaultAccess {
    account: AccountId,
    right: Right,
    ends_at: Timestamp,
}

impl VaultAccess {
    /// Asks whether the session of the request holds the vault open for what takes `right`. A request that is its user's
    /// doing keeps it open for longer.
    ///
    /// # Errors
    /// 401 where there is no session, or one whose client changed and whose kind then wants a fresh proof. 403 `vault_required` or `vault_locked`, with `details.reason`. 503 when the store does
    /// not answer.
    pub async fn demand(app: &App, context: &Context, right: Right) -> Result<Self, ApiError> {
        let session = context.session()?;
        if session.is_suspect() {
            let max_age = app.options.step_up_max_age;
            return Err(ApiError::step_up(StepUp { acr_values: "1", max_age }));
        }
        let (unused, now) = (app.options.vault_lifetime, app.now());
        let mut held = match judge(session.record(), right, unused, now) {
            Ok(held) => held,
            Err(refusal) => {
                if refusal == Refusal::Over(End::Unused) {
                    lock::note_unused(app, session.record()).await?;
                }
                return Err(refuse(app, context, session.record(), refusal));
            }
        };
        let account = session.subject().and_then(AccountId::of_subject);
        let account = account.ok_or_else(|| ApiError::new(ErrorCode::PermissionDenied))?;
        let lifetime = Lifetime { unused, session_ends_at: session.session_expires_at() };
        if context.is_active() && held.used(lifetime, now).ends_at.since(held.ends_at) >= throttle(unused) {
            match extend(app, session.record(), right, lifetime).await {
                Ok(extended) => held = extended,
                Err(UpdateError::Refused(refusal)) => return Err(refuse(app, context, session.record(), refusal)),
                Err(UpdateError::Gone) => return Err(ApiError::new(ErrorCode::SessionInvalid)),
                // Others change the record at this moment. It is open all the same; the next request moves the end.
                Err(UpdateError::Contended) => {}
                Err(UpdateError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(Self { account, right: held.right, ends_at: held.ends_at })
    }

    /// Whose vault it is.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// All that the session may do with it; at least what was asked for.
    #[must_use]
    pub const fn right(&self) -> Right {
        self.right
    }

    /// When it is over, unless it is used before.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        self.ends_at
    }
}

/// Opens the vault in the context of a session that ends at `session_ends_at` whatever happens, and whose user has just
/// proved to know the password by OPAQUE.
///
/// # Errors
/// 500 where the context is full.
pub fn open(app: &App, right: Right, session_ends_at: Timestamp, into: &mut Entries) -> Result<(), ApiError> {
    let lifetime = Lifetime { unused: app.options.vault_lifetime, session_ends_at };
    VaultContext::open(right, lifetime, app.now()).put(into).map_err(|error| {
        tracing::error!(%error, "a vault could not be opened");
        ApiError::new(ErrorCode::InternalError)
    })
}

/// Writes down that a session opened the vault, if it did.
pub fn note_opened(app: &App, context: &Context, record: &Record) {
    if let Some(VaultContext { right, .. }) = VaultContext::of(record) {
        app.metrics.vault("opened");
        app.record(Entry {
            session: Some(app.reference(&record.id)),
            subject: record.subject.as_ref().map(|subject| subject.as_str().into()),
            reason: Some(right.as_str()),
            ..context.entry("vault.opened")
        });
    }
}

/// By how much the end must move for that to be written down: a twentieth of the lifetime, at most a minute. So a vault may
/// be over that much earlier than its last use says, and never later.
fn throttle(unused: Duration) -> Duration {
    const MOST: Duration = Duration::from_secs(60);
    (unused / 20).min(MOST)
}

/// Keeps the vault open for longer, if it still is open in the record as it is now: whoever locked it meanwhile was first.
async fn extend(
    app: &App,
    record: &Record,
    right: Right,
    lifetime: Lifetime,
) -> Result<VaultContext, UpdateError<Refusal>> {
    let now = app.now();
    let mut extended = None;
    let changed = app.manager.change(record, |record| {
        let held = judge(record, right, lifetime.unused, now).map_err(Unchanged::Refused)?;
        let context = held.used(lifetime, now);
        if context.ends_at.since(held.ends_at) < throttle(lifetime.unused) {
            return Err(Unchanged::Extended(held));
        }
        extended = Some(context);
        // It takes the place of one of the same size.
        context.put(&mut record.context).map_err(|_| Unchanged::Refused(Refusal::Required(Lacking::Opening)))
    });
    match changed.await {
        Ok(_) => extended.ok_or(UpdateError::Gone),
        Err(UpdateError::Refused(Unchanged::Extended(held))) => Ok(held),
        Err(UpdateError::Refused(Unchanged::Refused(refusal))) => Err(UpdateError::Refused(refusal)),
        Err(UpdateError::Gone) => Err(UpdateError::Gone),
        Err(UpdateError::Contended) => Err(UpdateError::Contended),
        Err(UpdateError::Store(error)) => Err(UpdateError::Store(error)),
    }
}

/// Why a vault's end is not moved.
enum Unchanged {
    /// It is not open any more.
    Refused(Refusal),
    /// A request beside this one has just moved it.
    Extended(VaultContext),
}

fn refuse(app: &App, context: &Context, record: &Record, refusal: Refusal) -> ApiError {
    let (code, reason) = match refusal {
        Refusal::Required(lacking) => (ErrorCode::VaultRequired, lacking.as_str()),
        Refusal::Over(end) => (ErrorCode::VaultLocked, end.as_str()),
    };
    app.metrics.vault("refused");
    app.record(Entry {
        session: Some(app.reference(&record.id)),
        subject: record.subject.as_ref().map(|subject| subject.as_str().into()),
        reason: Some(reason),
        ..context.entry("vault.refused")
    });
    ApiError::new(code).with_details(json!({ "reason": reason }))
}
