//! The audit log's writing side: entries go into a bounded queue, one task chains them and puts them into the store.
//!
//! Recording never waits and never fails a request (R167). What does not fit the queue is counted, and the count is
//! itself a row. Refusals that anybody can cause at will are written once at first sight and then once a minute per
//! source with their number, so that a flood fills no disk.

mod chain;
mod heads;
mod verify;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;
use wayleave_core::time::Timestamp;

pub use chain::ChainKey;
pub use heads::{Head, Heads, HeadsError, Inspected};
pub use verify::{Finding, Verification, verify};
pub use writer::{Writer, WriterOptions};

/// Entries that wait for the writer at most.
const QUEUE: usize = 16_384;

/// One thing that happened, before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Entry {
    /// What: `session.created`, `login.failure`, ...
    pub event: &'static str,
    /// Keyed hash of the session's id.
    pub session: Option<Box<str>>,
    /// Whom it concerns.
    pub subject: Option<Box<str>>,
    /// Who did it, if somebody else.
    pub actor: Option<Box<str>>,
    /// Coarse network.
    pub source: Option<Box<str>>,
    /// Why, as a code.
    pub reason: Option<&'static str>,
    /// The request's id.
    pub request: Option<Box<str>>,
    /// More, as JSON without secrets.
    pub detail: Option<serde_json::Value>,
}

/// Whether an outsider can cause an event as often as it likes.
fn is_aggregated(event: &str) -> bool {
    matches!(
        event,
        "session.unknown_token"
            | "session.refused"
            | "vault.refused"
            | "login.throttled"
            | "request.rate_limited"
            | "request.refused"
            | "cookie.duplicate"
            | "token.in_url"
    )
}

enum Message {
    Entry(Timestamp, Box<Entry>),
    Flush(tokio::sync::oneshot::Sender<()>),
}

/// Where entries are put down. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
    stuck: Arc<AtomicBool>,
}

impl Recorder {
    /// A recorder and the receiving end for a [`Writer`].
    fn channel() -> (Self, mpsc::Receiver<Message>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        (Self { queue, dropped: Arc::default(), stuck: Arc::default() }, receiver)
    }

    /// Puts an entry down.
    pub fn record(&self, at: Timestamp, entry: Entry) {
        if self.queue.try_send(Message::Entry(at, Box::new(entry))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that was put down before is in the store, or the store did not take it; then it is tried
    /// again until it does.
    pub async fn flush(&self) {
        let (done, wait) = tokio::sync::oneshot::channel();
        if self.queue.send(Message::Flush(done)).await.is_ok() {
            // The writer drops the sender only when it ends, and then there is nothing to wait for.
            let _ = wait.await;
        }
    }

    /// Whether rows wait that the store did not take when it was last tried.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Entries that did not fit the queue so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
