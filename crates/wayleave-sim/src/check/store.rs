//! Nothing that is gone comes back, and what was said to be there is.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Found;
use super::lives::Lives;
use crate::history::{Act, Changed, History, Outcome};
use crate::plan::Clocks;

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let (mut seen, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for change in &history.changes {
        let wrong = match &change.what {
            Changed::Created(record, _) => (!seen.insert(record.id)).then_some((record.id, "came twice")),
            Changed::Gone(record) => {
                gone.insert(record.id);
                None
            }
            Changed::Rotated { after: record, .. } | Changed::FoundExpired(record) => {
                gone.contains(&record.id).then_some((record.id, "was changed after it was gone"))
            }
        };
        if let Some((id, wrong)) = wrong {
            let what = format!("{} {wrong}", history.session(id));
            found.push(Found { what, sessions: vec![id], at: change.moment });
        }
    }
    for operation in &history.operations {
        let (Act::Open { .. } | Act::Reauthenticate(_), Outcome::Opened { access, .. }) =
            (&operation.act, &operation.outcome)
        else {
            continue;
        };
        if lives.get(access.session).is_none_or(|life| life.created.moment > operation.ended) {
            let what = format!("{} was answered and is not in the store", history.session(access.session));
            found.push(Found { what, sessions: vec![access.session], at: operation.ended });
        }
    }
    let end = history.operations.last().map(|operation| operation.ended);
    for record in history.left.iter().filter(|record| gone.contains(&record.id)) {
        let what = format!("{} is there at the end, although it was gone", history.session(record.id));
        found.extend(end.map(|at| Found { what, sessions: vec![record.id], at }));
    }
    found.extend(kept_too_long(history));
    found
}

/// At the end nothing is wrong for a while: what has ended long ago is swept, and what answered a refresh is erased.
fn kept_too_long(history: &History) -> Vec<Found> {
    let Some(end) = history.operations.last().map(|operation| operation.ended) else { return Vec::new() };
    if history.plan.clocks == Clocks::Jumping {
        return Vec::new();
    }
    let now = history.shown_anywhere(end, end).earliest;
    let kept = history.left.iter().filter_map(|record| {
        let pair = record.last_rotation().filter(|last| !last.sealed_pair.is_empty());
        let what = if pair.is_some_and(|last| now.since(last.at) > history.plan.window + ERASED) {
            "keeps a sealed pair that nobody may ask for any more"
        } else if record.ends_at() < now.minus(SWEPT) {
            "ended long ago and is not swept"
        } else {
            return None;
        };
        let what = format!("{} {what}", history.session(record.id));
        Some(Found { what, sessions: vec![record.id], at: end })
    });
    kept.collect()
}

/// How long after the window pairs are erased, and after their end records are swept, at most.
const ERASED: Duration = Duration::from_secs(15);
const SWEPT: Duration = Duration::from_secs(50);
