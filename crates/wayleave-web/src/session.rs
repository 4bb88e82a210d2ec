//! The session of a request, as handlers see it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wayleave::kv::{SaveError, SessionData, Unreadable, Unwritable};
use wayleave_core::entries::{Entries, MAX_KEY};
use wayleave_core::permission::Permissions;
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use crate::layer::{Backend, Change, DataPlace, Loaded, SessionWatch, Slot, State, WatchSource};
use crate::reject::SessionRejection;

mod passage;
mod save;
mod sign_in;

pub use sign_in::{Reach, SignIn, SignInError, SignedIn};

/// The session of the request: a guest's, or somebody's who is signed in.
///
/// As an extractor it never refuses a request for having no session. Reading makes nothing; the first
/// [`set`](Self::set) makes a session, and its cookie goes out with the answer. What a handler changes is saved when it
/// has answered, unless the answer is a server error; [`save`](Self::save) does it earlier. Nothing saves what a
/// clone changes after the answer, and no cookie goes out any more. Two requests that change
/// different keys at the same time both have their way.
#[derive(Clone)]
pub struct Session(pub(crate) Arc<Slot>);

impl Session {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        self.0.state.lock().value(key)
    }

    /// The value of `key`, read as JSON.
    ///
    /// # Errors
    /// [`Unreadable`] when it is not a `T`, for example since a version of the application before wrote it.
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Unreadable> {
        let mut one = SessionData::restored(Timestamp::MIN, Timestamp::MAX);
        if let Some(value) = self.get(key) {
            one.set(key, value);
        }
        one.get_as(key)
    }

    /// Sets `key`. It is saved with the answer.
    ///
    /// # Errors
    /// [`SaveError::TooLarge`], and for sealed cookies [`SaveError::CookieTooLarge`], with the number of bytes that are
    /// too many; nothing is changed then.
    pub fn set(&self, key: impl Into<String>, value: impl Into<String>) -> Result<(), SaveError> {
        self.change(key.into(), Some(value.into()))
    }

    /// Sets `key` to `value` as JSON.
    ///
    /// # Errors
    /// [`SetError`].
    pub fn set_as<T: Serialize + ?Sized>(&self, key: impl Into<String>, value: &T) -> Result<(), SetError> {
        let key = key.into();
        let mut one = SessionData::restored(Timestamp::MIN, Timestamp::MAX);
        one.set_as(key.clone(), value)?;
        let text = one.remove(&key).unwrap_or_default();
        Ok(self.set(key, text)?)
    }

    /// Removes `key`, and gives back what it held.
    pub fn remove(&self, key: &str) -> Option<String> {
        let held = self.get(key)?;
        let mut state = self.0.state.lock();
        state.changes.insert(key.to_owned(), Change::made(None));
        Some(held)
    }

    fn change(&self, key: String, value: Option<String>) -> Result<(), SaveError> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(wayleave::kv::TooLarge::Key.into());
        }
        let mut state = self.0.state.lock();
        let before = state.changes.insert(key.clone(), Change::made(value));
        let fits = match &self.0.shared.backend {
            Backend::Sealed(cookies) => cookies.encrypt(&self.0.data(&state)).map(drop),
            Backend::Records { .. } | Backend::KeyValue(_) => self.0.data(&state).check().map_err(Into::into),
        };
        if fits.is_err() {
            match before {
                Some(before) => state.changes.insert(key, before),
                None => state.changes.remove(&key),
            };
        }
        fits
    }

    /// Sets `key` to `new` if it holds `expected`, in the store and at once; says whether it did. For what two requests
    /// may do at the same time: counting, taking a place in a list. Sealed cookies have no store to do it in, and
    /// compare with what the request brought.
    ///
    /// # Errors
    /// See [`SessionRejection`].
    pub async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&str>,
        new: Option<&str>,
    ) -> Result<bool, SessionRejection> {
        self.0.compare_and_set(key, expected, new).await
    }

    /// Saves what was changed now, not with the answer. Afterwards it is there for other requests of the session.
    ///
    /// # Errors
    /// See [`SessionRejection`].
    pub async fn save(&self) -> Result<(), SessionRejection> {
        self.0.save().await
    }

    /// Whether somebody is signed in.
    #[must_use]
    pub fn is_signed_in(&self) -> bool {
        match &self.0.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => session.subject().is_some(),
            Some(Loaded::Data { data, .. }) => data.principal().is_some(),
            Some(Loaded::Nobody(_)) | None => false,
        }
    }

    /// Who is signed in.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        self.0.subject()
    }

    /// What the session may do: what was granted at the sign-in, cut down to what its subject may do now.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        match &self.0.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => session.permissions().clone(),
            Some(Loaded::Data { permissions, .. }) => permissions.clone(),
            Some(Loaded::Nobody(_)) | None => Permissions::none(),
        }
    }

    /// Whether the session may do what is called `permission`.
    #[must_use]
    pub fn may(&self, permission: &str) -> bool {
        match &self.0.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => session.permissions().contains(permission),
            Some(Loaded::Data { permissions, .. }) => permissions.contains(permission),
            Some(Loaded::Nobody(_)) | None => false,
        }
    }

    /// When the session ends, whatever happens; none for a guest without one.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.0.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => Some(session.session_expires_at()),
            Some(Loaded::Data { data, .. }) => Some(self.0.shared.absolute_end(data)),
            Some(Loaded::Nobody(_)) | None => None,
        }
    }

    /// When its subject last proved itself; none for guests.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        match &self.0.state.lock().loaded {
            Some(Loaded::Record { session, .. }) => session.record().authentication.map(|proof| proof.at),
            Some(Loaded::Data { data, .. }) => data.principal().map(|principal| principal.authentication.at),
            Some(Loaded::Nobody(_)) | None => None,
        }
    }

    /// Waits for the session's end, for a connection that outlives the request, such as a WebSocket. None where there
    /// is no session.
    #[must_use]
    pub fn watch(&self) -> Option<SessionWatch> {
        let shared = &self.0.shared;
        let state = self.0.state.lock();
        let source = match (&state.loaded, &shared.backend) {
            (Some(Loaded::Record { session, token }), Backend::Records { manager, .. }) => WatchSource::Record {
                manager: Arc::clone(manager),
                token: token.clone(),
                id: session.id(),
                watchers: Arc::clone(&shared.watchers),
                notify: shared.watchers.join(manager, session.id()),
            },
            (Some(Loaded::Data { data, id, .. }), backend) => WatchSource::Data {
                place: match backend {
                    Backend::KeyValue(store) => DataPlace::Store(Arc::clone(store)),
                    Backend::Sealed(cookies) => DataPlace::Cookie(Arc::clone(cookies)),
                    Backend::Records { .. } => return None,
                },
                id: zeroize::Zeroizing::new(self.0.key(id)),
                data: data.clone(),
                absolute_end: shared.absolute_end(data),
                subjects: Arc::clone(&shared.options.subjects),
            },
            _ => return None,
        };
        Some(SessionWatch { source, clock: Arc::clone(&shared.options.clock) })
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("subject", &self.subject()).finish_non_exhaustive()
    }
}

