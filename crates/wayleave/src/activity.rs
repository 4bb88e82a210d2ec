//! Last-seen writes, coalesced: a request moves a number in memory, and a batch is written down now and then.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use wayleave_core::id::{SessionId, Slot};
use wayleave_core::ports::Touch;
use wayleave_core::record::{Activity, Record};

/// Activity that is not written down yet. Holds at most one entry per session, and at most `most` of them: what does
/// not fit is not remembered, so a session may seem idle earlier than it is, never later.
pub(crate) struct Pending {
    waiting: Mutex<Waiting>,
    most: usize,
    /// The slot at which the next flush begins.
    resume: AtomicU16,
}

/// By slot, so that what one subject did lies together.
#[derive(Default)]
struct Waiting {
    slots: BTreeMap<Slot, BTreeMap<SessionId, Activity>>,
    length: usize,
}

impl Waiting {
    fn get(&self, slot: Slot, id: SessionId) -> Option<Activity> {
        self.slots.get(&slot)?.get(&id).copied()
    }

    fn remove(&mut self, slot: Slot, id: SessionId) {
        let Some(sessions) = self.slots.get_mut(&slot) else {
            return;
        };
        self.length -= usize::from(sessions.remove(&id).is_some());
        if sessions.is_empty() {
            self.slots.remove(&slot);
        }
    }
}

fn touches((slot, sessions): (&Slot, &BTreeMap<SessionId, Activity>)) -> Vec<Touch> {
    sessions.iter().map(|(id, activity)| Touch { id: *id, slot: *slot, activity: *activity }).collect()
}

impl Pending {
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: Mutex::default(), most, resume: AtomicU16::new(0) }
    }

    pub(crate) fn note(&self, id: SessionId, slot: Slot, activity: Activity) {
        let waiting = &mut *self.waiting.lock();
        match waiting.get(slot, id) {
            Some(held) if held.seen_at >= activity.seen_at => return,
            Some(_) => {}
            None if waiting.length < self.most => waiting.length += 1,
            None => return,
        }
        waiting.slots.entry(slot).or_default().insert(id, activity);
    }

    /// The later of what was written down and what waits.
    pub(crate) fn latest(&self, record: &Record) -> Activity {
        let written = record.activity();
        match self.waiting.lock().get(record.slot, record.id) {
            Some(waiting) if waiting.seen_at > written.seen_at => waiting,
            Some(_) | None => written,
        }
    }

    /// At most `most` entries to write down, from the slot `from` on. They stay visible to [`Self::latest`] until
    /// [`Self::written`].
    pub(crate) fn batch(&self, from: Slot, most: usize) -> Vec<Touch> {
        self.waiting.lock().slots.range(from..).flat_map(touches).take(most).collect()
    }

    /// Where to go on.
    pub(crate) fn resume(&self) -> Slot {
        Slot(self.resume.load(Ordering::Relaxed))
    }

    /// Says where to go on.
    pub(crate) fn resume_at(&self, slot: Slot) {
        self.resume.store(slot.0, Ordering::Relaxed);
    }

    /// Everything of a slot, as [`Self::batch`].
    pub(crate) fn of_slot(&self, slot: Slot) -> Vec<Touch> {
        self.waiting.lock().slots.get(&slot).map(|sessions| touches((&slot, sessions))).unwrap_or_default()
    }

    /// Drops what was written down, unless it moved on meanwhile.
    pub(crate) fn written(&self, batch: &[Touch]) {
        let mut waiting = self.waiting.lock();
        for Touch { id, slot, activity } in batch {
            if waiting.get(*slot, *id) == Some(*activity) {
                waiting.remove(*slot, *id);
            }
        }
    }

    pub(crate) fn forget(&self, slot: Slot, id: SessionId) {
        self.waiting.lock().remove(slot, id);
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().length
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

    fn held(pending: &Pending, n: u8) -> Option<Activity> {
        pending.waiting.lock().get(Slot(0), id(n))
    }

    #[test]
    fn keeps_the_latest_within_its_bound() {
        let pending = Pending::new(1);
        pending.note(id(1), Slot(0), at(10));
        pending.note(id(1), Slot(0), at(5));
        pending.note(id(2), Slot(0), at(20));
        pending.note(id(3), Slot(1), at(20));
        assert_eq!(pending.len(), 1);
        assert_eq!((held(&pending, 1), held(&pending, 2)), (Some(at(10)), None));
        pending.note(id(1), Slot(0), at(30));
        assert_eq!(held(&pending, 1), Some(at(30)));
        pending.forget(Slot(1), id(1));
        assert_eq!(pending.len(), 1, "in another slot");
        pending.forget(Slot(0), id(1));
        assert_eq!(pending.len(), 0);
        pending.note(id(2), Slot(0), at(20));
        assert_eq!(pending.len(), 1, "there is room again");
    }

    #[test]
    fn gives_what_one_slot_waits_for() {
        let pending = Pending::new(10);
        for (n, slot) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
            pending.note(id(n), Slot(slot), at(n.into()));
        }
        let touch = |n: u8| Touch { id: id(n), slot: Slot(1), activity: at(n.into()) };
        assert_eq!(pending.of_slot(Slot(1)), [touch(2), touch(3)]);
        assert_eq!(pending.of_slot(Slot(3)), []);
        assert_eq!(pending.batch(Slot(0), 3).len(), 3);
        assert_eq!(pending.batch(Slot(1), 9).len(), 3);
        assert_eq!(pending.batch(Slot(3), 9).len(), 0);
    }

    #[test]
    fn what_moved_on_while_it_was_written_stays() {
        let pending = Pending::new(10);
        pending.note(id(1), Slot(0), at(10));
        let batch = pending.batch(Slot(0), 10);
        pending.note(id(1), Slot(0), at(11));
        pending.written(&batch);
        assert_eq!(pending.batch(Slot(0), 10).len(), 1);
        let batch = pending.batch(Slot(0), 10);
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
