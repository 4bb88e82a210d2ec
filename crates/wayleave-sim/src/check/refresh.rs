//! Refresh tokens: of one, one successor comes, and one live session at most is left of a lineage. A spent token opens
//! nothing but the identical pair inside the window, and else ends its lineage.

use std::collections::BTreeMap;

use wayleave::core::token::TokenHash;

use super::Found;
use super::lives::{Life, Lives};
use crate::history::{Act, Changed, History, Moment, Operation, Outcome};

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let mut found = forks(history);
    found.extend(branches(history, lives));
    for operation in &history.operations {
        if let Act::Refresh { token, .. } = operation.act {
            found.extend(answer(history, lives, operation, token));
        }
    }
    found
}

/// Two successors of one token.
fn forks(history: &History) -> Vec<Found> {
    let mut spent: BTreeMap<TokenHash, Moment> = BTreeMap::new();
    let mut found = Vec::new();
    for change in &history.changes {
        let Changed::Rotated { before, after } = &change.what else { continue };
        let Some(last) = after.last_rotation() else { continue };
        let known = before.refresh.as_ref().is_some_and(|refresh| refresh.current == last.predecessor);
        if spent.insert(last.predecessor, change.moment).is_some() || !known {
            let what = format!("a refresh token of {} was exchanged that was spent", history.session(after.id));
            found.push(Found { what, sessions: vec![after.id], at: change.moment });
        }
    }
    // What clients were answered must be such a successor, and the same for all.
    let mut answered: BTreeMap<TokenHash, TokenHash> = BTreeMap::new();
    for operation in &history.operations {
        let (Act::Refresh { token, .. }, Outcome::Refreshed { refresh, access, .. }) =
            (&operation.act, &operation.outcome)
        else {
            continue;
        };
        if *answered.entry(*token).or_insert(*refresh) != *refresh {
            let what = format!("two successors of one refresh token of {}", history.session(access.session));
            found.push(Found { what, sessions: vec![access.session], at: operation.ended });
        }
    }
    found
}

/// Two sessions of one lineage at once.
fn branches(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (id, life) in lives.iter() {
        let moment = life.created.moment;
        let others = lives.of_family(life.record.family, moment);
        for (other, _) in others.filter(|(_, other)| other.gone.is_none_or(|gone| gone.moment > moment)) {
            let what = format!("{} and {} are of one lineage", history.session(*id), history.session(other));
            found.push(Found { what, sessions: vec![*id, other], at: moment });
        }
    }
    found
}

fn answer(history: &History, lives: &Lives<'_>, operation: &Operation, token: TokenHash) -> Option<Found> {
    let rotation = lives.iter().find_map(|(_, life)| {
        let rotation = life
            .rotations
            .iter()
            .find(|(_, before, _)| before.refresh.as_ref().is_some_and(|refresh| refresh.current == token));
        rotation.map(|rotation| (life, rotation))
    });
    let wrong = match (&operation.outcome, rotation) {
        (Outcome::Refreshed { .. }, None) => Some("answered a pair that the store does not know"),
        (Outcome::Refreshed { refresh, .. }, Some((life, (change, _, after)))) => {
            let successor = after.refresh.as_ref().map(|refresh| refresh.current);
            let used = life
                .rotations
                .iter()
                .find(|(_, before, _)| before.refresh.as_ref().map(|refresh| refresh.current) == successor);
            if successor != Some(*refresh) {
                Some("answered a pair that is not the successor's")
            } else if change.moment > operation.ended {
                Some("answered before anything was exchanged")
            } else if used.is_some_and(|(used, ..)| used.moment < operation.began) {
                Some("answered a pair again that had been used")
            } else if life.gone.is_some_and(|gone| gone.moment < operation.began) {
                Some("answered a pair of a session that was gone")
            } else {
                outside_window(history, operation, after.last_rotation().map(|last| last.at))
                    .then_some("answered a pair again outside the window")
            }
        }
        (Outcome::Reused, rotation) => {
            let left = lives.iter().find(|(_, life)| {
                same_lineage(lives, operation, life)
                    && life.was_there(operation.ended)
                    && life.created.moment < operation.began
            });
            match (rotation, left) {
                (None, _) => Some("took a token for spent that was not"),
                (Some((_, (change, ..))), _) if change.moment > operation.ended => {
                    Some("took a token for spent that was not yet")
                }
                (Some(_), Some(_)) => Some("noticed a theft and ended nothing"),
                (Some(_), None) => None,
            }
        }
        // A spent token of a lineage that lives, of which nobody knows.
        (Outcome::Invalid, Some((life, (change, ..)))) => {
            let alive =
                lives.of_family(life.record.family, operation.began).any(|(_, life)| life.was_there(operation.ended));
            let refused = super::loss::may_be_refused(history, life, operation);
            (change.moment < operation.began && alive && !refused).then_some("did not notice a theft")
        }
        _ => None,
    };
    let Act::Refresh { session, .. } = operation.act else { return None };
    wrong.map(|wrong| Found {
        what: format!("{} {wrong}: {}", operation.process, history.session(session)),
        sessions: vec![session],
        at: operation.ended,
    })
}

fn same_lineage(lives: &Lives<'_>, operation: &Operation, life: &Life<'_>) -> bool {
    let Act::Refresh { session, .. } = operation.act else { return false };
    lives.get(session).is_some_and(|asked| asked.record.family == life.record.family)
}

/// Whether a pair was answered again although by no reading of the node's clock the window was open.
fn outside_window(history: &History, operation: &Operation, at: Option<wayleave::core::time::Timestamp>) -> bool {
    let Outcome::Refreshed { repeated: true, .. } = operation.outcome else { return false };
    let Some(at) = at else { return true };
    let shown = history.during(operation);
    shown.earliest.since(at) >= history.plan.window || at.since(shown.latest) >= history.plan.window
}
