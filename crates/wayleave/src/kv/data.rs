//! The data of one session.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wayleave_core::entries::{MAX_BYTES, MAX_ENTRIES, MAX_KEY};
use wayleave_core::ports::Clock as _;
use wayleave_core::time::Timestamp;

use super::{Principal, SaveError};
use crate::SystemClock;

#[cfg(test)]
mod tests;

/// A map of texts with a lifetime.
///
/// ```
/// use std::time::Duration;
/// use wayleave::kv::SessionData;
///
/// let mut session = SessionData::new(Duration::from_secs(3600));
/// session.set("user_id", "123");
/// session.set_as("cart", &["apples", "pears"])?;
///
/// assert_eq!(session.get("user_id"), Some("123"));
/// assert_eq!(session.get_as::<Vec<String>>("cart")?.map(|cart| cart.len()), Some(2));
/// assert_eq!(session.remove("user_id").as_deref(), Some("123"));
/// assert!(!session.is_expired());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SessionData {
    pub(super) values: BTreeMap<String, String>,
    pub(super) principal: Option<Principal>,
    pub(super) handle: Option<Handle>,
    pub(super) schema: u32,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// The state in the store that this was read from; none for data that was never saved.
    pub(super) revision: Option<u64>,
}

/// Names a session whose client holds it: 128 random bits, sealed with the rest.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub [u8; 16]);

/// A change of one key: its new value, or none to remove it.
pub type KeyChange = (String, Option<String>);

impl SessionData {
    /// The longest lifetime that [`Self::extend`] gives, counted from the creation: 400 days.
    pub const MAX_LIFETIME: Duration = Duration::from_secs(400 * 86_400);

    /// Empty data that expires `ttl` from now, by the system's clock.
    #[must_use]
    pub fn new(ttl: Duration) -> Self {
        Self::new_at(ttl, SystemClock.now())
    }

    /// Empty data that expires `ttl` after `now`.
    #[must_use]
    pub fn new_at(ttl: Duration, now: Timestamp) -> Self {
        Self {
            values: BTreeMap::new(),
            principal: None,
            handle: None,
            schema: 0,
            created_at: now,
            expires_at: now.plus(ttl.min(Self::MAX_LIFETIME)),
            revision: None,
        }
    }

    /// Empty data with the times that another keeper of sessions gave it.
    #[must_use]
    pub fn restored(created_at: Timestamp, expires_at: Timestamp) -> Self {
        Self { expires_at, ..Self::new_at(Duration::ZERO, created_at) }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The value of `key`, read as JSON.
    ///
    /// # Errors
    /// [`Unreadable`] when the value is not a `T`. It stays as it is.
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Unreadable> {
        let Some(text) = self.get(key) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|source| Unreadable { key: key.into(), source })
    }

