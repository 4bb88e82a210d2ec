//! Tests of the failing store over a store that only keeps tickets.

use async_trait::async_trait;
use parking_lot::Mutex;
use wayleave_core::ports::{
    Census, Deposit, Gone, Insert, InsertLimit, Listing, Lookup, Page, Replaces, Rotate, Rotation, Scope, Swept, Touch,
    Update,
};
use wayleave_core::record::{Record, Revision};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use super::*;

#[derive(Default)]
struct Tickets(Mutex<Vec<Ticket>>);

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable("keeps tickets only"))
}

#[async_trait]
impl SessionStore for Tickets {
    async fn insert(
        &self,
        _: &Record,
        _: Option<InsertLimit>,
        _: Option<Replaces>,
        _: Timestamp,
    ) -> Result<Insert, StoreError> {
        unused()
    }

    async fn find(&self, _: Lookup) -> Result<Option<Arc<Record>>, StoreError> {
        unused()
    }

    async fn update(&self, _: &Record, _: Revision) -> Result<Update, StoreError> {
        unused()
    }

    async fn rotate(&self, _: &Rotation) -> Result<Rotate, StoreError> {
        unused()
    }

    async fn deposit(&self, ticket: &Ticket, _: u32, _: Timestamp) -> Result<Deposit, StoreError> {
        self.0.lock().push(ticket.clone());
        Ok(Deposit::Done)
    }

    async fn take(&self, _: Purpose, key: [u8; 32], _: Timestamp) -> Result<Option<Ticket>, StoreError> {
        let mut tickets = self.0.lock();
        let at = tickets.iter().position(|ticket| ticket.key == key);
        Ok(at.map(|at| tickets.remove(at)))
    }

    async fn revoke(&self, _: &Scope) -> Result<Vec<Gone>, StoreError> {
        unused()
    }

    async fn list(&self, _: &Listing) -> Result<Page, StoreError> {
        unused()
    }

    async fn touch(&self, _: &[Touch]) -> Result<usize, StoreError> {
        unused()
    }

    async fn erase_pairs(&self, _: Timestamp, _: u32) -> Result<u32, StoreError> {
        unused()
    }

    async fn sweep(&self, _: Timestamp, _: u32) -> Result<Swept, StoreError> {
        unused()
    }

    async fn census(&self, _: Timestamp) -> Result<Census, StoreError> {
        unused()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

fn ticket() -> Ticket {
    Ticket { purpose: Purpose::Challenge, key: [3; 32], payload: Box::default(), expires_at: Timestamp::MAX }
}

#[tokio::test]
async fn a_lost_answer_is_a_change_that_happened() {
    let store = FailingStore::new(Arc::new(Tickets::default()));
    store.faults().fail(StoreVerb::Deposit, Fault::AFTER_COMMIT);
    assert!(store.deposit(&ticket(), 1, NOW).await.is_err());
    assert_eq!(store.take(Purpose::Challenge, [3; 32], NOW).await.unwrap(), Some(ticket()));

    store.faults().fail(StoreVerb::Deposit, Fault::DOWN);
    assert!(store.deposit(&ticket(), 1, NOW).await.is_err());
    assert_eq!(store.take(Purpose::Challenge, [3; 32], NOW).await.unwrap(), None);

    let calls: Vec<_> = store.faults().calls().into_iter().collect();
    assert_eq!(calls, [(StoreVerb::Deposit, 2), (StoreVerb::Take, 2)]);
}

#[tokio::test]
async fn goes_down_and_comes_up_as_a_whole() {
    let store = FailingStore::new(Arc::new(Tickets::default()));
    store.take_down();
    assert!(store.ping().await.is_err());
    assert!(store.take(Purpose::Challenge, [3; 32], NOW).await.is_err());
    store.bring_up();
    assert!(store.ping().await.is_ok());
    assert!(store.take(Purpose::Challenge, [3; 32], NOW).await.unwrap().is_none());
}
