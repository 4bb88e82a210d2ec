//! The one connection that writes. Writes that wait for each other share a transaction, and so a wait for the disk.
//!
//! A task owns the connection and drains a bounded queue. Each write runs inside a savepoint of its own: its failure
//! undoes it alone, and it is acknowledged after the commit. When the transaction around several writes is lost (a
//! full disk makes SQLite give up all of it), each is run again in a transaction of its own, so that nobody fails for
//! somebody else's write.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use wayleave_core::ports::StoreError;

use crate::error::{Refused, failed};

/// Most writes that wait at a time.
const QUEUE: usize = 1024;
/// Most writes of one transaction.
const TOGETHER: usize = 128;
/// Most questions that wait at a time.
const QUESTIONS: usize = 16;

/// One write, with everything that it needs.
#[async_trait]
pub(crate) trait Write: Send + Sync + 'static {
    type Output: Send + 'static;

    /// Runs inside a transaction that holds the write lock. Returns the first error of the connection at once, since
    /// the transaction may be gone with it. May be run again from the start when nothing of it was kept.
    async fn run(&self, connection: &mut SqliteConnection) -> Result<Self::Output, StoreError>;
}

/// The way to the connection that writes.
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    questions: mpsc::Sender<Question>,
    patience: Duration,
}

impl Writer {
    /// Starts the task that owns `connection`. It ends with the last sender, or by [`Self::close`].
    pub(crate) fn start(connection: SqliteConnection, patience: Duration) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE);
        let (questions, asked) = mpsc::channel(QUESTIONS);
        tokio::spawn(serve(messages, asked, connection));
        Self { queue, questions, patience }
    }

    /// Runs `write`; what it returns is on the disk. When the caller goes away it may still be carried out.
    pub(crate) async fn run<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Job(Box::new(Waiting { write, outcome: None, reply }))).await?;
        answer.await.map_err(|_| Refused::Closed)?
    }

    /// SQLite's count of what other connections have committed, as the one that writes sees it: its own writes do not
    /// move it, as they would any other connection's. It is asked before the writes that wait, after the transaction
    /// that is under way.
    pub(crate) async fn data_version(&self) -> Result<i64, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(reply).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Refused::Closed,
        })?;
        answer.await.map_err(|_| Refused::Closed)?
    }

    /// Ends the task after the writes that wait already, and closes the connection.
    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.send(Message::Close(reply)).await.is_ok() {
            // An error means that the task ended before, which is just as well.
            closed.await.ok();
        }
    }

    async fn send(&self, message: Message) -> Result<(), Refused> {
        match tokio::time::timeout(self.patience, self.queue.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Refused::Closed),
            Err(_) => Err(Refused::Overloaded),
        }
    }
}

/// Somebody who wants to know [`Writer::data_version`].
type Question = oneshot::Sender<Result<i64, StoreError>>;

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A write that waits, whatever its output.
#[async_trait]
trait Job: Send {
    /// Runs the write and keeps what became of it; whether it may be committed.
    async fn run(&mut self, connection: &mut SqliteConnection) -> bool;

    /// Replaces what became of it.
    fn fail(&mut self, error: StoreError);

    /// Tells whoever waits.
    fn acknowledge(self: Box<Self>);
}

struct Waiting<W: Write> {
    write: W,
    outcome: Option<Result<W::Output, StoreError>>,
    reply: oneshot::Sender<Result<W::Output, StoreError>>,
}

#[async_trait]
impl<W: Write> Job for Waiting<W> {
    async fn run(&mut self, connection: &mut SqliteConnection) -> bool {
        let outcome = self.write.run(connection).await;
        let good = outcome.is_ok();
        self.outcome = Some(outcome);
        good
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }

    fn acknowledge(self: Box<Self>) {
        // The caller may have gone away; the write stands.
        self.reply.send(self.outcome.unwrap_or_else(|| Err(Refused::Closed.into()))).ok();
    }
}

async fn serve(
    mut messages: mpsc::Receiver<Message>,
    mut questions: mpsc::Receiver<Question>,
    mut connection: SqliteConnection,
) {
    let mut received = Vec::with_capacity(TOGETHER);
    let mut closing = None;
    while closing.is_none() {
        tokio::select! {
            biased;
            Some(question) = questions.recv() => {
                let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut connection).await;
                // Whoever asked may have gone away.
                question.send(version.map_err(failed)).ok();
                continue;
            }
            count = messages.recv_many(&mut received, TOGETHER) => if count == 0 {
                break;
            },
        }
        let mut jobs = Vec::with_capacity(received.len());
        for message in received.drain(..) {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Close(reply) => {
                    messages.close();
                    closing = Some(reply);
                }
            }
        }
        carry_out(&mut connection, jobs).await;
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the writing connection did not close cleanly");
    }
    if let Some(reply) = closing {
        reply.send(()).ok();
    }
}

async fn carry_out(connection: &mut SqliteConnection, mut jobs: Vec<Box<dyn Job>>) {
    let together = jobs.len() > 1 && commit_together(connection, &mut jobs).await;
    if !together {
        for job in &mut jobs {
            commit_alone(connection, job.as_mut()).await;
        }
    }
    for job in jobs {
        job.acknowledge();
    }
}

/// One transaction for all. `false` when it came to nothing and each must be run alone.
async fn commit_together(connection: &mut SqliteConnection, jobs: &mut [Box<dyn Job>]) -> bool {
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE").await {
        // The lock is somebody else's for longer than anybody waits; alone, each would only wait as long again.
        tracing::warn!(%error, writes = jobs.len(), "no transaction could be begun");
        for job in jobs {
            job.fail(Refused::NoTransaction.into());
        }
        return true;
    }
    match inside(connection, jobs).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, writes = jobs.len(), "a shared transaction was lost; its writes are run one by one");
            roll_back(connection).await;
            false
        }
    }
}

async fn inside(connection: &mut SqliteConnection, jobs: &mut [Box<dyn Job>]) -> Result<(), sqlx::Error> {
    for job in jobs {
        execute(connection, "SAVEPOINT one").await?;
        if !job.run(connection).await {
            execute(connection, "ROLLBACK TO one").await?;
        }
        execute(connection, "RELEASE one").await?;
    }
    execute(connection, "COMMIT").await
}

async fn commit_alone(connection: &mut SqliteConnection, job: &mut dyn Job) {
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE").await {
        job.fail(failed(error));
        return;
    }
    if !job.run(connection).await {
        roll_back(connection).await;
    } else if let Err(error) = execute(connection, "COMMIT").await {
        job.fail(failed(error));
        roll_back(connection).await;
    }
}

async fn roll_back(connection: &mut SqliteConnection) {
    // Fails when SQLite has rolled back by itself, which is what is wanted.
    execute(connection, "ROLLBACK").await.ok();
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(statement).execute(connection).await.map(|_| ())
}

#[cfg(test)]
mod tests;
