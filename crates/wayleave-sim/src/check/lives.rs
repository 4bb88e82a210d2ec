//! The life of every session, as the store had it, and what was asked about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wayleave::core::id::{FamilyId, SessionId};
use wayleave::core::record::{MAX_CLOCK_SKEW, Record};
use wayleave::core::time::Timestamp;
use wayleave::core::token::TokenHash;

use crate::clocks::Shown;
use crate::history::{Act, Change, Changed, History, Moment, Operation, Outcome, Process, Trouble};
use crate::node::FLUSH;
use crate::plan::{Clocks, Kind};

/// One session.
pub(super) struct Life<'a> {
    pub(super) record: &'a Arc<Record>,
    pub(super) kind: &'static Kind,
    pub(super) created: &'a Change,
    pub(super) rotations: Vec<(&'a Change, &'a Arc<Record>, &'a Arc<Record>)>,
    pub(super) found_expired: Option<&'a Change>,
    pub(super) gone: Option<&'a Change>,
    /// What was asked with one of its tokens, or made it, in the order in which that began.
    pub(super) operations: Vec<&'a Operation>,
}

/// All sessions.
pub(super) struct Lives<'a>(BTreeMap<SessionId, Life<'a>>);

impl<'a> Lives<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut lives: BTreeMap<SessionId, Life<'a>> = BTreeMap::new();
        for change in &history.changes {
            match &change.what {
                Changed::Created(record, _) => {
                    let Some(kind) = Kind::named(record.kind.as_str()) else { continue };
                    lives.entry(record.id).or_insert(Life {
                        record,
                        kind,
                        created: change,
                        rotations: Vec::new(),
                        found_expired: None,
                        gone: None,
                        operations: Vec::new(),
                    });
                }
                Changed::Rotated { before, after } => {
                    if let Some(life) = lives.get_mut(&after.id) {
                        life.rotations.push((change, before, after));
                    }
                }
                Changed::FoundExpired(record) => {
                    if let Some(life) = lives.get_mut(&record.id) {
                        life.found_expired = life.found_expired.or(Some(change));
                    }
                }
                Changed::Gone(record) => {
                    if let Some(life) = lives.get_mut(&record.id) {
                        life.gone = life.gone.or(Some(change));
                    }
                }
            }
        }
        for operation in &history.operations {
            let made = match &operation.outcome {
                Outcome::Opened { access, .. } => Some(access.session),
                _ => None,
            };
            let shown = match &operation.act {
                Act::Validate { access, .. }
                | Act::Extend(access)
                | Act::Reauthenticate(access)
                | Act::SignOut(access) => Some(access.session),
                Act::Refresh { session, .. } => Some(*session),
                _ => None,
            };
            for session in made.into_iter().chain(shown) {
                if let Some(life) = lives.get_mut(&session) {
                    life.operations.push(operation);
                }
            }
        }
        Self(lives)
    }

    pub(super) fn get(&self, session: SessionId) -> Option<&Life<'a>> {
        self.0.get(&session)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SessionId, &Life<'a>)> {
        self.0.iter()
    }

    /// Everything of a lineage that had come before a moment.
    pub(super) fn of_family(&self, family: FamilyId, before: Moment) -> impl Iterator<Item = (SessionId, &Life<'a>)> {
        let of_family = move |life: &Life<'_>| life.record.family == family && life.created.moment < before;
        self.0.iter().filter(move |(_, life)| of_family(life)).map(|(id, life)| (*id, life))
    }

    /// The first of a lineage.
    fn root(&self, family: FamilyId) -> Option<&Life<'a>> {
        self.0.values().filter(|life| life.record.family == family).min_by_key(|life| life.created.moment)
    }

    /// Whether some limit of a session had been passed by what some clock showed until `look` was over, for who knows all
    /// that it was sure to know when that began.
    pub(super) fn may_have_ended(&self, history: &History, life: &Life<'_>, look: Look) -> bool {
        let shown = history.shown_anywhere(life.created.moment, look.ended);
        let Some(root) = self.root(life.record.family) else { return true };
        let Some(opened) = root.opened(history) else { return true };
        let passed = |since: Option<Timestamp>, limit| since.is_none_or(|since| shown.latest >= since.plus(limit));
        passed(Some(opened.earliest), life.kind.absolute)
            || passed(life.renewed(history, look.began), life.kind.token)
            || life.kind.idle.is_some_and(|idle| passed(life.surely_active(history, idle, look), idle))
    }
}

