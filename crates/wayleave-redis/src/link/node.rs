//! One server: a bounded number of connections, made when they are needed and given up when they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;
use wayleave_core::ports::StoreError;

use super::probe::{self, Role};
use super::{Address, Broken, Call, any_elsewhere, in_time};
use crate::error::{OpenError, Refused, is_lost};
use crate::options::{Options, Replication};

/// One server.
pub(crate) struct Node {
    address: Address,
    role: Role,
    replication: Replication,
    timeout: Duration,
    client_name: Box<str>,
    /// Where writes wait for a replica, whatever else is asked on their connection waits with them. So reads have seats
    /// of their own then, and what other nodes must hear always has.
    seats: Seats,
    for_reads: Option<Seats>,
    for_messages: Seats,
}

/// What is sent together to a server.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Nothing in it writes.
    Read,
    /// Something in it may write.
    Write,
    /// It writes, and is a message to the other nodes.
    Publish,
}

/// Places of connections, taken in turn.
struct Seats {
    seats: Box<[Mutex<Seat>]>,
    next: AtomicUsize,
}

/// The place of one connection.
#[derive(Default)]
struct Seat {
    connection: Option<Connection>,
    failed_at: Option<Instant>,
}

#[derive(Clone)]
struct Connection {
    inner: MultiplexedConnection,
    closed: Arc<AtomicBool>,
}

/// How long nobody tries to connect after it has failed. Meanwhile operations fail at once instead of queueing.
const BACKOFF: Duration = Duration::from_millis(100);
/// How many connections are for messages: one, and another for when that one does not answer.
const FOR_MESSAGES: u32 = 2;

