//! Writes that share a transaction: each keeps an outcome of its own, whatever becomes of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions as _, SqlitePool};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;

struct Bench {
    writer: Arc<Writer>,
    readers: SqlitePool,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut connection = options.connect().await.unwrap();
        execute(&mut connection, "CREATE TABLE rows (name TEXT PRIMARY KEY) STRICT").await.unwrap();
        Self {
            writer: Arc::new(Writer::start(connection, Duration::from_secs(5))),
            readers: SqlitePool::connect_lazy_with(options),
            _folder: folder,
        }
    }

    /// Queues the writes while the writer is busy, so that they are carried out together; their outcomes.
    async fn together(&self, writes: Vec<Add>) -> Vec<Result<i64, StoreError>> {
        let (began, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let busy = Busy { began: Arc::clone(&began), release: Arc::clone(&release) };
        let writer = Arc::clone(&self.writer);
        let busy = tokio::spawn(async move { writer.run(busy).await });
        began.notified().await;
        let mut answers = Vec::new();
        for write in writes {
            let (reply, answer) = oneshot::channel();
            let job = Message::Job(Box::new(Waiting { write, outcome: None, reply }));
            self.writer.send(job).await.unwrap();
            answers.push(answer);
        }
        release.notify_one();
        busy.await.unwrap().unwrap();
        let mut outcomes = Vec::new();
        for answer in answers {
            outcomes.push(answer.await.unwrap());
        }
        outcomes
    }

    async fn rows(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT name FROM rows ORDER BY name").fetch_all(&self.readers).await.unwrap()
    }
}

/// Keeps the writer until it is released.
struct Busy {
    began: Arc<Notify>,
    release: Arc<Notify>,
}

#[async_trait]
impl Write for Busy {
    type Output = ();

    async fn run(&self, _connection: &mut SqliteConnection) -> Result<(), StoreError> {
        self.began.notify_one();
        self.release.notified().await;
        Ok(())
    }
}

/// What a write does once its row is in.
#[derive(Copy, Clone, PartialEq)]
enum Then {
    Succeed,
    Fail,
    /// What SQLite does by itself when the disk is full.
    LoseTheTransaction,
}

/// Adds a row and says how many rows others see meanwhile.
struct Add {
    name: &'static str,
    then: Then,
    readers: SqlitePool,
    runs: Arc<AtomicU32>,
}

#[async_trait]
impl Write for Add {
    type Output = i64;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<i64, StoreError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let add = sqlx::query("INSERT INTO rows (name) VALUES (?1)").bind(self.name);
        add.execute(&mut *connection).await.map_err(failed)?;
        match self.then {
            Then::Succeed => {}
            Then::Fail => return Err(StoreError::Full),
            Then::LoseTheTransaction => {
                execute(connection, "ROLLBACK").await.map_err(failed)?;
                return Err(StoreError::Full);
            }
        }
        sqlx::query_scalar("SELECT count(*) FROM rows").fetch_one(&self.readers).await.map_err(failed)
    }
}

