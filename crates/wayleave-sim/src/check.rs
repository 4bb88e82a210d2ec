//! The checkers: each reads a history and says what should not have happened. None knows how a node works.

use wayleave::core::id::SessionId;

use crate::history::{History, Moment};

mod bounds;
mod limits;
mod lives;
mod loss;
mod recovery;
mod refresh;
mod revocation;
mod silence;
mod standing;
mod store;
mod terminal;
mod tickets;

use lives::Lives;

/// Something that should not have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who says so.
    pub checker: &'static str,
    /// What happened.
    pub what: String,
    /// The sessions that it happened to.
    pub sessions: Vec<SessionId>,
    /// When.
    pub at: Moment,
}

/// A checker and its name.
type Checker = (&'static str, fn(&History, &Lives<'_>) -> Vec<Found>);

/// What a checker found.
struct Found {
    what: String,
    sessions: Vec<SessionId>,
    at: Moment,
}

const CHECKERS: [Checker; 11] = [
    ("revocation", revocation::check),
    ("bounds", bounds::check),
    ("standing", standing::check),
    ("silence", silence::check),
    ("refresh", refresh::check),
    ("limits", limits::check),
    ("tickets", tickets::check),
    ("terminal", terminal::check),
    ("loss", loss::check),
    ("store", store::check),
    ("recovery", recovery::check),
];

/// Asks all of them. What comes first is what happened first.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let lives = Lives::of(history);
    let mut violations: Vec<_> = CHECKERS
        .iter()
        .flat_map(|(checker, check)| {
            let named = |Found { what, sessions, at }| Violation { checker, what, sessions, at };
            check(history, &lives).into_iter().map(named)
        })
        .collect();
    violations.sort_by_key(|violation| violation.at);
    violations
}