/// A value was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It has no JSON form.
    #[error(transparent)]
    Unwritable(#[from] Unwritable),
    /// It passes a limit.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl axum_core::response::IntoResponse for SetError {
    fn into_response(self) -> axum_core::response::Response {
        match self {
            Self::Save(error) => SessionRejection::from(error).into_response(),
            Self::Unwritable(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a value has no JSON form");
                SessionRejection::Panicked.into_response()
            }
        }
    }
}

impl State {
    fn value(&self, key: &str) -> Option<String> {
        if let Some(change) = self.changes.get(key) {
            return change.value.clone();
        }
        match self.loaded.as_ref()? {
            Loaded::Nobody(_) => None,
            Loaded::Data { data, .. } => data.get(key).map(str::to_owned),
            Loaded::Record { session, .. } => {
                let value = session.record().data.get(key)?;
                std::str::from_utf8(value).ok().map(str::to_owned)
            }
        }
    }

    /// What was changed and not saved: what is removed first, so that what is set finds room.
    fn unsaved(&self) -> Vec<Unsaved> {
        let unsaved = self.changes.iter().filter(|(_, change)| !change.saved);
        let mut unsaved: Vec<_> = unsaved
            .map(|(key, change)| Unsaved { change: (key.clone(), change.value.clone()), migrated: change.migrated })
            .collect();
        unsaved.sort_by_key(|unsaved| unsaved.change.1.is_some());
        unsaved
    }
}

/// A change that is to be saved.
pub(crate) struct Unsaved {
    pub(crate) change: wayleave::kv::KeyChange,
    /// Whether it brings older data up to date; of no use where somebody else has done so.
    pub(crate) migrated: bool,
}

/// The data that a session would have, to see whether it fits.
pub(crate) fn entries(data: &SessionData) -> Result<Entries, SessionRejection> {
    let mut entries = Entries::new();
    for (key, value) in data.iter() {
        entries
            .set(key, value.as_bytes())
            .map_err(|_| SessionRejection::from(data.check().err().unwrap_or(wayleave::kv::TooLarge::Key)))?;
    }
    Ok(entries)
}
