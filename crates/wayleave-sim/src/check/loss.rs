//! Nothing is lost: a session ends only for a reason, and is refused only for one. Answers that deny come from the store,
//! so they are right at once, but for how the subject stands, which a node may know late.

use std::time::Duration;

use wayleave::core::policy::AtLimit;
use wayleave::core::subject::Subject;
use wayleave_testkit::StoreVerb;

use super::Found;
use super::bounds::whole_bound;
use super::lives::{Life, Lives, Look};
use crate::history::{Act, Change, Changed, History, Operation, Outcome};
use crate::plan::{Clocks, Kind};

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, life) in lives.iter() {
        for change in life.gone.iter().chain(&life.found_expired) {
            if !explained(history, lives, life, change) {
                let what =
                    format!("{} ended by {:?} of {} for no reason", history.session(*id), change.verb, change.process);
                found.push(Found { what, sessions: vec![*id], at: change.moment });
            }
        }
        for operation in &life.operations {
            if denied_for_nothing(history, lives, life, operation) {
                let what = format!("{} refused {} for no reason", operation.process, history.session(*id));
                found.push(Found { what, sessions: vec![*id], at: operation.ended });
            }
        }
    }
    found.extend(history.operations.iter().filter(|operation| refused_for_nothing(history, operation)).map(
        |operation| Found {
            what: format!("{} refused a sign-in for no reason", operation.process),
            sessions: Vec::new(),
            at: operation.ended,
        },
    ));
    found
}

/// A sign-in that was refused although its subject may have sessions, and its kind makes room.
fn refused_for_nothing(history: &History, operation: &Operation) -> bool {
    let Act::Open { subject, kind, epoch } = &operation.act else { return false };
    let makes_room = Kind::named(kind).is_some_and(|kind| kind.concurrency.at_limit != AtLimit::Refuse);
    let refused = operation.outcome == Outcome::Refused;
    // The directory itself is asked: what held while the question was under way is what counts.
    let theirs =
        || history.standings.iter().filter(|stood| stood.subject == *subject && stood.moment < operation.ended);
    let at_first = theirs().rfind(|stood| stood.moment < operation.began);
    let mut then = theirs().filter(|stood| stood.moment > operation.began).chain(at_first);
    refused && makes_room && !then.any(|stood| !stood.standing.active || stood.standing.epoch > *epoch)
}

/// Whether a reason is known for the end of a session.
fn explained(history: &History, lives: &Lives<'_>, life: &Life<'_>, change: &Change) -> bool {
    let mut under_way = history.operations.iter().filter(|operation| {
        operation.process == change.process && operation.began < change.moment && change.moment < operation.ended
    });
    // What was asked for by then, whoever looked may not have known.
    let asked = under_way.clone().map(|operation| operation.began).min().unwrap_or(change.moment);
    let look = Look { by: change.process, began: asked, ended: change.moment };
    match (&change.what, change.verb) {
        (Changed::FoundExpired(_), _) | (_, StoreVerb::Sweep) => {
            life.found_expired.is_some_and(|found| found.moment < change.moment)
                || lives.may_have_ended(history, life, look)
        }
        (_, StoreVerb::Revoke) => under_way.any(|operation| ends(lives, life, &operation.act)),
        (_, StoreVerb::Rotate) => under_way.any(|operation| presents_spent(lives, life, operation, change)),
        (_, StoreVerb::Insert) => {
            let replaced = under_way.any(
                |operation| matches!(&operation.act, Act::Reauthenticate(access) if access.session == life.record.id),
            );
            let most = usize::try_from(life.kind.concurrency.most).unwrap_or(usize::MAX);
            let comes = history.changes.iter().find(|next| {
                next.moment > change.moment
                    && matches!(next.what, Changed::Created(..))
                    && next.process == change.process
            });
            let evicted = comes.is_some_and(|comes| match &comes.what {
                Changed::Created(record, others) => {
                    let same = record.subject == life.record.subject && record.kind == life.record.kind;
                    same && others + 1 >= most && is_the_one_to_go(history, lives, life, look)
                }
                _ => false,
            });
            replaced || evicted
        }
        _ => false,
    }
}

