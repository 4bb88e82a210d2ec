//! What a session's record says of the vault: an entry of its context, sealed at rest as all of it is.
//!
//! ```text
//! version 0x01 | right 1 or 2 | ended 0, 1 or 2 | opened_at (8) | ends_at (8)
//! ```

use std::time::Duration;

use wayleave_core::authentication::{Method, Methods};
use wayleave_core::entries::{Entries, TooLarge};
use wayleave_core::record::{MAX_CLOCK_SKEW, Record};
use wayleave_core::time::Timestamp;

/// The entry's name.
pub const VAULT: &str = "vault";

const VERSION: u8 = 1;
const LENGTH: usize = 1 + 1 + 1 + 8 + 8;

/// What a session may do with the vault.
#[derive(
    Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// See what is in it.
    Read,
    /// See and change what is in it.
    Write,
}

impl Right {
    /// Whether whoever holds this may do what takes `other`.
    #[must_use]
    pub fn includes(self, other: Self) -> bool {
        self >= other
    }

    /// The word in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A vault that a session opened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct VaultContext {
    /// What the session may do with it.
    pub right: Right,
    /// What is known to have ended it. Terminal: no clock and no setting opens it again.
    pub ended: Option<End>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it is over, unless it is used before.
    pub ends_at: Timestamp,
}

/// How long a vault stays open.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From its opening, or from its last use.
    pub unused: Duration,
    /// When the session ends, whatever happens.
    pub session_ends_at: Timestamp,
}

impl Lifetime {
    /// When what is opened or used at `now` is over.
    #[must_use]
    pub fn end(self, now: Timestamp) -> Timestamp {
        now.plus(self.unused).min(self.session_ends_at)
    }
}

/// Why a session may not do something with the vault.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has not opened it, or not for this.
    Required(Lacking),
    /// It had it open.
    Over(End),
}

/// What a session lacks that has the vault not open.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// Anything: it was opened by OPAQUE, and did not ask for the vault.
    Opening,
    /// The right to write.
    Write,
    /// A sign-in by OPAQUE: the session is of another kind, which can never open the vault.
    Opaque(Option<Method>),
}

impl Lacking {
    /// The word in answers and in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "not_opened",
            Self::Write => "read_only",
            Self::Opaque(Some(Method::Password)) => "password",
            Self::Opaque(Some(Method::ServiceKey)) => "service",
            Self::Opaque(Some(Method::Ethereum | Method::InternetComputer)) => "wallet",
            Self::Opaque(Some(Method::Link)) => "link",
            Self::Opaque(Some(Method::ZeroKnowledge | Method::Opaque) | None) => "anonymous",
        }
    }
}

/// What ended a vault that was open.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Somebody locked it.
    Locked,
    /// It was not used for too long.
    Unused,
}

impl End {
    /// The word in answers and in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Unused => "expired",
        }
    }
}

impl VaultContext {
    /// One that is opened at `now`.
    #[must_use]
    pub fn open(right: Right, lifetime: Lifetime, now: Timestamp) -> Self {
        Self { right, ended: None, opened_at: now, ends_at: lifetime.end(now) }
    }

    /// What a record says; `None` where nothing was ever opened, or the entry cannot be read.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        Self::decode(record.context.get(VAULT)?)
    }

    /// Puts it into the context of a record.
    ///
    /// # Errors
    /// [`TooLarge`] where the context is full.
    pub fn put(self, into: &mut Entries) -> Result<(), TooLarge> {
        into.set(VAULT, &self.encode()).map(drop)
    }

    /// What ended it by `now`, if anything did.
    ///
    /// One that was opened in the future, or ends later than anything could that is opened now, was opened under a wrong
    /// clock or a longer lifetime, and is over too: neither keeps a vault open.
    #[must_use]
    pub fn end(self, unused: Duration, now: Timestamp) -> Option<End> {
        let Self { right: _, ended, opened_at, ends_at } = self;
        let ahead = opened_at > now.plus(MAX_CLOCK_SKEW) || ends_at > now.plus(unused).plus(MAX_CLOCK_SKEW);
        ended.or((now >= ends_at || ahead).then_some(End::Unused))
    }

    /// The same, used at `now`: it ends later, never earlier.
    #[must_use]
    pub fn used(self, lifetime: Lifetime, now: Timestamp) -> Self {
        Self { ends_at: self.ends_at.max(lifetime.end(now)), ..self }
    }

    fn encode(self) -> [u8; LENGTH] {
        let Self { right, ended, opened_at, ends_at } = self;
        let right = match right {
            Right::Read => 1,
            Right::Write => 2,
        };
        let ended = match ended {
            None => 0,
            Some(End::Locked) => 1,
            Some(End::Unused) => 2,
        };
        let mut bytes = [0; LENGTH];
        let [opened, ends] = [opened_at, ends_at].map(|time| time.as_millis().to_be_bytes());
        let parts = [VERSION, right, ended].into_iter().chain(opened).chain(ends);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION, right, ended], times) = bytes.split_first_chunk()? else { return None };
        let (opened, ends) = times.split_first_chunk()?;
        let time = |bytes: &[u8; 8]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
        let right = match right {
            1 => Right::Read,
            2 => Right::Write,
            _ => return None,
        };
        let ended = match ended {
            0 => None,
            1 => Some(End::Locked),
            2 => Some(End::Unused),
            _ => return None,
        };
        Some(Self { right, ended, opened_at: time(opened), ends_at: time(ends.try_into().ok()?) })
    }
}

/// Judges whether the session with this record may do what takes `right`, where `unused` is how long a vault may go
/// unused. Pure: every server comes to the same answer.
///
/// What a record says of the vault counts only beside a sign-in by OPAQUE: nothing else proves that there is somebody
/// who can open what is in it.
///
/// # Errors
/// [`Refusal`].
pub fn judge(record: &Record, right: Right, unused: Duration, now: Timestamp) -> Result<VaultContext, Refusal> {
    let methods = record.authentication.map_or(Methods::default(), |authentication| authentication.methods);
    if !methods.contains(Method::Opaque) {
        return Err(Refusal::Required(Lacking::Opaque(methods.iter().next())));
    }
    let Some(context) = VaultContext::of(record) else { return Err(Refusal::Required(Lacking::Opening)) };
    match context.end(unused, now) {
        Some(end) => Err(Refusal::Over(end)),
        None if context.right.includes(right) => Ok(context),
        None => Err(Refusal::Required(Lacking::Write)),
    }
}

#[cfg(test)]
mod tests;