    /// Sets `key`. Limits are checked when the data is saved; see [`Self::check`].
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.values.insert(key.into(), value.into());
    }

    /// Sets `key` to `value` as JSON.
    ///
    /// # Errors
    /// [`Unwritable`] when `value` has no JSON form.
    pub fn set_as<T: Serialize + ?Sized>(&mut self, key: impl Into<String>, value: &T) -> Result<(), Unwritable> {
        let key = key.into();
        match serde_json::to_string(value) {
            Ok(text) => {
                self.set(key, text);
                Ok(())
            }
            Err(source) => Err(Unwritable { key: key.into(), source }),
        }
    }

    /// Removes `key` and gives back what it held.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.values.remove(key)
    }

    /// Makes a change of one key.
    pub fn apply(&mut self, (key, value): KeyChange) {
        match value {
            Some(value) => self.set(key, value),
            None => drop(self.remove(&key)),
        }
    }

    /// Whether the lifetime is over, by the system's clock. The instant of the end itself is too late (R013).
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.is_expired_at(SystemClock.now())
    }

    /// Whether the lifetime is over at `now`.
    #[must_use]
    pub fn is_expired_at(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// Lets the data live for `ttl` from now, by the system's clock.
    pub fn extend(&mut self, ttl: Duration) {
        self.extend_at(ttl, SystemClock.now());
    }

    /// Lets the data live for `ttl` from `now`, at most [`Self::MAX_LIFETIME`] in all.
    pub fn extend_at(&mut self, ttl: Duration, now: Timestamp) {
        self.expires_at = now.plus(ttl).min(self.created_at.plus(Self::MAX_LIFETIME));
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it ends.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is no key in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Who is signed in, where the session's identity travels with its data. Set by `wayleave-web`.
    #[must_use]
    pub const fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    /// Says who is signed in. Whoever calls this signs somebody in: applications use `wayleave-web`, which does it
    /// under a new id.
    pub fn set_principal(&mut self, principal: Option<Principal>) {
        self.principal = principal;
    }

    /// The session's own name, where it needs one because its client holds it.
    #[must_use]
    pub const fn handle(&self) -> Option<Handle> {
        self.handle
    }

    /// Gives the session a name. It stays the same when the session's data changes, and is a new one after a sign-in.
    pub const fn set_handle(&mut self, handle: Option<Handle>) {
        self.handle = handle;
    }

    /// The version of the application's own layout that the values are in; 0 unless set.
    #[must_use]
    pub const fn schema(&self) -> u32 {
        self.schema
    }

    /// Sets the version of the application's own layout.
    pub const fn set_schema(&mut self, schema: u32) {
        self.schema = schema;
    }

    /// The state of the store that the data was read from; none for data that was never saved.
    #[must_use]
    pub const fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// The same data as if it had been read from the state `revision`, so that saving it replaces that state. For
    /// interfaces that know no revisions.
    #[must_use]
    pub fn at_revision(self, revision: Option<u64>) -> Self {
        Self { revision, ..self }
    }

    /// Takes over what an interface that knows whole records alone can say: the values, and the end, which is at most
    /// [`Self::MAX_LIFETIME`] after the creation. Who is signed in, the name and the layout stay.
    pub(super) fn overwrite(&mut self, with: &Self) {
        self.values.clone_from(&with.values);
        self.expires_at = with.expires_at.min(self.created_at.plus(Self::MAX_LIFETIME));
    }

    /// Whether the data keeps to its limits: 64 keys of 1 to 64 bytes, 16 KiB in all. Stores take nothing else in.
    ///
    /// # Errors
    /// [`TooLarge`] says which limit is passed, and by how much.
    pub fn check(&self) -> Result<(), TooLarge> {
        if self.values.len() > MAX_ENTRIES {
            return Err(TooLarge::Keys { by: self.values.len() - MAX_ENTRIES });
        }
        if self.values.keys().any(|key| key.is_empty() || key.len() > MAX_KEY) {
            return Err(TooLarge::Key);
        }
        let bytes: usize = self.iter().map(|(key, value)| key.len() + value.len()).sum();
        if bytes > MAX_BYTES { Err(TooLarge::Bytes { by: bytes - MAX_BYTES }) } else { Ok(()) }
    }

    /// For authors of stores: what to keep when this is saved over `held`, or why it cannot be. `held` is what the
    /// store has under the id, if it has anything.
    ///
    /// # Errors
    /// [`SaveError::TooLarge`]; [`SaveError::Conflict`] when `held` is not what the data was read from;
    /// [`SaveError::Gone`] when it was read from something and nothing is held any more.
    pub fn succeed(self, held: Option<&Self>) -> Result<Self, SaveError> {
        self.check()?;
        let next = match (self.revision, held) {
            (None, None) => 1,
            (Some(read), Some(held)) if held.revision == Some(read) => read.saturating_add(1),
            (Some(_), None) => return Err(SaveError::Gone),
            (None | Some(_), Some(_)) => return Err(SaveError::Conflict),
        };
        // When data was made is no more anybody's to change than that it is there.
        let created_at = held.map_or(self.created_at, |held| held.created_at);
        Ok(Self { revision: Some(next), created_at, ..self })
    }
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values belong to the application and may be personal; keys are enough to debug with.
        f.debug_struct("SessionData")
            .field("keys", &self.values.keys())
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// Data passes a limit.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Too many keys.
    #[error("session data has at most 64 keys, {by} fewer than these")]
    Keys {
        /// By how many.
        by: usize,
    },
    /// A key is empty or too long.
    #[error("a key of session data is 1 to 64 bytes long")]
    Key,
    /// Keys and values together take too much.
    #[error("session data is at most 16 KiB, {by} bytes less than this")]
    Bytes {
        /// By how many bytes.
        by: usize,
    },
}

/// A value is not what it was asked to be. Its text is not repeated, since it may be personal.
#[derive(Debug, thiserror::Error)]
#[error("the session's {key:?} is not of the type it was asked as")]
pub struct Unreadable {
    /// Which key.
    pub key: Box<str>,
    source: serde_json::Error,
}

/// A value has no JSON form.
#[derive(Debug, thiserror::Error)]
#[error("the value for the session's {key:?} has no JSON form")]
pub struct Unwritable {
    /// Which key.
    pub key: Box<str>,
    source: serde_json::Error,
}
