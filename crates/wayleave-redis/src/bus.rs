//! The bus: one channel, pinned to one master, so that all who listen hear one order.
//!
//! On one server it is an ordinary channel; in a Cluster a sharded one (`SPUBLISH`, Redis 7), which lives where its hash
//! slot is. A listener has a connection of its own. When that is lost, when the slot moves to another master, or when
//! the listener does not keep up, messages may be missing, and it says so and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionLike as _, MultiplexedConnection, SendError};
use redis::{PushInfo, PushKind, ServerErrorKind, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use wayleave_core::ports::{Bus, Listener, MAX_BUS_MESSAGE, StoreError};

use crate::error::{Refused, answered};
use crate::keys::Place;
use crate::link::{Errand, Node};
use crate::store::RedisStore;

/// How many messages wait for a listener at most, and how many bytes of them.
const WAITING: usize = 16_384;
const WAITING_BYTES: usize = 16 << 20;
/// How long the key lasts that shows whether the master takes writes.
const MARK_MILLIS: u64 = 24 * 3_600_000;
/// How often a listener asks whether its server still is the master. A server that vanished is noticed after that and
/// the time-out.
const ASKS_EVERY: Duration = Duration::from_millis(1_000);

#[async_trait]
impl Bus for RedisStore {
    async fn publish(&self, message: &[u8]) -> Result<(), StoreError> {
        if message.len() > MAX_BUS_MESSAGE {
            return Err(StoreError::Full);
        }
        let outcome = self.publish_once(message).await;
        if outcome.is_err() {
            self.link.doubt();
        }
        outcome
    }

    async fn listen(&self) -> Result<Box<dyn Listener>, StoreError> {
        let node = self.link.node_of(Place::Bus).await?;
        let listener = self.listen_at(&node).await.inspect_err(|_| self.link.doubt())?;
        Ok(Box::new(listener))
    }
}

impl RedisStore {
    fn channel(&self) -> String {
        self.keys.base(Place::Bus)
    }

    fn mark(&self) -> String {
        format!("{}mark", self.channel())
    }

    /// Says it to the master, together with a small write: a master that takes no writes any more, or whose replicas are
    /// elsewhere, must not swallow what others wait for. The write is one that a full server takes, too.
    async fn publish_once(&self, message: &[u8]) -> Result<(), StoreError> {
        let mut mark = redis::cmd("PEXPIRE");
        mark.arg(self.mark()).arg(MARK_MILLIS);
        let mut publish = redis::cmd(if self.link.is_one_server() { "PUBLISH" } else { "SPUBLISH" });
        publish.arg(self.channel()).arg(message);
        let commands = [mark, publish];
        let mut answers = self.link.node_of(Place::Bus).await?.pipeline(&commands, Errand::Publish).await?;
        if answers.iter().any(is_moved) {
            // Nobody has it yet.
            self.link.doubt();
            answers = self.link.node_of(Place::Bus).await?.pipeline(&commands, Errand::Publish).await?;
        }
        for answer in answers {
            if let Value::ServerError(error) = answer {
                return Err(answered(&error));
            }
        }
        Ok(())
    }

    async fn listen_at(&self, node: &Arc<Node>) -> Result<BusListener, StoreError> {
        let (sender, messages) = mpsc::channel(WAITING);
        let waiting = Arc::new(Waiting::default());
        let counted = Arc::clone(&waiting);
        let pushed = move |push: PushInfo| deliver(&sender, &counted, push);
        let mut connection = node.listen(pushed).await?;
        let mut subscribe = redis::cmd(if self.link.is_one_server() { "SUBSCRIBE" } else { "SSUBSCRIBE" });
        subscribe.arg(self.channel());
        ask(&mut connection, &subscribe).await?;
        let mut check = redis::cmd("SET");
        check.arg(self.mark()).arg("").arg("PX").arg(MARK_MILLIS);
        match ask(&mut connection, &check).await {
            // A server that is full carries messages all the same.
            Ok(()) | Err(StoreError::Full) => {}
            Err(error) => return Err(error),
        }
        Ok(BusListener { messages, waiting, lost: false, watch: tokio::spawn(watch(connection, check)) })
    }
}

/// What waits for a listener, besides the messages themselves.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    overflowed: AtomicBool,
}

/// Hands a message on. Whatever else is pushed, but for the confirmation, means that messages may be missing; so does one
/// that is too large to be of a node.
fn deliver(sender: &mpsc::Sender<Message>, waiting: &Waiting, push: PushInfo) -> Result<(), SendError> {
    let message = match push.kind {
        PushKind::Subscribe | PushKind::SSubscribe => return Ok(()),
        PushKind::Message | PushKind::SMessage => match push.data.into_iter().nth(1) {
            Some(Value::BulkString(message)) if message.len() <= MAX_BUS_MESSAGE => Message::Said(message.into()),
            _ => Message::Lost,
        },
        _ => Message::Lost,
    };
    let length = message.len();
    let fits = waiting.bytes.fetch_add(length, Ordering::AcqRel) + length <= WAITING_BYTES;
    if fits && sender.try_send(message).is_ok() {
        return Ok(());
    }
    waiting.overflowed.store(true, Ordering::Release);
    Err(SendError)
}

fn is_moved(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::Moved))
}

enum Message {
    Said(Box<[u8]>),
    Lost,
}

impl Message {
    fn len(&self) -> usize {
        match self {
            Self::Said(message) => message.len(),
            Self::Lost => 0,
        }
    }
}

/// Keeps the connection, and gives it up as soon as the server does not take a write: then it is not, or no longer, the
/// master of this slot. The channel closes with the connection, which holds its only sender.
async fn watch(mut connection: MultiplexedConnection, check: redis::Cmd) {
    let mut ticks = tokio::time::interval(ASKS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match ask(&mut connection, &check).await {
            Ok(()) | Err(StoreError::Full) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the bus lost its connection");
                return;
            }
        }
    }
}

async fn ask(connection: &mut MultiplexedConnection, command: &redis::Cmd) -> Result<(), StoreError> {
    match connection.req_packed_command(command).await.map_err(StoreError::unavailable)? {
        Value::ServerError(error) => Err(answered(&error)),
        _ => Ok(()),
    }
}

struct BusListener {
    messages: mpsc::Receiver<Message>,
    waiting: Arc<Waiting>,
    lost: bool,
    watch: JoinHandle<()>,
}

#[async_trait]
impl Listener for BusListener {
    async fn next(&mut self) -> Result<Box<[u8]>, StoreError> {
        if !self.lost
            && !self.waiting.overflowed.load(Ordering::Acquire)
            && let Some(Message::Said(message)) = self.messages.recv().await
        {
            self.waiting.bytes.fetch_sub(message.len(), Ordering::AcqRel);
            return Ok(message);
        }
        self.lost = true;
        Err(Refused::MessagesLost.into())
    }
}

impl Drop for BusListener {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
