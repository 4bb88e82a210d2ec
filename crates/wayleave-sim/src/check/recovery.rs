//! Once nothing is wrong any more, everything works again, everywhere, and memory answers.

use super::Found;
use super::lives::Lives;
use crate::history::{Act, History, Outcome};
use crate::plan::Clocks;

pub(super) fn check(history: &History, _: &Lives<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for operation in history.operations.iter().filter(|operation| operation.client == history.plan.clients) {
        let works = match (&operation.act, &operation.outcome) {
            (Act::Validate { .. }, Outcome::Valid)
            | (Act::Open { .. }, Outcome::Opened { .. })
            | (_, Outcome::Done(_)) => true,
            // Whoever opened it may be an hour ahead of whoever is asked.
            (Act::Validate { .. }, _) => history.plan.clocks == Clocks::Jumping,
            _ => false,
        };
        if !works {
            let what = format!("{} does not work at the end: {:?}", operation.process, operation.outcome);
            found.push(Found { what, sessions: Vec::new(), at: operation.ended });
        }
    }
    let end = history.operations.last().map(|operation| operation.ended);
    for (place, _) in history.recovered.iter().enumerate().filter(|(_, recovered)| !**recovered) {
        let what = format!("n{place} cannot be heard or has no lease at the end");
        found.extend(end.map(|at| Found { what, sessions: Vec::new(), at }));
    }
    found
}
