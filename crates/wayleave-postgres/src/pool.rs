//! The connections. A pool of our own, since the driver's asks the server for a sign of life around every statement,
//! and one round trip is what an operation may cost.
//!
//! A connection that is given back in the middle of a statement, because its caller went away, finishes that first. One
//! that broke takes all that wait with it: they are from before the same restart. So a server that comes back is noticed
//! at once, and at most the operations that were under way fail.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use wayleave_core::ports::StoreError;

use crate::error::{Refused, failed, lost_a_race, spares_the_connection};
use crate::options::Options;
use crate::statement::Statement;

/// How often a statement is run again that was undone because of another one.
const AGAIN: u32 = 5;
/// A connection that was idle for longer is asked for a sign of life first: somebody may have hung up unseen.
const FRESH: Duration = Duration::from_secs(30);
/// How much longer the client waits than the server does.
const MARGIN: Duration = Duration::from_secs(1);
const IS_STANDBY: &str = "SELECT pg_is_in_recovery()";

/// What a statement may do when the connection is found broken.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It changes nothing, and is asked again on a new connection.
    Reads,
    /// It may have been carried out.
    Writes,
}

/// Connections of one store.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    server: PgConnectOptions,
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    acquire_timeout: Duration,
    statement_timeout: Duration,
}

struct Idle {
    connection: PgConnection,
    since: Instant,
}

impl Pool {
    /// A pool of so many connections, at least 1, without any yet: the first operations make them.
    pub(crate) fn new(server: PgConnectOptions, connections: u32, options: &Options) -> Self {
        let most = usize::try_from(connections.max(1)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::new(Shared {
                server,
                idle: Mutex::default(),
                permits: Arc::new(Semaphore::new(most)),
                acquire_timeout: options.acquire_timeout,
                statement_timeout: options.statement_timeout,
            }),
        }
    }

    /// Runs a statement. What it returns has been committed; an error of the driver is what the server said to it.
    pub(crate) async fn run(
        &self,
        effect: Effect,
        statement: &Statement,
    ) -> Result<Result<Vec<PgRow>, sqlx::Error>, StoreError> {
        let mut raced = 0;
        let mut asked_again = false;
        loop {
            let mut lease = self.lease().await?;
            let error = match lease.run(statement).await {
                Ok(rows) => return Ok(Ok(rows)),
                Err(Failure::NoAnswer) => return Err(Refused::NoAnswer.into()),
                Err(Failure::Driver(error)) => error,
            };
            if lost_a_race(&error) && raced < AGAIN {
                raced += 1;
            } else if effect == Effect::Reads && lease.is_broken() && lease.was_idle && !asked_again {
                asked_again = true;
            } else {
                return Ok(Err(error));
            }
        }
    }

    /// Closes what is idle; what is under way ends by itself, and nothing new begins.
    pub(crate) async fn close(&self) {
        self.shared.permits.close();
        let idle = std::mem::take(&mut *self.shared.idle.lock());
        for Idle { connection, since: _ } in idle {
            // The server notices either way.
            timeout(MARGIN, connection.close()).await.ok();
        }
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let shared = &self.shared;
        let leased = timeout(shared.acquire_timeout, async {
            let permit = Arc::clone(&shared.permits).acquire_owned().await.map_err(|_| Refused::Closed)?;
            let mut lease =
                Lease { shared: Arc::clone(shared), connection: None, was_idle: false, permit: Some(permit) };
            while let Some(Idle { mut connection, since }) = shared.take_idle() {
                if since.elapsed() < FRESH || matches!(timeout(MARGIN, connection.ping()).await, Ok(Ok(()))) {
                    lease.connection = Some(connection);
                    lease.was_idle = true;
                    return Ok(lease);
                }
            }
            lease.connection = Some(to_primary(&shared.server).await?);
            Ok(lease)
        });
        match leased.await {
            Ok(leased) => leased,
            Err(_) if shared.permits.available_permits() == 0 => Err(Refused::Overloaded.into()),
            Err(_) => Err(Refused::NoConnection.into()),
        }
    }
}

/// A new connection, unless it leads to a standby: that answers from the past, and behind a name that follows a failover
/// it may be met at any time. A connection that is open is safe: no primary becomes a standby without hanging up.
pub(crate) async fn to_primary(server: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let mut connection = server.connect().await.map_err(failed)?;
    let is_standby = sqlx::raw_sql(IS_STANDBY).fetch_one(&mut connection).await.and_then(|row| row.try_get(0));
    if is_standby.map_err(failed)? {
        // The server notices either way.
        timeout(MARGIN, connection.close()).await.ok();
        return Err(Refused::Standby.into());
    }
    Ok(connection)
}

impl Shared {
    fn take_idle(&self) -> Option<Idle> {
        self.idle.lock().pop()
    }

    fn give_back(&self, connection: PgConnection) {
        if !self.permits.is_closed() {
            self.idle.lock().push(Idle { connection, since: Instant::now() });
        }
    }
}

/// A connection for one statement.
struct Lease {
    shared: Arc<Shared>,
    connection: Option<PgConnection>,
    was_idle: bool,
    permit: Option<OwnedSemaphorePermit>,
}

enum Failure {
    Driver(sqlx::Error),
    NoAnswer,
}

impl Lease {
    async fn run(&mut self, statement: &Statement) -> Result<Vec<PgRow>, Failure> {
        let Some(connection) = &mut self.connection else {
            return Err(Failure::NoAnswer);
        };
        let patience = self.shared.statement_timeout.saturating_add(MARGIN);
        let (outcome, good) = match timeout(patience, statement.run(connection)).await {
            Ok(Ok(rows)) => (Ok(rows), true),
            Ok(Err(error)) => {
                let good = spares_the_connection(&error);
                (Err(Failure::Driver(error)), good)
            }
            Err(_) => (Err(Failure::NoAnswer), false),
        };
        let connection = self.connection.take();
        match connection {
            Some(connection) if good => {
                self.shared.give_back(connection);
                // The permit goes with it.
                self.permit = None;
            }
            Some(_) | None => self.shared.idle.lock().clear(),
        }
        outcome
    }

    /// Whether the connection was lost, and not merely a statement.
    fn is_broken(&self) -> bool {
        self.permit.is_some()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Left in the middle: whoever asked went away.
        let (Some(mut connection), Some(permit)) = (self.connection.take(), self.permit.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let shared = Arc::clone(&self.shared);
        let patience = shared.statement_timeout.saturating_add(MARGIN);
        runtime.spawn(async move {
            if matches!(timeout(patience, connection.ping()).await, Ok(Ok(()))) {
                shared.give_back(connection);
            }
            drop(permit);
        });
    }
}
