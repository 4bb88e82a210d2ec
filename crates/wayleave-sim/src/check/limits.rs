//! Limits: nothing is honoured past its absolute limit, its token's end or its idle limit, by the clock of the node that
//! is asked; and no subject has more sessions of a kind than it may.
//!
//! An idle limit counts from the latest activity that there was anywhere, so it is never exceeded at all. That activity
//! is written down now and then only makes sessions end earlier.

use wayleave::core::time::Timestamp;
use wayleave_testkit::StoreVerb;

use super::Found;
use super::lives::{Life, Lives};
use crate::history::{Access, Act, Changed, History, Operation, Outcome};

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let mut found = crowds(history, lives);
    for (id, life) in lives.iter() {
        for operation in &life.operations {
            let Act::Validate { access, .. } = &operation.act else { continue };
            let passed =
                (operation.outcome == Outcome::Valid).then(|| passed(history, lives, life, operation, *access));
            if let Some(limit) = passed.flatten() {
                let what = format!("{} honoured {} past its {limit}", operation.process, history.session(*id));
                found.push(Found { what, sessions: vec![*id], at: operation.ended });
            }
        }
    }
    found
}

fn passed(
    history: &History,
    lives: &Lives<'_>,
    life: &Life<'_>,
    operation: &Operation,
    access: Access,
) -> Option<&'static str> {
    let now = history.during(operation).earliest;
    let roots = lives.of_family(life.record.family, operation.ended);
    let root = roots.min_by_key(|(_, life)| life.created.moment)?.1;
    let past = |since: Option<Timestamp>, limit| since.is_some_and(|since| now >= since.plus(limit));
    let before = |other: &&&Operation| other.began < operation.ended && !std::ptr::eq(**other, operation);
    let latest = |which: &dyn Fn(&Operation) -> bool| {
        let all = life.operations.iter().filter(before).filter(|other| which(other));
        all.map(|other| history.during(other).latest).max()
    };
    if past(root.opened(history).map(|shown| shown.latest), life.kind.absolute) {
        return Some("absolute limit");
    }
    let made = |other: &Operation| matches!(&other.outcome, Outcome::Opened { access, .. } if access.session == life.record.id);
    let renewed = latest(&|other| made(other) || matches!(other.act, Act::Refresh { .. } | Act::Extend(_)));
    if past(renewed, life.kind.token) {
        return Some("token's end");
    }
    let issued = |other: &Operation| match &other.outcome {
        Outcome::Opened { access: issued, .. } | Outcome::Refreshed { access: issued, .. } => *issued == access,
        _ => false,
    };
    if let Some(jwt) = life.kind.jwt
        && past(latest(&issued), jwt)
    {
        return Some("JWT's end");
    }
    let active = latest(&|other| made(other) || is_activity(other));
    (life.kind.idle.is_some_and(|idle| past(active, idle))).then_some("idle limit")
}

/// Whether it may have counted as activity.
pub(super) fn is_activity(operation: &Operation) -> bool {
    let shows = match operation.act {
        Act::Validate { active, .. } => active,
        Act::Refresh { .. } | Act::Extend(_) | Act::Reauthenticate(_) | Act::SignOut(_) => true,
        _ => false,
    };
    shows && !matches!(operation.outcome, Outcome::Invalid | Outcome::Expired(_) | Outcome::Reused)
}

/// Sign-ins that came in beside too many others.
fn crowds(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for change in &history.changes {
        let Changed::Created(record, others) = &change.what else { continue };
        let Some(life) = lives.get(record.id) else { continue };
        // What takes the place of another one of its lineage comes in beside those that were there.
        let goes_on = lives.of_family(record.family, change.moment).next().is_some();
        let most = usize::try_from(life.kind.concurrency.most).unwrap_or(usize::MAX);
        if change.verb == StoreVerb::Insert && !goes_on && *others >= most {
            let what = format!("{} came in beside {others} others, of {most} at most", history.session(record.id));
            found.push(Found { what, sessions: vec![record.id], at: change.moment });
        }
    }
    found
}
