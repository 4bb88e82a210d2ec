//! Tests of the failing directory over a one-counter port.

use parking_lot::Mutex;

use super::*;
use crate::faults::Fault;

#[derive(Default)]
struct OneCounter(Mutex<Counter>);

#[async_trait]
impl Counters for OneCounter {
    async fn reserve(&self, _: CounterKey, rule: Rule, now: Timestamp) -> Result<Reservation, StoreError> {
        let mut counter = self.0.lock();
        let (next, reservation) = counter.reserve(rule, now);
        *counter = next;
        Ok(reservation)
    }

    async fn clear(&self, _: CounterKey) -> Result<bool, StoreError> {
        Ok(std::mem::take(&mut *self.0.lock()) != Counter::default())
    }

    async fn read(&self, _: CounterKey) -> Result<Counter, StoreError> {
        Ok(*self.0.lock())
    }

    async fn sweep(&self, _: Rule, _: Timestamp, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }
}

const KEY: CounterKey = CounterKey([1; 32]);
const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);

#[tokio::test]
async fn a_lost_answer_leaves_its_mark_and_an_unreached_call_does_not() {
    let directory = FailingDirectory::new(Arc::new(OneCounter::default()));
    directory.faults().fail(DirectoryVerb::CountersReserve, Fault::AFTER_COMMIT);
    assert!(directory.reserve(KEY, Rule::DEFAULT, NOW).await.is_err());
    assert_eq!(directory.read(KEY).await.unwrap().count, 1);

    directory.faults().fail(DirectoryVerb::CountersReserve, Fault::DOWN);
    assert!(directory.reserve(KEY, Rule::DEFAULT, NOW).await.is_err());
    assert_eq!(directory.read(KEY).await.unwrap().count, 1);

    assert_eq!(directory.faults().calls_of(DirectoryVerb::CountersReserve), 2);
    assert_eq!(directory.faults().calls_of(DirectoryVerb::CountersRead), 2);
    assert!(directory.clear(KEY).await.unwrap());
}

#[tokio::test]
async fn wraps_a_port_object_too() {
    let port: Arc<dyn Counters> = Arc::new(OneCounter::default());
    let directory = FailingDirectory::new(port);
    assert!(matches!(directory.reserve(KEY, Rule::DEFAULT, NOW).await, Ok(Reservation::Granted { .. })));
}
