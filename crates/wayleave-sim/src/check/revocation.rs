//! What a client was told has ended, no node honours any more.
//!
//! On the node that told it: from that moment on. On the others: in strict mode from that moment on, too. In prompt mode
//! a lease later at most: the bus had the news before the client was told, and a node answers from memory only as long
//! as a lease lasts after it sent what it has heard back, so by then it has heard what came before. Leases may last a
//! fiftieth longer where a clock is slow.
//!
//! A bus that loses messages without a sign is noticed at the next message of the same node, or by its silence, which
//! are not more than another lease away.

use std::time::Duration;

use wayleave::cluster::Coherence;
use wayleave::core::id::SessionId;
use wayleave::core::token::TokenHash;

use super::Found;
use super::lives::Lives;
use crate::history::{Act, Changed, History, Moment, Operation, Outcome};
use crate::plan::{Faults, Plan, TIMING};

/// Something that a client was told has ended.
struct Promise<'a> {
    what: Ended,
    by: &'a Operation,
}

enum Ended {
    Session(SessionId),
    /// An opaque token that another one took the place of.
    Token(SessionId, TokenHash),
}

/// A lease by the slowest clock.
pub(super) const LEASE: Duration = Duration::from_millis(2040);
const _: () = assert!(LEASE.as_millis() == TIMING.lease.as_millis() + TIMING.lease.as_millis() / 50);

/// How long other nodes may honour what has ended.
pub(super) fn bound(plan: &Plan) -> Duration {
    let lag = match plan.coherence {
        Coherence::Prompt => LEASE,
        Coherence::Strict => Duration::ZERO,
    };
    match plan.faults {
        Faults::None | Faults::Within => lag,
        Faults::Beyond => lag + LEASE,
    }
}

pub(super) fn check(history: &History, lives: &Lives<'_>) -> Vec<Found> {
    let bound = bound(&history.plan);
    let mut found = Vec::new();
    for Promise { what, by } in history.operations.iter().flat_map(|operation| promises(history, lives, operation)) {
        let (Ended::Session(session) | Ended::Token(session, _)) = what;
        let Some(life) = lives.get(session) else { continue };
        for operation in &life.operations {
            let Act::Validate { access, .. } = &operation.act else { continue };
            let same = match what {
                Ended::Session(_) => true,
                Ended::Token(_, hash) => access.hash == Some(hash),
            };
            let late = operation.process.place == by.process.place
                || operation.began.at > by.ended.at + bound
                || bound.is_zero();
            if same && late && operation.began > by.ended && operation.outcome == Outcome::Valid {
                let what = format!(
                    "{} honoured {} by a{}, which {} had ended {:.3} s before",
                    operation.process,
                    history.session(session),
                    access.number,
                    by.process,
                    (operation.began.at - by.ended.at).as_secs_f64()
                );
                found.push(Found { what, sessions: vec![session], at: operation.ended });
            }
        }
    }
    found
}

fn promises<'a>(history: &History, lives: &Lives<'_>, by: &'a Operation) -> Vec<Promise<'a>> {
    let of_family = |session: SessionId| {
        let family = lives.get(session).map(|life| life.record.family);
        let all = family.into_iter().flat_map(|family| lives.of_family(family, by.began));
        all.map(|(session, _)| Ended::Session(session)).collect::<Vec<_>>()
    };
    let ended = match (&by.act, &by.outcome) {
        (Act::EndOne(session) | Act::EndOwn(session), Outcome::Done(_)) => vec![Ended::Session(*session)],
        (Act::SignOut(access), Outcome::Done(_)) => of_family(access.session),
        (Act::RevokeRefresh { session, .. }, Outcome::Done(ended)) if !ended.is_empty() => of_family(*session),
        (Act::EndAll(subject), Outcome::Done(_)) => of_subject(lives, subject, None, by.began),
        (Act::EndOthers { subject, keep }, Outcome::Done(_)) => of_subject(lives, subject, Some(*keep), by.began),
        (Act::Refresh { session, .. }, Outcome::Reused) => of_family(*session),
        (Act::Refresh { .. }, Outcome::Refreshed { access, .. }) => replaced(history, access.hash),
        (Act::Reauthenticate(access), Outcome::Opened { .. }) => vec![Ended::Session(access.session)],
        (Act::Open { .. }, Outcome::Opened { evicted, .. }) => evicted.iter().copied().map(Ended::Session).collect(),
        _ => Vec::new(),
    };
    ended.into_iter().map(|what| Promise { what, by }).collect()
}

fn of_subject(
    lives: &Lives<'_>,
    subject: &wayleave::core::subject::Subject,
    keep: Option<SessionId>,
    before: Moment,
) -> Vec<Ended> {
    let theirs = lives.iter().filter(|(id, life)| {
        life.record.subject.as_ref() == Some(subject) && Some(**id) != keep && life.created.moment < before
    });
    theirs.map(|(id, _)| Ended::Session(*id)).collect()
}

/// The token that this one took the place of.
fn replaced(history: &History, token: Option<TokenHash>) -> Vec<Ended> {
    let before = history.changes.iter().find_map(|change| match &change.what {
        Changed::Rotated { before, after } if Some(after.token) == token => Some(before),
        _ => None,
    });
    before.map(|before| Ended::Token(before.id, before.token)).into_iter().collect()
}
