//! Who cannot be heard changes nothing: a node whose way to the bus has been cut for as long as others rely on hearing it,
//! and whatever it had begun by then has had its time, ends nothing in the store any more.
//!
//! A process that stood still meanwhile may be in between asking whether it may make a change and making it.

use std::time::Duration;

use wayleave_testkit::StoreVerb;

use super::Found;
use super::lives::Lives;
use crate::history::{Changed, Direction, History, Trouble};
use crate::plan::TIMING;

/// From the last that a node said until all that it had begun in time has ended, by the slowest clock.
const ALL_ENDED: Duration = Duration::from_millis(1530 + 6000);
const _: () = assert!(
    ALL_ENDED.as_millis()
        == (TIMING.lease.as_millis() - TIMING.beat.as_millis()) * 102 / 100 + TIMING.write.as_millis()
);

pub(super) fn check(history: &History, _: &Lives<'_>) -> Vec<Found> {
    let changes = history.changes.iter().filter_map(|change| {
        let ended = match (&change.what, change.verb) {
            (
                Changed::Gone(record) | Changed::FoundExpired(record) | Changed::Rotated { before: record, .. },
                StoreVerb::Revoke | StoreVerb::Rotate | StoreVerb::Insert,
            ) => Some(record.id),
            _ => None,
        };
        ended.map(|session| (change.moment, change.process, Some(session)))
    });
    let standings = history.standings.iter().map(|stood| (stood.moment, stood.process, None));
    let mut found = Vec::new();
    for (moment, process, session) in changes.chain(standings) {
        let unheard = history.disturbances.iter().find(|trouble| {
            let cut = matches!(trouble.what, Trouble::Bus(Direction::There | Direction::Both, _));
            let meanwhile = trouble.began.at + ALL_ENDED < moment.at && moment < trouble.ended;
            cut && trouble.place == process.place && meanwhile
        });
        let Some(unheard) = unheard else { continue };
        if !history.disturbed(process.place, unheard.began.at, moment.at, |trouble| *trouble == Trouble::Still) {
            let what = format!("{process} changed something when it had long not been heard");
            found.push(Found { what, sessions: session.into_iter().collect(), at: moment });
        }
    }
    found
}
