//! The way from a node to the store, and the witness who looks at the store after every call.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use wayleave::core::id::SessionId;
use wayleave::core::memory::{MemoryOptions, MemoryStore};
use wayleave::core::ports::{Listing, SessionStore, StoreError};
use wayleave::core::record::Record;
use wayleave_testkit::{Around, Link, StoreVerb};

use crate::gate::Gate;
use crate::history::{Changed, Process, Recorder};
use crate::plan::PATIENCE;

/// The store that all nodes share, and what it held when somebody looked last.
pub(crate) struct Witness {
    pub(crate) store: Arc<MemoryStore>,
    recorder: Arc<Recorder>,
    held: Mutex<BTreeMap<SessionId, Arc<Record>>>,
}

/// Most records of one page of a listing.
const PAGE: u32 = 1000;

impl Witness {
    pub(crate) fn new(recorder: Arc<Recorder>) -> Self {
        Self { store: Arc::new(MemoryStore::new(MemoryOptions::default())), recorder, held: Mutex::default() }
    }

    /// Everything that the store holds, by its own port.
    pub(crate) async fn all(&self) -> Vec<Arc<Record>> {
        let (mut records, mut after) = (Vec::new(), None);
        loop {
            let listing = Listing { subject: None, after, most: PAGE };
            // In memory, nothing fails.
            let Ok(page) = self.store.list(&listing).await else { return records };
            records.extend(page.records);
            after = page.next;
            if after.is_none() {
                return records;
            }
        }
    }

    /// Writes down what a call has changed. The store is in memory: nothing else comes in between.
    async fn look(&self, process: Process, verb: StoreVerb) {
        let changes = match verb {
            StoreVerb::Insert | StoreVerb::Update | StoreVerb::Rotate | StoreVerb::Revoke | StoreVerb::Sweep => true,
            StoreVerb::Find
            | StoreVerb::Deposit
            | StoreVerb::Take
            | StoreVerb::List
            | StoreVerb::Touch
            | StoreVerb::ErasePairs
            | StoreVerb::Census
            | StoreVerb::Ping => false,
        };
        if !changes {
            return;
        }
        let now: BTreeMap<_, _> = self.all().await.into_iter().map(|record| (record.id, record)).collect();
        let before = std::mem::replace(&mut *self.held.lock(), now.clone());
        let tell = |what| self.recorder.changed(process, verb, what);
        for (id, record) in &before {
            if !now.contains_key(id) {
                tell(Changed::Gone(Arc::clone(record)));
            }
        }
        for (id, record) in &now {
            let Some(held) = before.get(id) else {
                tell(Changed::Created(Arc::clone(record), rivals(record, &now)));
                continue;
            };
            if held.token != record.token {
                tell(Changed::Rotated { before: Arc::clone(held), after: Arc::clone(record) });
            }
            if held.expired_at.is_none() && record.expired_at.is_some() {
                tell(Changed::FoundExpired(Arc::clone(record)));
            }
        }
    }
}

/// How many others of the same subject and kind had not ended when `record` came in.
fn rivals(record: &Record, all: &BTreeMap<SessionId, Arc<Record>>) -> usize {
    let same = |other: &&Arc<Record>| {
        other.id != record.id
            && other.subject == record.subject
            && other.kind == record.kind
            && record.subject.is_some()
    };
    all.values().filter(same).filter(|other| !other.has_ended(record.last_seen_at)).count()
}

/// The way of one process.
pub(crate) struct Post {
    pub(crate) process: Process,
    pub(crate) link: Arc<Link>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) witness: Arc<Witness>,
}

impl Post {
    /// Carries a question there and its answer back, to a process that may stand still or be dead by then.
    pub(crate) async fn carry<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.gate.pass().await;
        // What has left arrives, whatever becomes of the process.
        let answer = tokio::time::timeout(PATIENCE, self.link.carry(call)).await;
        self.gate.pass().await;
        answer.unwrap_or_else(|_| Err(StoreError::unavailable("no answer came in time")))
    }
}

impl Around<StoreVerb> for Post {
    async fn around<T: Send>(
        &self,
        verb: StoreVerb,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let call = async {
            let answer = call.await;
            self.witness.look(self.process, verb).await;
            answer
        };
        self.carry(call).await
    }
}
