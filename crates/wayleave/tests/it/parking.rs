//! A store and a directory whose answers can be held back, so that a race happens in a chosen order.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::oneshot;
use wayleave::core::decide::Standing;
use wayleave::core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, SessionStore,
    StoreError, Subjects, Swept, Touch, Update,
};
use wayleave::core::record::{Record, Revision};
use wayleave::core::subject::Subject;
use wayleave::core::ticket::{Purpose, Ticket};
use wayleave::core::time::Timestamp;

/// Where a call can be held.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Insert,
    Find,
    Update,
    Rotate,
    Revoke,
    Standing,
}

/// Holds back the answer of one call: what it did is done, and nobody knows yet.
#[derive(Default)]
pub(crate) struct Gate {
    waiting: Mutex<Option<Waiting>>,
    broken: Mutex<Option<Spot>>,
}

struct Waiting {
    spot: Spot,
    arrived: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

/// A call that will be, or is, held.
pub(crate) struct Held {
    arrived: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Gate {
    /// Holds the next call at `spot`.
    pub(crate) fn hold(&self, spot: Spot) -> Held {
        let (arrives, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        *self.waiting.lock().unwrap() = Some(Waiting { spot, arrived: arrives, released });
        Held { arrived, release }
    }

    /// Lets the next call at `spot` panic once it has done its work.
    pub(crate) fn panic_at(&self, spot: Spot) {
        *self.broken.lock().unwrap() = Some(spot);
    }

    async fn pass(&self, spot: Spot) {
        let broken = self.broken.lock().unwrap().take_if(|at| *at == spot);
        assert!(broken.is_none(), "a panic that the test asked for");
        let held = self.waiting.lock().unwrap().take_if(|waiting| waiting.spot == spot);
        if let Some(Waiting { spot: _, arrived, released }) = held {
            let _ = arrived.send(());
            let _ = released.await;
        }
    }
}

impl Held {
    /// Waits until the call is held.
    pub(crate) async fn arrived(&mut self) {
        (&mut self.arrived).await.expect("the call came to the gate");
    }

    /// Lets it go on.
    pub(crate) fn release(self) {
        let _ = self.release.send(());
    }
}

/// A store with a gate.
pub(crate) struct ParkingStore {
    pub(crate) inner: Arc<dyn SessionStore>,
    pub(crate) gate: Arc<Gate>,
}

/// A directory with a gate.
pub(crate) struct ParkingSubjects {
    pub(crate) inner: Arc<dyn Subjects>,
    pub(crate) gate: Arc<Gate>,
}

#[async_trait]
impl Subjects for ParkingSubjects {
    async fn standing(&self, subject: &Subject) -> Result<Standing, StoreError> {
        let answer = self.inner.standing(subject).await;
        self.gate.pass(Spot::Standing).await;
        answer
    }
}

#[async_trait]
impl SessionStore for ParkingStore {
    async fn insert(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        let answer = self.inner.insert(record, limit, replaces, now).await;
        self.gate.pass(Spot::Insert).await;
        answer
    }

    async fn find(&self, lookup: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        let answer = self.inner.find(lookup).await;
        self.gate.pass(Spot::Find).await;
        answer
    }

    async fn update(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        let answer = self.inner.update(record, expected).await;
        self.gate.pass(Spot::Update).await;
        answer
    }

    async fn rotate(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        let answer = self.inner.rotate(rotation).await;
        self.gate.pass(Spot::Rotate).await;
        answer
    }

    async fn deposit(&self, ticket: &Ticket, most: u32, now: Timestamp) -> Result<Deposit, StoreError> {
        self.inner.deposit(ticket, most, now).await
    }

    async fn take(&self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Result<Option<Ticket>, StoreError> {
        self.inner.take(purpose, key, now).await
    }

    async fn revoke(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        let answer = self.inner.revoke(scope).await;
        self.gate.pass(Spot::Revoke).await;
        answer
    }

    async fn list(&self, listing: &Listing) -> Result<Page, StoreError> {
        self.inner.list(listing).await
    }

    async fn touch(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        self.inner.touch(touches).await
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
