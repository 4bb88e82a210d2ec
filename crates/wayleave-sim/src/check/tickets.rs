//! What can be taken once is taken once: by one client at most, and by one for sure if it was there and all were answered.

use std::collections::BTreeMap;

use super::Found;
use super::lives::Lives;
use crate::history::{Act, History, Operation, Outcome};
use crate::plan::Clocks;

pub(super) fn check(history: &History, _: &Lives<'_>) -> Vec<Found> {
    let mut tickets: BTreeMap<u64, (Vec<&Operation>, Vec<&Operation>)> = BTreeMap::new();
    for operation in &history.operations {
        match operation.act {
            Act::Deposit(ticket) => tickets.entry(ticket).or_default().0.push(operation),
            Act::Take(ticket) => tickets.entry(ticket).or_default().1.push(operation),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (ticket, (deposits, takes)) in tickets {
        let taken: Vec<_> = takes.iter().filter(|take| take.outcome == Outcome::Taken).collect();
        let mut wrong = |operation: &Operation, what: &str| {
            found.push(Found { what: format!("ticket {ticket} {what}"), sessions: Vec::new(), at: operation.ended });
        };
        if let [_, second, ..] = taken.as_slice() {
            wrong(second, "was taken twice");
        }
        for take in &taken {
            if !deposits.iter().any(|deposit| deposit.began < take.ended) {
                wrong(take, "was taken although it never was there");
            }
        }
        for take in takes.iter().filter(|take| take.outcome == Outcome::NotTaken) {
            if let Some(deposit) = deposits.iter().find(|deposit| matches!(deposit.outcome, Outcome::Done(_)))
                && deposit.ended < take.began
                && history.plan.clocks != Clocks::Jumping
                && take.ended.at < deposit.began.at + SURELY_THERE
                && !takes.iter().any(|other| other.outcome != Outcome::NotTaken && other.began < take.ended)
            {
                wrong(take, "was lost");
            }
        }
    }
    found
}

/// For how long a ticket surely can be taken, whatever the clocks drift.
const SURELY_THERE: std::time::Duration = std::time::Duration::from_secs(15);
