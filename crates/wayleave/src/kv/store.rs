//! The store of key-value sessions, and the change that nobody's write is lost to.

use std::convert::Infallible;

use async_trait::async_trait;
use wayleave_core::ports::StoreError;

use super::{SessionData, TooLarge};

/// Keeps key-value sessions.
///
/// Ids are secrets, or hashes of secrets; whoever chooses them draws at least 128 random bits.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// The data under `session_id`; none when there is none, or it has expired.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer. That is never "none".
    async fn load(&self, session_id: &str) -> Result<Option<SessionData>, StoreError>;

    /// Keeps `data` under `session_id`, if the store still holds what it was read from: data with a
    /// [revision](SessionData::revision) replaces just that state, data without one is new and replaces nothing. What
    /// was deleted is not brought back. [`SessionData::succeed`] decides this for authors of stores. Data that has
    /// expired is deleted instead.
    ///
    /// # Errors
    /// See [`SaveError`].
    async fn save(&self, session_id: &str, data: SessionData) -> Result<(), SaveError>;

    /// Deletes. When this has returned, no load sees the data again and no save brings it back.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say that it did.
    async fn delete(&self, session_id: &str) -> Result<(), StoreError>;

    /// Removes what has expired, and says how many there were.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot.
    async fn cleanup_expired(&self) -> Result<usize, StoreError>;

    /// Whether the store answered lately. For health checks; takes no time.
    fn is_healthy(&self) -> bool;

    /// Whether a deleted session is refused although its client kept it. Cookies that hold their own data can only
    /// promise that with somebody who remembers.
    fn supports_revocation(&self) -> bool;
}

/// Why data was not saved. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Somebody else saved under this id since the data was read. Load, change and save again; [`update`] does.
    #[error("the session was changed by somebody else")]
    Conflict,
    /// The session was deleted or has ended since the data was read.
    #[error("the session is gone")]
    Gone,
    /// The data passes a limit.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The sealed form passes what browsers keep.
    #[error("the sealed session is {by} bytes too long for a cookie")]
    CookieTooLarge {
        /// By how many bytes.
        by: usize,
    },
    /// The store cannot answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a change is tried on a newer state.
const ATTEMPTS: usize = 32;

/// Changes the data under `session_id`, on its newest state: when somebody else saves in between, `change` runs again
/// on what they saved. Gives back what was saved, or none when there is no such session.
///
/// # Errors
/// See [`UpdateError`].
pub async fn update<E>(
    store: &dyn SessionStore,
    session_id: &str,
    mut change: impl FnMut(&mut SessionData) -> Result<(), E> + Send,
) -> Result<Option<SessionData>, UpdateError<E>> {
    for _ in 0..ATTEMPTS {
        let Some(held) = store.load(session_id).await.map_err(SaveError::Store)? else { return Ok(None) };
        let mut changed = held.clone();
        change(&mut changed).map_err(UpdateError::Refused)?;
        if changed == held {
            return Ok(Some(held));
        }
        match store.save(session_id, changed.clone()).await {
            Ok(()) => return Ok(Some(changed)),
            Err(SaveError::Gone) => return Ok(None),
            Err(SaveError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(SaveError::Conflict.into())
}

/// Puts the values and the end of `with` in the place of those under `session_id`, whoever saved them last. For
/// interfaces that know whole records alone. Says whether there was such a session: none is created, and none is
/// brought back.
///
/// # Errors
/// See [`SaveError`].
pub async fn overwrite(store: &dyn SessionStore, session_id: &str, with: &SessionData) -> Result<bool, SaveError> {
    let change = |data: &mut SessionData| -> Result<(), Infallible> {
        data.overwrite(with);
        Ok(())
    };
    match update(store, session_id, change).await {
        Ok(saved) => Ok(saved.is_some()),
        Err(UpdateError::Save(error)) => Err(error),
        Err(UpdateError::Refused(never)) => match never {},
    }
}

/// Why data was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// The change itself said no.
    #[error("the change was refused")]
    Refused(E),
    /// The data could not be saved.
    #[error(transparent)]
    Save(#[from] SaveError),
}
