//! What an attempt to sign in comes to: what the outside may hear, and what only the audit log learns.

use std::fmt;

use wayleave_core::authentication::Evidence;
use wayleave_core::ports::{Account, AccountId};
use wayleave_core::time::Timestamp;

use crate::hasher::Busy;
use crate::stored::UnreadableHash;

/// What became of a sign-in or a step-up.
#[derive(Debug)]
#[must_use]
pub enum Outcome {
    /// The password is right.
    Verified(Box<Verified>),
    /// It is not, or there is nobody to sign in: outsiders must not learn which (R098).
    Refused(Refused),
    /// There were too many attempts. Nothing was checked, whatever the password.
    Locked {
        /// When the next attempt is allowed.
        until: Timestamp,
    },
    /// The account does not know the browser, and strangers are turned away. Nothing was checked or counted. The same
    /// whether or not there is an account.
    TurnedAway,
    /// There is too much hashing right now. Nothing was checked or counted.
    Busy(Busy),
}

/// A right password.
#[derive(Debug)]
pub struct Verified {
    /// Whose, as it stood when the attempt began.
    pub account: Account,
    /// The proof, which opens one session.
    pub evidence: Evidence,
    /// Whether the person must now choose a new password.
    pub must_change_password: bool,
    /// Whether the account knows the browser that it came from.
    pub known_device: bool,
    /// Whether the password was hashed again with the current parameters (R094).
    pub rehashed: bool,
    /// When the password that was proved was set: with the account's epoch, what a change builds on.
    pub set_at: Option<Timestamp>,
}

/// A refusal. The parts are for the audit log; the answer to the outside is one and the same for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub(crate) reason: RefusedReason,
    pub(crate) account: Option<AccountId>,
    pub(crate) locks: bool,
}

impl Refused {
    /// Why. For the audit log alone.
    #[must_use]
    pub const fn reason(&self) -> RefusedReason {
        self.reason
    }

    /// The account that it was about, if there is one. For the audit log alone.
    #[must_use]
    pub const fn account(&self) -> Option<&AccountId> {
        self.account.as_ref()
    }

    /// Whether the next attempt will find the lock closed. The same for addresses with and without an account.
    #[must_use]
    pub const fn locks(&self) -> bool {
        self.locks
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the e-mail address or the password is wrong")
    }
}

/// Why a sign-in was refused. For the audit log alone.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum RefusedReason {
    /// What was submitted is no e-mail address.
    Malformed,
    /// No account has it.
    UnknownAccount,
    /// The account has no password.
    NoPassword,
    /// The account's hash cannot be used: somebody changed the store.
    UnreadableHash(UnreadableHash),
    /// The password is another.
    WrongPassword,
    /// The password is right and the account is disabled.
    Disabled,
}

impl RefusedReason {
    /// The code that the audit log uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_email",
            Self::UnknownAccount => "unknown_account",
            Self::NoPassword => "no_password",
            Self::UnreadableHash(_) => "unreadable_hash",
            Self::WrongPassword => "wrong_password",
            Self::Disabled => "disabled",
        }
    }
}
