//! Last-seen writes, coalesced: a request moves a number in memory, and a batch is written down now and then.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use parking_lot::Mutex;
use wayleave_core::id::{SessionId, Slot};
use wayleave_core::ports::Touch;
use wayleave_core::record::Activity;

/// Activity that is not written down yet. Holds at most one entry per session, and at most `most` of them: what does
/// not fit is not remembered, so a session may seem idle earlier than it is, never later.
pub(crate) struct Pending {
    touches: Mutex<HashMap<SessionId, Touch>>,
    most: usize,
}

impl Pending {
    pub(crate) fn new(most: usize) -> Self {
        Self { touches: Mutex::default(), most }
    }

    pub(crate) fn note(&self, id: SessionId, slot: Slot, activity: Activity) {
        let mut touches = self.touches.lock();
        let room = touches.len() < self.most;
        match touches.entry(id) {
            Entry::Occupied(mut held) => {
                if held.get().activity.seen_at < activity.seen_at {
                    held.get_mut().activity = activity;
                }
            }
            Entry::Vacant(free) if room => {
                free.insert(Touch { id, slot, activity });
            }
            Entry::Vacant(_) => {}
        }
    }

    /// The later of what was written down and what waits.
    pub(crate) fn latest(&self, id: &SessionId, written: Activity) -> Activity {
        match self.touches.lock().get(id) {
            Some(touch) if touch.activity.seen_at > written.seen_at => touch.activity,
            Some(_) | None => written,
        }
    }

    /// At most `most` entries to write down. They stay visible to [`Self::latest`] until [`Self::written`].
    pub(crate) fn batch(&self, most: usize) -> Vec<Touch> {
        self.touches.lock().values().take(most).copied().collect()
    }

    /// Drops what was written down, unless it moved on meanwhile.
    pub(crate) fn written(&self, batch: &[Touch]) {
        let mut touches = self.touches.lock();
        for touch in batch {
            if touches.get(&touch.id).is_some_and(|held| held.activity == touch.activity) {
                touches.remove(&touch.id);
            }
        }
    }

    pub(crate) fn forget(&self, id: &SessionId) {
        self.touches.lock().remove(id);
    }

    pub(crate) fn len(&self) -> usize {
        self.touches.lock().len()
    }
}

/// How old the written activity may get before it is written again: a twentieth of the idle limit, at most a minute,
/// so always below the tenth that R015 allows.
pub(crate) fn throttle(idle: Option<Duration>) -> Duration {
    const MOST: Duration = Duration::from_secs(60);
    idle.map_or(MOST, |limit| (limit / 20).min(MOST))
}

#[cfg(test)]
mod tests {
    use wayleave_core::id::IdPrefix;
    use wayleave_core::routing::RoutingKey;
    use wayleave_core::time::Timestamp;

    use super::*;

    fn id(n: u8) -> SessionId {
        SessionId::new(IdPrefix::FALLBACK, [n; 16], Slot(0), &RoutingKey::new([0; 16]))
    }

    fn at(seconds: i64) -> Activity {
        Activity { seen_at: Timestamp::from_seconds(seconds), idle_expires_at: None }
    }

    #[test]
    fn keeps_the_latest_within_its_bound() {
        let pending = Pending::new(1);
        pending.note(id(1), Slot(0), at(10));
        pending.note(id(1), Slot(0), at(5));
        pending.note(id(2), Slot(0), at(20));
        assert_eq!(pending.len(), 1);
        assert_eq!(pending.latest(&id(1), at(7)), at(10));
        assert_eq!(pending.latest(&id(1), at(11)), at(11));
        assert_eq!(pending.latest(&id(2), at(7)), at(7));
    }

    #[test]
    fn what_moved_on_while_it_was_written_stays() {
        let pending = Pending::new(10);
        pending.note(id(1), Slot(0), at(10));
        let batch = pending.batch(10);
        pending.note(id(1), Slot(0), at(11));
        pending.written(&batch);
        assert_eq!(pending.batch(10).len(), 1);
        let batch = pending.batch(10);
        pending.written(&batch);
        assert_eq!(pending.len(), 0);
    }

    /// R015: the throttle is below a tenth of any idle limit.
    #[test]
    fn the_throttle_is_below_a_tenth_of_the_idle_limit() {
        for seconds in [1, 60, 300, 1800, 86_400] {
            let idle = Duration::from_secs(seconds);
            assert!(throttle(Some(idle)) < idle / 10);
        }
    }
}
