//! What ended in the store is honoured nowhere for long, also where nobody could be told that it ended.
//!
//! Who ended it tells the others when the store has answered, which takes no longer than [`Timing::write`] allows; a lease
//! later they have heard it. Where it cannot tell them, it falls silent: they notice that within a lease, and forget what
//! they hold once more when what it had begun by then must have ended. So two leases after the longest write, nobody
//! holds it any more.
//!
//! This does not count for records that a validation marks as expired, or a sweep removes: what has passed a limit,
//! every node finds past it by its own clock, and nothing holds up that mark until the others can hear of it. And it
//! does not count for a process that stood still between asking whether it may make a change and making it.
//!
//! [`Timing::write`]: wayleave::cluster::Timing::write

use std::time::Duration;

use wayleave_testkit::StoreVerb;

use super::Found;
use super::lives::{Life, Lives};
use super::revocation::{LEASE, bound};
use crate::history::{Act, Change, History, Moment, Outcome, Trouble};
use crate::plan::{Plan, TIMING};

/// How long after it ended in the store something may be honoured.
pub(super) fn whole_bound(plan: &Plan) -> Duration {
    bound(plan) + TIMING.write + 2 * LEASE
}

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let bound = whole_bound(&history.plan);
    let mut found = Vec::new();
    for (id, life) in lives.iter() {
        for operation in &life.operations {
            let Act::Validate { access, .. } = &operation.act else { continue };
            if operation.outcome != Outcome::Valid {
                continue;
            }
            let ended = ended(
                life,
                access.hash.map(|hash| move |life: &Life<'_>, at| life.token_at(at) != hash),
                operation.began,
            );
            let Some(change) = ended else { continue };
            if operation.began.at > change.moment.at + bound && !stood_still(history, change) {
                let what = format!(
                    "{} honoured {} by a{}, which {} had ended in the store {:.3} s before",
                    operation.process,
                    history.session(*id),
                    access.number,
                    change.process,
                    (operation.began.at - change.moment.at).as_secs_f64()
                );
                found.push(Found { what, sessions: vec![*id], at: operation.ended });
            }
        }
    }
    found
}

/// The change that ended a session, or a token of it, before a moment.
fn ended<'a>(
    life: &Life<'a>,
    other_token: Option<impl Fn(&Life<'_>, Moment) -> bool>,
    before: Moment,
) -> Option<&'a Change> {
    let counts = |change: &&&Change| match change.verb {
        StoreVerb::Insert | StoreVerb::Rotate | StoreVerb::Revoke => change.moment < before,
        _ => false,
    };
    let whole = life.gone.iter().chain(&life.found_expired).filter(counts).copied().min_by_key(|change| change.moment);
    // The last rotation at which the token was still another one than it is: that of this very token.
    let rotated = other_token.filter(|other| other(life, before)).and_then(|other| {
        let mut rotations = life.rotations.iter().filter(|(change, ..)| change.moment < before);
        let later = |moment: Moment| Moment { order: moment.order + 1, ..moment };
        rotations.find(|(change, ..)| !other(life, change.moment) && other(life, later(change.moment)))
    });
    whole.into_iter().chain(rotated.map(|(change, ..)| *change)).min_by_key(|change| change.moment)
}

fn stood_still(history: &History, change: &Change) -> bool {
    let from = change.moment.at.saturating_sub(2 * TIMING.write);
    history.disturbed(change.process.place, from, change.moment.at, |trouble| *trouble == Trouble::Still)
}