fn adds(bench: &Bench, runs: &Arc<AtomicU32>, writes: &[(&'static str, Then)]) -> Vec<Add> {
    let add = |(name, then): &(&'static str, Then)| Add {
        name,
        then: *then,
        readers: bench.readers.clone(),
        runs: Arc::clone(runs),
    };
    writes.iter().map(add).collect()
}

#[tokio::test]
async fn a_failure_undoes_itself_alone() {
    let bench = Bench::new().await;
    let runs = Arc::default();
    let writes =
        adds(&bench, &runs, &[("a", Then::Succeed), ("b", Then::Fail), ("a", Then::Succeed), ("c", Then::Succeed)]);
    let outcomes = bench.together(writes).await;
    // Nobody saw a row before the common commit, and each write was run once.
    assert!(matches!(
        outcomes.as_slice(),
        [Ok(0), Err(StoreError::Full), Err(StoreError::Unavailable(Some(_))), Ok(0)]
    ));
    assert_eq!(runs.load(Ordering::Relaxed), 4);
    assert_eq!(bench.rows().await, ["a", "c"]);
}

/// Nobody fails, and nobody is acknowledged in vain, because somebody else's write cost the transaction.
#[tokio::test]
async fn writes_are_run_again_when_their_transaction_is_lost() {
    let bench = Bench::new().await;
    let runs = Arc::default();
    let writes = adds(&bench, &runs, &[("a", Then::Succeed), ("b", Then::LoseTheTransaction), ("c", Then::Succeed)]);
    let outcomes = bench.together(writes).await;
    assert!(matches!(outcomes.as_slice(), [Ok(0), Err(StoreError::Full), Ok(1)]));
    assert_eq!(bench.rows().await, ["a", "c"]);
    assert_eq!(runs.load(Ordering::Relaxed), 5);
    // The connection is of use afterwards.
    let outcomes = bench.together(adds(&bench, &runs, &[("d", Then::Succeed), ("e", Then::Succeed)])).await;
    assert!(matches!(outcomes.as_slice(), [Ok(2), Ok(2)]));
    assert_eq!(bench.rows().await, ["a", "c", "d", "e"]);
}

#[tokio::test]
async fn a_closed_writer_is_unavailable() {
    let bench = Bench::new().await;
    let runs = Arc::default();
    let writes = adds(&bench, &runs, &[("a", Then::Succeed)]);
    bench.writer.close().await;
    for write in writes {
        assert!(matches!(bench.writer.run(write).await, Err(StoreError::Unavailable(Some(_)))));
    }
    bench.writer.close().await;
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

/// A queue that is full answers after the patience of the writer, and never waits for ever.
#[tokio::test]
async fn a_full_queue_is_unavailable() {
    let bench = Bench::new().await;
    let (queue, _messages) = mpsc::channel(1);
    let writer = Writer { queue, questions: mpsc::channel(1).0, patience: Duration::ZERO };
    let (reply, _closed) = oneshot::channel();
    writer.queue.try_send(Message::Close(reply)).ok().unwrap();
    let writes = adds(&bench, &Arc::default(), &[("a", Then::Succeed)]);
    for write in writes {
        let Err(StoreError::Unavailable(Some(reason))) = writer.run(write).await else {
            panic!("accepted");
        };
        assert_eq!(reason.to_string(), Refused::Overloaded.to_string());
    }
}

/// What others wrote is said before the writes that wait, however many there are: memory stands still until it is known.
#[tokio::test]
async fn a_question_does_not_wait_for_the_queue() {
    let bench = Bench::new().await;
    let (one, other) = (Hold::default(), Hold::default());
    let first = one.write(&bench);
    one.began.notified().await;
    let second = other.write(&bench);
    let runs = Arc::default();
    let waiting: Vec<_> = (0..TOGETHER)
        .map(|_| {
            let (bench, add) = (Arc::clone(&bench.writer), adds(&bench, &runs, &[("row", Then::Fail)]).remove(0));
            tokio::spawn(async move { bench.run(add).await })
        })
        .collect();
    while bench.writer.queue.capacity() > QUEUE - TOGETHER {
        tokio::task::yield_now().await;
    }
    let writer = Arc::clone(&bench.writer);
    let question = tokio::spawn(async move { writer.data_version().await });
    tokio::task::yield_now().await;
    one.release.notify_one();
    let answer = tokio::time::timeout(Duration::from_secs(10), question).await;
    answer.expect("it waits for the queue").unwrap().unwrap();
    other.release.notify_one();
    for held in [first, second] {
        held.await.unwrap().unwrap();
    }
    for write in waiting {
        assert!(write.await.unwrap().is_err());
    }
}

/// Writes that keep the writer busy until they are let go.
#[derive(Default)]
struct Hold {
    began: Arc<Notify>,
    release: Arc<Notify>,
}

impl Hold {
    fn write(&self, bench: &Bench) -> tokio::task::JoinHandle<Result<(), StoreError>> {
        let busy = Busy { began: Arc::clone(&self.began), release: Arc::clone(&self.release) };
        let writer = Arc::clone(&bench.writer);
        tokio::spawn(async move { writer.run(busy).await })
    }
}
