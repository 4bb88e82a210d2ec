//! Putting an end to open vaults: in one session, or in every session of an account. The sessions themselves go on.

use wayleave::UpdateError;
use wayleave_core::ports::StoreError;
use wayleave_core::record::Record;
use wayleave_core::subject::Subject;

use super::context::{End, VaultContext};
use crate::access::Context;
use crate::app::App;
use crate::audit::Entry;
use crate::error::{ApiError, ErrorCode};

/// Sessions in one step of a listing.
const STEP: u32 = 1000;
/// How often everything is gone through again because sessions went on under another id meanwhile.
const PASSES: usize = 8;

/// Locks the vault in the session with this record; whether it was open. When this has returned, no server lets the session
/// at the vault past the bound in which they hear of each other.
///
/// # Errors
/// 401 when the session is gone, 409 when too many change it at once, 503 when the store does not answer.
pub async fn lock(app: &App, context: &Context, record: &Record) -> Result<bool, ApiError> {
    match end(app, record, End::Locked).await {
        Ok(()) => {
            app.metrics.vault("locked");
            app.record(Entry {
                session: Some(app.reference(&record.id)),
                subject: record.subject.as_ref().map(|subject| subject.as_str().into()),
                actor: context.as_actor().actor.as_deref().filter(|actor| !is(actor, record)).map(Into::into),
                ..context.entry("vault.locked")
            });
            Ok(true)
        }
        Err(UpdateError::Refused(NotOpen)) => Ok(false),
        Err(UpdateError::Gone) => Err(ApiError::new(ErrorCode::SessionInvalid)),
        Err(UpdateError::Contended) => Err(ApiError::new(ErrorCode::Conflict)),
        Err(UpdateError::Store(error)) => Err(error.into()),
    }
}

/// Locks the vault in every session of `subject` that has it open; in how many. One that is opened meanwhile by a fresh proof
/// may stay open.
///
/// # Errors
/// As [`lock`].
pub async fn lock_all(app: &App, context: &Context, subject: &Subject) -> Result<usize, ApiError> {
    let mut locked = 0;
    for _ in 0..PASSES {
        let mut found = false;
        let mut after = None;
        loop {
            let page = app.manager.list(Some(subject), after.as_deref(), STEP).await?;
            for record in page.records.iter().filter(|record| is_open(record)) {
                found = true;
                match lock(app, context, record).await {
                    Ok(was_open) => locked += usize::from(was_open),
                    // It ended, or goes on under another id: the next pass finds that one.
                    Err(error) if error.code() == ErrorCode::SessionInvalid => {}
                    Err(error) => return Err(error),
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if !found {
            return Ok(locked);
        }
    }
    Err(ApiError::new(ErrorCode::Conflict))
}

/// Writes down that a vault was found unused for too long, so that neither a clock nor a setting opens it again.
pub(super) async fn note_unused(app: &App, record: &Record) -> Result<(), StoreError> {
    match end(app, record, End::Unused).await {
        // Whoever was first ended it too, or the session is gone; one that is used at this moment is not over.
        Ok(()) | Err(UpdateError::Refused(NotOpen) | UpdateError::Gone | UpdateError::Contended) => Ok(()),
        Err(UpdateError::Store(error)) => Err(error),
    }
}

async fn end(app: &App, record: &Record, how: End) -> Result<(), UpdateError<NotOpen>> {
    let unused = app.options.vault_lifetime;
    app.manager
        .change(record, |held| {
            let open = VaultContext::of(held).filter(|context| context.ended.is_none()).ok_or(NotOpen)?;
            if how == End::Unused && open.end(unused, app.now()).is_none() {
                return Err(NotOpen);
            }
            // It takes the place of one of the same size.
            VaultContext { ended: Some(how), ..open }.put(&mut held.context).map_err(|_| NotOpen)
        })
        .await
        .map(drop)
}

fn is_open(record: &Record) -> bool {
    VaultContext::of(record).is_some_and(|context| context.ended.is_none())
}

fn is(actor: &str, record: &Record) -> bool {
    record.subject.as_ref().is_some_and(|subject| subject.as_str() == actor)
}

/// The session does not have the vault open.
struct NotOpen;