impl Node {
    pub(crate) fn new(address: &Address, options: &Options, role: Role) -> Arc<Self> {
        let writes_wait = matches!(options.replication, Replication::OneReplica { .. });
        Arc::new(Self {
            address: address.clone(),
            role,
            replication: options.replication,
            timeout: options.timeout,
            client_name: options.prefix.clone(),
            seats: Seats::new(options.connections),
            for_reads: writes_wait.then(|| Seats::new(options.connections)),
            for_messages: Seats::new(FOR_MESSAGES),
        })
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// Looks whether the server answers and is fit.
    pub(crate) async fn connect_once(&self) -> Result<(), OpenError> {
        let Some(seat) = self.seats.seats.first() else {
            return Ok(());
        };
        let connection = self.connect().await?;
        seat.lock().await.connection = Some(connection);
        Ok(())
    }

    /// Runs scripts on one connection, one after the other, in one round trip. Where the server does not know them (it
    /// was restarted, or has just become the master), they are sent in full, in a second one.
    pub(crate) async fn run(&self, calls: &[Call]) -> Result<Vec<Value>, Broken> {
        let errand = if calls.iter().any(|call| call.script.writes()) { Errand::Write } else { Errand::Read };
        let brief: Vec<_> = calls.iter().map(|call| call.brief(self.replication)).collect();
        let mut answers = self.pipeline(&brief, errand).await?;
        let unknown: Vec<_> = (0..).zip(&answers).filter(|(_, answer)| is_unknown(answer)).map(|(at, _)| at).collect();
        if unknown.is_empty() {
            return Ok(answers);
        }
        let whole = unknown.iter().filter_map(|at| calls.get(*at)).map(|call| call.whole(self.replication));
        let second = match self.pipeline(&whole.collect::<Vec<_>>(), errand).await {
            // Those that it knew were carried out.
            Err(Broken::NotSent(error)) if unknown.len() < calls.len() => return Err(Broken::Lost(error)),
            second => second?,
        };
        for (at, answer) in unknown.into_iter().zip(second) {
            if let Some(slot) = answers.get_mut(at) {
                *slot = answer;
            }
        }
        Ok(answers)
    }

    /// Sends plain commands in one round trip; where they write, their acknowledgement by a replica belongs to it.
    pub(crate) async fn pipeline(&self, commands: &[redis::Cmd], errand: Errand) -> Result<Vec<Value>, Broken> {
        let (seats, writes) = match errand {
            Errand::Read => (self.for_reads.as_ref().unwrap_or(&self.seats), false),
            Errand::Write => (&self.seats, true),
            Errand::Publish => (&self.for_messages, true),
        };
        let mut connection = self.connection_in(seats).await.map_err(Broken::NotSent)?;
        let mut pipeline = redis::pipe();
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let wait = match self.replication {
            Replication::OneReplica { within } if writes => Some(within),
            Replication::OneReplica { .. } | Replication::Unacknowledged => None,
        };
        if let Some(within) = wait {
            // At least a millisecond: zero would wait for ever.
            pipeline.cmd("WAIT").arg(1).arg(within.as_millis().max(1));
        }
        let answers = match connection.inner.req_packed_commands(&pipeline, 0, pipeline.len()).await {
            Ok(answers) => answers,
            Err(error) => {
                if is_lost(&error) {
                    connection.give_up();
                }
                return Err(Broken::Lost(StoreError::unavailable(error)));
            }
        };
        if any_elsewhere(&answers) {
            connection.give_up();
        }
        self.acknowledged(answers, commands.len(), wait.is_some())
    }

    /// The answers to the commands themselves, unless no replica has what they wrote.
    fn acknowledged(&self, mut answers: Vec<Value>, commands: usize, waited: bool) -> Result<Vec<Value>, Broken> {
        let replicas = if waited { answers.pop() } else { None };
        if answers.len() != commands {
            return Err(Broken::Lost(Refused::Answer.into()));
        }
        // What was refused was not written, so nobody has to acknowledge it.
        let refused = answers.iter().all(|answer| matches!(answer, Value::ServerError(_)));
        match replicas {
            None => Ok(answers),
            Some(_) if refused => Ok(answers),
            Some(Value::Int(1..)) => Ok(answers),
            Some(_) => {
                tracing::warn!(server = self.address.name(), "no replica acknowledged a write");
                Err(Broken::Lost(Refused::NotReplicated.into()))
            }
        }
    }

    /// A connection of one's own. What the server pushes goes to `pushed`.
    pub(crate) async fn listen(
        &self,
        pushed: impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, StoreError> {
        self.open(pushed).await.map_err(StoreError::unavailable)
    }

    async fn connection_in(&self, seats: &Seats) -> Result<Connection, StoreError> {
        let at = seats.next.fetch_add(1, Ordering::Relaxed) % seats.seats.len().max(1);
        let seat = seats.seats.get(at).ok_or(Refused::NoConnection)?;
        match self.connection(seat).await {
            Ok(connection) => Ok(connection),
            // When the server has just come back, others may have a connection already.
            Err(error) => seats.open_one().ok_or(error),
        }
    }

    async fn connection(&self, seat: &Mutex<Seat>) -> Result<Connection, StoreError> {
        let mut seat = in_time(self.timeout, seat.lock()).await.ok_or(Refused::NoConnection)?;
        if let Some(connection) = seat.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        if seat.failed_at.is_some_and(|at| at.elapsed() < BACKOFF) {
            return Err(Refused::Backoff.into());
        }
        let connected = in_time(self.timeout, self.connect()).await;
        match connected.unwrap_or_else(|| Err(StoreError::from(Refused::NoConnection).into())) {
            Ok(connection) => {
                *seat = Seat { connection: Some(connection.clone()), failed_at: None };
                Ok(connection)
            }
            Err(error) => {
                *seat = Seat { connection: None, failed_at: Some(Instant::now()) };
                Err(StoreError::unavailable(error))
            }
        }
    }

    async fn connect(&self) -> Result<Connection, OpenError> {
        let closed = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&closed);
        let noting = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                noted.store(true, Ordering::Release);
            }
            Ok::<_, redis::aio::SendError>(())
        };
        let mut inner = self.open(noting).await.map_err(StoreError::unavailable)?;
        let answer = inner.req_packed_command(&redis::cmd("INFO")).await;
        let answer = answer.and_then(Value::extract_error).map_err(StoreError::unavailable)?;
        probe::judge(answer, self.role, self.replication).map_err(StoreError::corrupt)??;
        Ok(Connection { inner, closed })
    }

    async fn open(
        &self,
        pushed: impl Fn(PushInfo) -> Result<(), redis::aio::SendError> + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, RedisError> {
        let within = match self.replication {
            Replication::OneReplica { within } => within,
            Replication::Unacknowledged => Duration::ZERO,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout.saturating_add(within)))
            .set_push_sender(pushed);
        let client = Client::open(self.address.info().clone())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // For whoever looks at `CLIENT LIST`.
        let mut name = redis::cmd("CLIENT");
        name.arg("SETNAME").arg(&*self.client_name);
        // A user who may not do that may do without.
        connection.req_packed_command(&name).await?;
        Ok(connection)
    }
}

impl Seats {
    /// So many, at least one.
    fn new(number: u32) -> Self {
        Self { seats: (0..number.max(1)).map(|_| Mutex::default()).collect(), next: AtomicUsize::new(0) }
    }

    /// A connection that is there.
    fn open_one(&self) -> Option<Connection> {
        self.seats.iter().find_map(|seat| seat.try_lock().ok()?.connection.clone().filter(Connection::is_open))
    }
}

impl Connection {
    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Whoever comes next connects anew.
    fn give_up(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

fn is_unknown(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}

impl Call {
    /// By the script's hash.
    fn brief(&self, replication: Replication) -> redis::Cmd {
        self.command("EVALSHA", self.script.text(replication).hash())
    }

    /// With the script itself, which the server then knows.
    fn whole(&self, replication: Replication) -> redis::Cmd {
        self.command("EVAL", self.script.text(replication).text())
    }

    fn command(&self, name: &str, script: &str) -> redis::Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys);
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}
