//! The suite can fail: stores that are wrong in one way each are found out by the case that is about it.

use std::sync::Arc;

use async_trait::async_trait;
use wayleave_conformance::store::{self, Store};
use wayleave_conformance::{Bench, Races};
use wayleave_core::memory::MemoryStore;
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Swept, Touch, Update,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

/// What is wrong with a store.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing: the wrapper itself passes.
    None,
    /// An update of a record that is gone puts it back.
    UpdateCreates,
    /// A ticket stays after it was taken, until it is taken again.
    TakeGivesTwice,
    /// The limit is checked in one step and the record added in another.
    LimitCheckedApart,
    /// A repeated exchange makes a pair of its own.
    RepeatMints,
    /// Activity counts as a change.
    TouchCounts,
    /// The replay of a token ends only the session that it leads to.
    ReuseEndsOne,
    /// A revocation looks first and ends what it saw later.
    RevokeLooksFirst,
}

struct Broken {
    inner: MemoryStore,
    fault: Fault,
}

/// Lets other tasks run between two steps that ought to be one.
async fn pause() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl SessionStore for Broken {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        let (Fault::LimitCheckedApart, Some(limit), Some(subject)) = (self.fault, limit, &record.subject) else {
            return self.inner.insert(record, limit, replaces, now).await;
        };
        let listing = Listing { subject: Some((record.slot, subject.clone())), after: None, most: 1000 };
        let mut held = self.inner.list(&listing).await?.records;
        let unmarked = |held: &&Arc<Record>| held.kind == record.kind && held.expired_at.is_none();
        let mut marked_some = false;
        for ended in held.iter().filter(unmarked).filter(|held| held.has_ended(now)) {
            marked_some = true;
            let marked = Record { expired_at: Some(now), ..(**ended).clone() };
            let _ = self.inner.update(&marked, ended.revision).await?;
        }
        held.retain(|held| {
            held.kind == record.kind && !held.has_ended(now) && Some(held.id) != replaces.map(|replaces| replaces.id)
        });
        pause().await;
        let most = usize::try_from(limit.most).unwrap();
        let settled = held.iter().filter(|held| !held.was_opened_ahead(now)).count();
        let mut evicted = Vec::new();
        if held.len() >= most {
            match limit.at_limit {
                AtLimit::Refuse if settled >= most => {
                    for held in self.inner.list(&Listing { subject: None, ..listing }).await?.records {
                        if Some(held.id) == replaces.map(|replaces| replaces.id) {
                            self.inner.revoke(&Scope::One(held.slot, held.id)).await?;
                        }
                    }
                    return Ok(Insert::Refused);
                }
                AtLimit::Refuse | AtLimit::EvictOldest => held.sort_by_key(|held| held.created_at),
                AtLimit::EvictLeastRecentlySeen => held.sort_by_key(|held| held.last_seen_at),
            }
            held.sort_by_key(|held| !held.was_opened_ahead(now));
            let surplus = held.len() + 1 - most;
            for held in &held[..surplus] {
                evicted.extend(self.inner.revoke(&Scope::One(held.slot, held.id)).await?);
            }
        }
        match self.inner.insert(record, None, replaces, now).await? {
            Insert::Done { replaced, evicted: _, marked: _ } => {
                Ok(Insert::Done { replaced, evicted, marked: marked_some })
            }
            other @ (Insert::Exists | Insert::Refused | Insert::Conflict) => Ok(other),
        }
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        self.inner.find(lookup).await
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        let outcome = self.inner.update(record, expected).await?;
        if self.fault == Fault::UpdateCreates && outcome == Update::Missing {
            let _ = self.inner.insert(record, None, None, record.created_at).await?;
        }
        Ok(outcome)
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        let before = self.inner.find(Lookup::Refresh(rotation.presented)).await?;
        match (self.fault, self.inner.rotate(rotation).await?) {
            (Fault::RepeatMints, Rotate::Repeat { record, sealed_pair: _ }) => {
                Ok(Rotate::Repeat { record, sealed_pair: rotation.next.sealed.clone() })
            }
            (Fault::ReuseEndsOne, Rotate::Reuse(gone)) => {
                let id = before.map(|record| record.id);
                for other in gone.iter().filter(|gone| Some(gone.id) != id) {
                    let record = wayleave_conformance::fixtures::record(77).family(other.family);
                    let _ = self.inner.insert(&record.build(), None, None, rotation.now).await?;
                }
                Ok(Rotate::Reuse(gone.into_iter().filter(|gone| Some(gone.id) == id).collect()))
            }
            (_, outcome) => Ok(outcome),
        }
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        self.inner.deposit(ticket, most, now).await
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        let taken = self.inner.take(purpose, key, now).await?;
        if let (Fault::TakeGivesTwice, Some(ticket)) = (self.fault, &taken)
            && !ticket.payload.is_empty()
        {
            let _ = self.inner.deposit(ticket, u32::MAX, now).await?;
        }
        Ok(taken)
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        let (Fault::RevokeLooksFirst, Scope::One(slot, id)) = (self.fault, scope) else {
            return self.inner.revoke(scope).await;
        };
        let seen = self.inner.find(Lookup::Id(*slot, *id)).await?;
        pause().await;
        self.inner.revoke(scope).await?;
        Ok(seen.iter().map(|record| Gone::from_record(record)).collect())
    }

    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        self.inner.list(listing).await
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        let written = self.inner.touch(touches).await?;
        if self.fault == Fault::TouchCounts {
            for touch in touches {
                if let Some(record) = self.inner.find(Lookup::Id(touch.slot, touch.id)).await? {
                    let _ = self.inner.update(&record, record.revision).await?;
                }
            }
        }
        Ok(written)
    }

    async fn erase_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.inner.erase_pairs(before, most).await
    }

    async fn sweep(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        self.inner.sweep(before, most).await
    }

    async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        self.inner.census(now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// A maker of stores with this fault.
fn maker(fault: Fault) -> impl Fn() -> std::future::Ready<Store> + Send + Sync + 'static {
    move || std::future::ready(Arc::new(Broken { inner: MemoryStore::default(), fault }))
}

