//! A subject who may have no sessions has none that is honoured, and what was opened before its epoch grew is dead: on
//! the node that was told so from the answer on, on the others within the bounds of [`super::revocation`], and without
//! an answer within those of [`super::bounds`].

use wayleave::core::subject::Subject;

use super::Found;
use super::bounds::whole_bound;
use super::lives::{Life, Lives};
use super::revocation::bound;
use crate::history::{Act, History, Moment, Operation, Outcome, Process, StandingChange, Stood, Trouble};
use crate::plan::TIMING;

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (number, stood) in history.standings.iter().enumerate() {
        let told = told(history, stood);
        // In force until the next change of the same subject begins: a change that may let it in again.
        let next = history.operations.iter().filter(|operation| begins_to_enable(operation, &stood.subject));
        let until = next.map(|operation| operation.began).find(|began| *began > stood.moment);
        let before = history.standings.iter().take(number).rfind(|earlier| earlier.subject == stood.subject);
        let was_active = before.is_none_or(|before| before.standing.active);
        let disabled = was_active && !stood.standing.active;
        for (id, life) in lives.iter().filter(|(_, life)| life.record.subject.as_ref() == Some(&stood.subject)) {
            let superseded = life.record.epoch < stood.standing.epoch;
            if !superseded && !disabled {
                continue;
            }
            let until = if superseded { None } else { until };
            for operation in validations(life).filter(|operation| until.is_none_or(|until| operation.ended < until)) {
                if is_late(history, stood, told, operation) {
                    let what = format!(
                        "{} honoured {} of {}, who had been changed through {} {:.3} s before",
                        operation.process,
                        history.session(*id),
                        stood.subject,
                        stood.process,
                        operation.began.at.saturating_sub(stood.moment.at).as_secs_f64()
                    );
                    found.push(Found { what, sessions: vec![*id], at: operation.ended });
                }
            }
        }
    }
    found
}

fn validations<'a>(life: &Life<'a>) -> impl Iterator<Item = &'a Operation> {
    let all = life.operations.iter().copied();
    all.filter(|operation| matches!(operation.act, Act::Validate { .. }) && operation.outcome == Outcome::Valid)
}

/// When, and by which process, a client was told of a change.
fn told(history: &History, stood: &Stood) -> Option<(Moment, Process)> {
    let told = history.operations.iter().find(|operation| {
        let Act::Stand { subject, .. } = &operation.act else { return false };
        let during = operation.began < stood.moment && stood.moment < operation.ended;
        *subject == stood.subject && during && matches!(operation.outcome, Outcome::Done(_))
    });
    told.map(|operation| (operation.ended, operation.process))
}

fn begins_to_enable(operation: &Operation, who: &Subject) -> bool {
    matches!(&operation.act, Act::Stand { subject, change: StandingChange::Enable } if subject == who)
}

fn is_late(history: &History, stood: &Stood, told: Option<(Moment, Process)>, operation: &Operation) -> bool {
    let short = bound(&history.plan);
    let late = told.is_some_and(|(moment, process)| {
        let same = operation.process.place == process.place;
        operation.began > moment && (same || short.is_zero() || operation.began.at > moment.at + short)
    });
    let from = stood.moment.at.saturating_sub(2 * TIMING.write);
    let still = history.disturbed(stood.process.place, from, stood.moment.at, |trouble| *trouble == Trouble::Still);
    late || !still && operation.began.at > stood.moment.at + whole_bound(&history.plan)
}