/// Whether a limit evicts this one rather than another that was there and stays.
fn is_the_one_to_go(history: &History, lives: &Lives<'_>, life: &Life<'_>, look: Look) -> bool {
    let evicted = look.ended;
    let stays = |other: &Life<'_>| {
        let same = other.record.subject == life.record.subject && other.record.kind == life.record.kind;
        let live = other.found_expired.is_none_or(|found| found.moment > evicted);
        // What goes with it goes at the same time, before or after it.
        same && live && other.was_there(evicted) && other.gone.is_none_or(|gone| gone.moment.at > evicted.at)
    };
    // What was opened in the future goes before any other, and it alone where there is room for nobody.
    if look.may_see_ahead(history, life) {
        return true;
    }
    if lives.iter().any(|(_, other)| stays(other) && look.sees_ahead(history, other)) {
        return false;
    }
    match life.kind.concurrency.at_limit {
        AtLimit::Refuse => false,
        AtLimit::EvictLeastRecentlySeen => true,
        AtLimit::EvictOldest => {
            !lives.iter().any(|(_, other)| stays(other) && other.record.created_at < life.record.created_at)
        }
    }
}

/// Whether what was asked for may end this session.
fn ends(lives: &Lives<'_>, life: &Life<'_>, act: &Act) -> bool {
    let family = |session| lives.get(session).is_some_and(|other| other.record.family == life.record.family);
    let theirs = |subject: &Subject| life.record.subject.as_ref() == Some(subject);
    match act {
        Act::EndOne(session) | Act::EndOwn(session) => *session == life.record.id,
        Act::SignOut(access) => family(access.session),
        Act::RevokeRefresh { session, .. } => family(*session),
        Act::EndOthers { subject, keep } => theirs(subject) && *keep != life.record.id,
        Act::EndAll(subject) => theirs(subject),
        _ => false,
    }
}

/// Whether a refresh token was presented that had been spent.
fn presents_spent(lives: &Lives<'_>, life: &Life<'_>, operation: &Operation, change: &Change) -> bool {
    let Act::Refresh { token, .. } = operation.act else { return false };
    let mut rotations = lives.iter().flat_map(|(_, life)| &life.rotations);
    rotations.any(|(spent, before, _)| {
        let same = before.refresh.as_ref().is_some_and(|refresh| refresh.current == token);
        same && before.family == life.record.family && spent.moment < change.moment
    })
}

fn denied_for_nothing(history: &History, lives: &Lives<'_>, life: &Life<'_>, operation: &Operation) -> bool {
    let access = match &operation.act {
        Act::Validate { access, .. } | Act::SignOut(access) => access,
        _ => return false,
    };
    if !matches!(operation.outcome, Outcome::Invalid | Outcome::Expired(_)) {
        return false;
    }
    let there = life.was_there(operation.began) && life.was_there(operation.ended);
    let current =
        access.hash.is_none_or(|hash| hash == life.token_at(operation.began) && hash == life.token_at(operation.ended));
    let look = Look { by: operation.process, began: operation.began, ended: operation.ended };
    let expired = life.found_expired.is_some_and(|found| found.moment < operation.ended)
        || lives.may_have_ended(history, life, look)
        || look.may_see_ahead(history, life)
        || access.hash.is_none() && jwt_may_have_ended(history, life, operation);
    there && current && !expired && !may_be_refused(history, life, operation)
}

fn jwt_may_have_ended(history: &History, life: &Life<'_>, operation: &Operation) -> bool {
    let Act::Validate { access, .. } = operation.act else { return true };
    let issued = life.operations.iter().find(|other| match &other.outcome {
        Outcome::Opened { access: issued, .. } | Outcome::Refreshed { access: issued, .. } => *issued == access,
        _ => false,
    });
    let (Some(issued), Some(jwt)) = (issued, life.kind.jwt) else { return true };
    let now = history.shown_anywhere(issued.began, operation.ended).latest;
    // A pair that is answered again was made up to a window before. Its times are whole seconds.
    let repeated = matches!(issued.outcome, Outcome::Refreshed { repeated: true, .. });
    let made = history.during(issued).earliest.minus(if repeated { history.plan.window } else { Duration::ZERO });
    let end = made.plus(jwt.saturating_sub(Duration::from_secs(1)));
    // What was signed by a clock ahead is not good yet.
    now >= end || history.plan.clocks == Clocks::Jumping
}

/// Whether a node may have known that the subject of a session may have none, or ended it.
pub(super) fn may_be_refused(history: &History, life: &Life<'_>, operation: &Operation) -> bool {
    let Some(subject) = &life.record.subject else { return false };
    let theirs = || history.standings.iter().filter(|stood| stood.subject == *subject);
    let since = operation.began.at.saturating_sub(whole_bound(&history.plan));
    let at_first = theirs().rfind(|stood| stood.moment.at < since).is_some_and(|stood| !stood.standing.active);
    let mut later = theirs().filter(|stood| stood.moment.at >= since && stood.moment < operation.ended);
    at_first
        || later.any(|stood| !stood.standing.active)
        || theirs().any(|stood| stood.moment < operation.ended && stood.standing.epoch > life.record.epoch)
}
