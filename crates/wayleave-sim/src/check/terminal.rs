//! What is over stays over, whatever clocks show later and whoever is active elsewhere: who is told that a session has
//! passed its idle or absolute limit can rely on its being written down, and what is written down is honoured no more.

use std::time::Duration;

use wayleave::core::record::Limit;

use super::Found;
use super::bounds::whole_bound;
use super::limits::is_activity;
use super::lives::{Life, Lives};
use crate::history::{Act, History, Operation, Outcome};

/// For how long an activity may be on its way to the store, where it changes what a validation was about to say.
const ON_ITS_WAY: Duration = Duration::from_secs(20);

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let bound = whole_bound(&history.plan);
    let mut found = Vec::new();
    for (id, life) in lives.iter() {
        for operation in &life.operations {
            let revived = matches!((&operation.act, &operation.outcome), (Act::Validate { .. }, Outcome::Valid))
                && life.found_expired.is_some_and(|found| found.moment.at + bound < operation.began.at);
            if revived {
                let what = format!("{} honoured {}, which was over", operation.process, history.session(*id));
                found.push(Found { what, sessions: vec![*id], at: operation.ended });
            }
            if says_over(operation) && !was_over(life, operation) && !is_used_about(life, operation) {
                let what = format!("{} said that {} is over, and it is not", operation.process, history.session(*id));
                found.push(Found { what, sessions: vec![*id], at: operation.ended });
            }
        }
    }
    found
}

fn says_over(operation: &Operation) -> bool {
    matches!(operation.act, Act::Validate { .. } | Act::Refresh { .. })
        && matches!(operation.outcome, Outcome::Expired(Limit::Idle | Limit::Absolute))
}

/// Whether it was written down, or gone, by the time of the answer.
fn was_over(life: &Life<'_>, operation: &Operation) -> bool {
    life.found_expired.into_iter().chain(life.gone).any(|change| change.moment < operation.ended)
}

/// Whether somebody was active meanwhile or shortly before, so that the session goes on after all.
fn is_used_about(life: &Life<'_>, operation: &Operation) -> bool {
    let about = |other: &Operation| {
        other.began < operation.ended && other.ended.at + ON_ITS_WAY > operation.began.at && is_activity(other)
    };
    life.operations.iter().any(|other| !std::ptr::eq(*other, operation) && about(other))
}