/// Somebody looks at a session.
#[derive(Copy, Clone)]
pub(super) struct Look {
    pub(super) by: Process,
    pub(super) began: Moment,
    pub(super) ended: Moment,
}

impl Look {
    /// Whether the session was opened in the future, by what the clock there may have shown.
    pub(super) fn may_see_ahead(&self, history: &History, life: &Life<'_>) -> bool {
        self.shown(history).earliest < life.record.created_at.minus(MAX_CLOCK_SKEW)
    }

    /// As [`Self::may_see_ahead`], whatever it showed.
    pub(super) fn sees_ahead(&self, history: &History, life: &Life<'_>) -> bool {
        self.shown(history).latest < life.record.created_at.minus(MAX_CLOCK_SKEW)
    }

    fn shown(&self, history: &History) -> Shown {
        history.shown(self.by.place, self.began, self.ended)
    }
}

impl Life<'_> {
    /// What the clock showed where and while it was made; none when nobody was told that it was.
    pub(super) fn opened(&self, history: &History) -> Option<Shown> {
        let made = |operation: &&&Operation| match &operation.outcome {
            Outcome::Opened { access, .. } => access.session == self.record.id,
            _ => false,
        };
        self.operations.iter().find(made).map(|operation| history.during(operation))
    }

    /// The earliest time that its token may have been renewed at last, among the times of which a client was told. Under
    /// clocks that jump, that can be any of them.
    fn renewed(&self, history: &History, until: Moment) -> Option<Timestamp> {
        let renewals = self.operations.iter().filter(|operation| operation.ended < until && self.renews(operation));
        let times = renewals.map(|operation| history.during(operation).earliest);
        if history.plan.clocks == Clocks::Jumping { times.min() } else { times.max() }
    }

    fn renews(&self, operation: &Operation) -> bool {
        match (&operation.act, &operation.outcome) {
            (_, Outcome::Opened { access, .. }) => access.session == self.record.id,
            (_, Outcome::Refreshed { repeated, .. }) => !repeated,
            (Act::Extend(_), Outcome::Done(_)) => true,
            _ => false,
        }
    }

    /// The earliest time of the latest activity that who looks is sure to know: what a change brought with it, what another
    /// node had time to write down undisturbed, and what it saw itself.
    fn surely_active(&self, history: &History, idle: Duration, look: Look) -> Option<Timestamp> {
        let throttle = idle / 20;
        let calm = history.plan.clocks != Clocks::Jumping;
        let written = |operation: &&&Operation| {
            let Operation { process, began, ended, act, outcome, .. } = operation;
            let active = matches!((act, outcome), (Act::Validate { active: true, .. }, Outcome::Valid));
            let from = began.at.saturating_sub(2 * throttle);
            let to = ended.at + throttle + FLUSH + WRITTEN;
            let undisturbed =
                !history.disturbed(process.place, from, to, |trouble| !matches!(trouble, Trouble::Bus(..)));
            active && calm && (*process == look.by && *ended < look.began || to < look.began.at && undisturbed)
        };
        let validated = self.operations.iter().filter(written);
        let validated = validated.map(|operation| history.during(operation).earliest.minus(throttle)).max();
        self.renewed(history, look.began).max(validated)
    }

    /// The token that was in force just before a moment.
    pub(super) fn token_at(&self, moment: Moment) -> TokenHash {
        let rotated = self.rotations.iter().rfind(|(change, ..)| change.moment < moment);
        rotated.map_or(self.record.token, |(_, _, after)| after.token)
    }

    /// Whether the store held it at a moment.
    pub(super) fn was_there(&self, moment: Moment) -> bool {
        self.created.moment < moment && self.gone.is_none_or(|gone| moment < gone.moment)
    }
}

/// How long a write of activity takes at most, where nothing is wrong.
const WRITTEN: Duration = Duration::from_secs(3);
