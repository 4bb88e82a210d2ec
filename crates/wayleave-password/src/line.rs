//! Lines of attempts that are counted together: whoever comes while others take up the limit waits until they are
//! judged, and is turned away only when wrong ones have used it up (R102).
//!
//! An attempt under way holds its reservation until it is judged, so at no time are more under way than the rule has
//! attempts left, and of wrong ones no more are judged than the rule allows. Right ones at once all get their turn, up
//! to 20 who wait. A success forgets all reservations, also those of others under way: after it at most as many more as
//! were under way can be judged. Lines are of this process; another one that shares the store sees reservations only,
//! and so may tell a right attempt to come again.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use wayleave_core::lockout::{Reservation, Rule};
use wayleave_core::ports::{CounterKey, Counters, StoreError};
use wayleave_core::time::Timestamp;

/// Most attempts of one counter that wait for others to be judged; one more hears at once how things stand.
const MOST_WAITING: u32 = 20;

/// The lines that somebody stands in.
#[derive(Default)]
pub(crate) struct Lines(Mutex<HashMap<CounterKey, Entry>>);

#[derive(Default)]
struct Entry {
    line: Arc<Line>,
    waiting: u32,
    under_way: u32,
}

#[derive(Default)]
struct Line {
    /// Held by the one who asks for a reservation.
    head: tokio::sync::Mutex<()>,
    progress: watch::Sender<Progress>,
}

#[derive(Copy, Clone, Default)]
struct Progress {
    under_way: u32,
    judged: u64,
}

/// An attempt in line, and under way once it has its reservation. It has been judged, or given up, when this is
/// dropped.
pub(crate) struct Attempt<'a> {
    lines: &'a Lines,
    key: CounterKey,
    line: Arc<Line>,
    stage: Stage,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Stage {
    Waiting,
    UnderWay,
}

impl Lines {
    /// Takes a place in the line of `key`, waits for its turn, and reserves.
    pub(crate) async fn reserve(
        &self,
        counters: &dyn Counters,
        key: CounterKey,
        rule: Rule,
        now: Timestamp,
    ) -> Result<(Reservation, Option<Attempt<'_>>), StoreError> {
        let (mut attempt, waits) = self.join(key);
        let line = Arc::clone(&attempt.line);
        let _head = if waits { Some(line.head.lock().await) } else { None };
        let mut progress = line.progress.subscribe();
        loop {
            let before = *progress.borrow_and_update();
            let reservation = counters.reserve(key, rule, now).await?;
            match reservation {
                Reservation::Granted { .. } => {
                    attempt.begin();
                    return Ok((reservation, Some(attempt)));
                }
                Reservation::Locked { .. } => {}
            }
            let after = *progress.borrow();
            if !waits || (after.under_way == 0 && after.judged == before.judged) {
                return Ok((reservation, None));
            }
            // The sender is in the line, which is held here.
            let _ = progress.wait_for(|progress| progress.judged != before.judged).await;
        }
    }

    /// A new attempt, and whether it waits: as many do as may.
    fn join(&self, key: CounterKey) -> (Attempt<'_>, bool) {
        let mut lines = self.0.lock();
        let entry = lines.entry(key).or_default();
        let waits = entry.waiting < MOST_WAITING;
        entry.waiting += 1;
        (Attempt { lines: self, key, line: Arc::clone(&entry.line), stage: Stage::Waiting }, waits)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Attempt<'_> {
    fn begin(&mut self) {
        if let Some(entry) = self.lines.0.lock().get_mut(&self.key) {
            entry.waiting = entry.waiting.saturating_sub(1);
            entry.under_way += 1;
        }
        self.stage = Stage::UnderWay;
        self.line.progress.send_modify(|progress| progress.under_way += 1);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut lines = self.lines.0.lock();
        if let Some(entry) = lines.get_mut(&self.key) {
            match self.stage {
                Stage::Waiting => entry.waiting = entry.waiting.saturating_sub(1),
                Stage::UnderWay => entry.under_way = entry.under_way.saturating_sub(1),
            }
            if entry.waiting == 0 && entry.under_way == 0 {
                lines.remove(&self.key);
            }
        }
        drop(lines);
        match self.stage {
            Stage::Waiting => {}
            Stage::UnderWay => self.line.progress.send_modify(|progress| {
                progress.under_way = progress.under_way.saturating_sub(1);
                progress.judged += 1;
            }),
        }
    }
}