/// Runs one case against stores with this fault; whether it passed.
async fn passes(fault: Fault, group: &str, name: &str) -> bool {
    let case = store::cases().iter().find(|case| case.group == group && case.name == name).unwrap();
    let outcome = tokio::spawn((case.run)(Bench::new(maker(fault), Races::QUICK))).await;
    assert!(outcome.as_ref().err().is_none_or(tokio::task::JoinError::is_panic));
    outcome.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_is_found_by_the_case_that_is_about_it() {
    for (fault, group, name) in [
        (Fault::UpdateCreates, "update", "never_creates"),
        (Fault::UpdateCreates, "revoke", "lets_nothing_back"),
        (Fault::UpdateCreates, "races", "an_update_does_not_outlive_a_revocation"),
        (Fault::TakeGivesTwice, "tickets", "gives_what_was_deposited_once"),
        (Fault::TakeGivesTwice, "races", "a_ticket_is_taken_once"),
        (Fault::LimitCheckedApart, "races", "inserts_at_the_limit_evict_exactly"),
        (Fault::LimitCheckedApart, "races", "inserts_at_the_limit_are_refused_exactly"),
        (Fault::RepeatMints, "rotate", "repeats_the_identical_pair_within_the_window"),
        (Fault::RepeatMints, "races", "one_of_many_rotations_mints"),
        (Fault::TouchCounts, "touch", "is_no_revision"),
        (Fault::ReuseEndsOne, "rotate", "ends_other_sessions_of_the_family"),
        (Fault::RevokeLooksFirst, "races", "a_rotation_does_not_outlive_a_revocation"),
    ] {
        assert!(passes(Fault::None, group, name).await, "{group}::{name} fails without a fault");
        assert!(!passes(fault, group, name).await, "{group}::{name} passes in spite of {fault:?}");
    }
}

/// A limit that is not atomic looks right as long as nobody runs in parallel: only the races find it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_checked_apart_passes_all_but_the_races() {
    for case in store::cases().iter().filter(|case| case.group == "limit") {
        assert!(passes(Fault::LimitCheckedApart, case.group, case.name).await, "{case:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_suite_names_what_failed() {
    store::suite(maker(Fault::None)).await;
    let failure = tokio::spawn(store::suite(maker(Fault::UpdateCreates))).await.unwrap_err().into_panic();
    let message = failure.downcast_ref::<String>().unwrap();
    for name in ["update::never_creates", "revoke::lets_nothing_back"] {
        assert!(message.contains(name), "{message}");
    }
    assert!(!message.contains("find::"), "{message}");
}

/// Races that cannot be lost show nothing.
#[tokio::test]
async fn races_refuse_to_run_on_one_thread() {
    assert!(!passes(Fault::None, "races", "a_ticket_is_taken_once").await);
}
