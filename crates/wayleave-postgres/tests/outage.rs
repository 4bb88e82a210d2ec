//! A server that goes away and comes back, falls silent, or is asked too much.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{interval, timeout};
use wayleave_conformance::fixtures::{BASE, by_id, person, record};
use wayleave_core::ports::{Bus as _, Insert, Lookup, MAX_BUS_MESSAGE, Scope, SessionStore, StoreError};
use wayleave_core::record::Record;
use wayleave_postgres::{Options, PostgresStore};
use wayleave_testkit::servers::postgres::Postgres;

use crate::proxy::Proxy;
use crate::{database, options};

fn of(number: u32) -> Record {
    record(number).of(&person(number)).build()
}

async fn insert(store: &PostgresStore, number: u32) -> Result<Insert, StoreError> {
    SessionStore::insert(store, &of(number), None, None, BASE).await
}

/// Waits until the store answers again.
async fn back(store: &PostgresStore) {
    let mut again = interval(Duration::from_millis(50));
    let pings = async {
        loop {
            again.tick().await;
            match store.ping().await {
                Ok(()) => return,
                Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
            }
        }
    };
    timeout(Duration::from_secs(60), pings).await.expect("the store does not come back");
}

/// R168: while the server is stopped, crashed and started under a running store, every answer is right or none. What
/// was acknowledged is there afterwards, what was ended stays ended, and nobody starts the process anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_lost_and_nothing_ended_comes_back() {
    let server = Postgres::private().unwrap();
    let database = server.database().unwrap();
    let patience = Duration::from_secs(2);
    let options = Options { acquire_timeout: patience, statement_timeout: patience, ..options() };
    let store = Arc::new(PostgresStore::connect(&database.url(), options).await.unwrap());
    let stop = Arc::new(tokio::sync::Notify::new());
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut kept, mut ended, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0);
                let stopped = stop.notified();
                tokio::pin!(stopped);
                for number in worker * 1_000_000.. {
                    if has_happened(&mut stopped).await {
                        break;
                    }
                    match insert(&store, number).await {
                        Ok(outcome) => {
                            assert!(matches!(outcome, Insert::Done { .. }), "{outcome:?}");
                            kept.insert(number);
                        }
                        Err(error) => {
                            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
                            refused += 1;
                            continue;
                        }
                    }
                    if number % 2 == 0 {
                        let record = of(number);
                        // Without an answer it may be ended, or not.
                        kept.remove(&number);
                        if store.revoke(&Scope::One(record.slot, record.id)).await.is_ok() {
                            ended.insert(number);
                        }
                    }
                    match SessionStore::find(&*store, by_id(&of(number))).await {
                        Ok(found) if number % 2 == 1 => assert!(found.is_some(), "{number} is missing"),
                        Ok(found) => assert!(found.is_none() || !ended.contains(&number), "{number} is back"),
                        Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
                    }
                }
                (kept, ended, refused)
            })
        })
        .collect();
    for crashes in [true, false, true] {
        back(&store).await;
        let before = tokio::time::Instant::now();
        pause(Duration::from_millis(700)).await;
        if crashes { server.crash() } else { server.stop() }.unwrap();
        pause(Duration::from_millis(300)).await;
        server.start().unwrap();
        back(&store).await;
        assert!(before.elapsed() < Duration::from_secs(50));
    }
    pause(Duration::from_millis(300)).await;
    stop.notify_waiters();
    let (mut total, mut turned_away) = (0, 0);
    for worker in workers {
        let (kept, ended, refused) = worker.await.unwrap();
        for number in &kept {
            assert!(SessionStore::find(&*store, by_id(&of(*number))).await.unwrap().is_some(), "{number} was lost");
        }
        for number in &ended {
            assert_eq!(SessionStore::find(&*store, by_id(&of(*number))).await.unwrap(), None, "{number} came back");
        }
        total += kept.len() + ended.len();
        turned_away += refused;
    }
    assert!(total > 100, "{total} operations were acknowledged");
    assert!(turned_away > 0, "nobody noticed that the server was away");
}

/// Whether it has happened already.
async fn has_happened(event: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    tokio::select! {
        biased;
        () = event => true,
        () = std::future::ready(()) => false,
    }
}

async fn pause(length: Duration) {
    let mut ticks = interval(length);
    ticks.tick().await;
    ticks.tick().await;
}

/// A connection that the server closed while it was idle fails no lookup, and a new one is not needed for the next.
#[tokio::test]
async fn lookups_outlive_a_restart() {
    let server = Postgres::private().unwrap();
    let database = server.database().unwrap();
    let store = PostgresStore::connect(&database.url(), options()).await.unwrap();
    insert(&store, 1).await.map(drop).unwrap();
    server.stop().unwrap();
    let away = SessionStore::find(&store, by_id(&of(1))).await;
    assert!(matches!(away, Err(StoreError::Unavailable(Some(_)))), "{away:?}");
    server.start().unwrap();
    assert!(SessionStore::find(&store, by_id(&of(1))).await.unwrap().is_some());
    server.stop().unwrap();
    server.start().unwrap();
    assert!(SessionStore::find(&store, by_id(&of(1))).await.unwrap().is_some());
}

/// The first that finds its connection broken takes those from the same time with it: one write fails, not one for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_restart_costs_one_write() {
    let server = Postgres::private().unwrap();
    let database = Arc::new(server.database().unwrap());
    let store = Arc::new(PostgresStore::connect(&database.url(), options()).await.unwrap());
    let holder = std::thread::spawn({
        let database = Arc::clone(&database);
        move || database.psql("BEGIN; LOCK TABLE wayleave.sessions IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2)")
    });
    pause(Duration::from_millis(500)).await;
    let waiting: Vec<_> = (0..6)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { insert(&store, number).await.map(drop).unwrap() })
        })
        .collect();
    for insertion in waiting {
        insertion.await.unwrap();
    }
    holder.join().unwrap().unwrap();
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'wayleave'";
    assert_eq!(database.psql(connections).unwrap(), "6");
    server.stop().unwrap();
    server.start().unwrap();
    let mut failed = 0;
    for number in 10..16 {
        failed += u32::from(insert(&store, number).await.is_err());
    }
    assert_eq!(failed, 1);
}

/// A server that accepts and says nothing is given up on in time, by the store as by whoever listens.
#[tokio::test]
async fn silence_is_no_answer() {
    let database = database();
    let proxy = Proxy::to(database.server().port()).await;
    let url = format!("{}?sslmode=disable", database.url_by(proxy.port));
    let patience = Duration::from_millis(500);
    let options = Options { acquire_timeout: patience, statement_timeout: patience, ..options() };
    let store = PostgresStore::connect(&url, options).await.unwrap();
    insert(&store, 1).await.map(drop).unwrap();
    let mut listener = store.listen().await.unwrap();
    proxy.silence(true);
    let find = |number| SessionStore::find(&store, by_id(&of(number)));
    // First on a connection that there is, then on new ones.
    for _ in 0..2 {
        let answer = timeout(Duration::from_secs(5), find(1)).await.expect("it waits for ever");
        assert!(matches!(answer, Err(StoreError::Unavailable(Some(_)))), "{answer:?}");
    }
    let told = timeout(Duration::from_secs(15), listener.next()).await.expect("nobody is told");
    assert!(matches!(told, Err(StoreError::Unavailable(Some(_)))), "{told:?}");
    proxy.silence(false);
    assert!(find(1).await.unwrap().is_some());
    assert!(matches!(listener.next().await, Err(StoreError::Unavailable(_))), "it was connected anew");
}

/// What is larger than any message of a node is not handed on, and may stand for one: it is a loss. What is no message at
/// all is left out.
#[tokio::test]
async fn a_message_that_is_too_large_is_a_loss() {
    let database = database();
    let store = PostgresStore::connect(&database.url(), options()).await.unwrap();
    let mut listener = store.listen().await.unwrap();
    let notify = |payload: &str| database.psql(&format!("SELECT pg_notify('wayleave', {payload})")).map(drop).unwrap();
    let of_length = |length| format!("replace(encode(repeat('x', {length})::bytea, 'base64'), E'\\n', '')");
    notify("'not base64'");
    notify(&of_length(MAX_BUS_MESSAGE));
    assert_eq!(listener.next().await.unwrap().len(), MAX_BUS_MESSAGE);
    notify(&of_length(MAX_BUS_MESSAGE + 1));
    notify(&of_length(1));
    for _ in 0..2 {
        let told = listener.next().await;
        assert!(matches!(told, Err(StoreError::Unavailable(Some(_)))), "{told:?}");
    }
}

/// R169: callers beyond the connections wait a while and are turned away then; a statement that waits for a lock too
/// long is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiting_has_an_end() {
    let database = database();
    let patience = Duration::from_millis(600);
    let few = Options { connections: 2, acquire_timeout: patience, statement_timeout: patience, ..options() };
    let store = Arc::new(PostgresStore::connect(&database.url(), few).await.unwrap());
    let held = of(1);
    insert(&store, 1).await.map(drop).unwrap();
    let hold = "BEGIN; LOCK TABLE wayleave.sessions IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4)";
    let database = Arc::new(database);
    let holder = std::thread::spawn({
        let database = Arc::clone(&database);
        move || database.psql(hold).unwrap()
    });
    pause(Duration::from_millis(500)).await;
    let callers: Vec<_> = (0..12)
        .map(|_| {
            let (store, lookup): (_, Lookup) = (Arc::clone(&store), by_id(&held));
            tokio::spawn(async move { SessionStore::find(&*store, lookup).await })
        })
        .collect();
    for caller in callers {
        let answer = timeout(Duration::from_secs(5), caller).await.expect("it waits for ever").unwrap();
        assert!(matches!(answer, Err(StoreError::Unavailable(Some(_)))), "{answer:?}");
    }
    holder.join().unwrap();
    assert!(SessionStore::find(&*store, by_id(&held)).await.unwrap().is_some());
}

/// Signs of life do not queue behind requests: while every connection waits for a lock, the other nodes are told and hear.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishing_does_not_wait_behind_operations() {
    let database = Arc::new(database());
    let few = Options { connections: 2, ..options() };
    let store = Arc::new(PostgresStore::connect(&database.url(), few).await.unwrap());
    let mut listener = store.listen().await.unwrap();
    insert(&store, 1).await.map(drop).unwrap();
    let holder = std::thread::spawn({
        let database = Arc::clone(&database);
        move || database.psql("BEGIN; LOCK TABLE wayleave.sessions IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4)")
    });
    pause(Duration::from_millis(500)).await;
    let callers: Vec<_> = (0..12)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { SessionStore::find(&*store, by_id(&of(1))).await })
        })
        .collect();
    pause(Duration::from_millis(500)).await;
    for message in [&b"one"[..], b"two", b"three"] {
        store.publish(message).await.unwrap();
        assert_eq!(*listener.next().await.unwrap(), *message);
    }
    assert!(callers.iter().all(|caller| !caller.is_finished()), "nobody was waiting");
    holder.join().unwrap().unwrap();
    for caller in callers {
        assert!(caller.await.unwrap().unwrap().is_some());
    }
}

/// Callers that go away in the middle of a statement cost no connection, and what they began is carried out or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_go_away_leave_the_connection_good() {
    let database = database();
    let store =
        Arc::new(PostgresStore::connect(&database.url(), Options { connections: 2, ..options() }).await.unwrap());
    for number in 0..200 {
        let task = tokio::spawn({
            let store = Arc::clone(&store);
            async move { insert(&store, number).await.map(drop) }
        });
        for _ in 0..number % 5 {
            tokio::task::yield_now().await;
        }
        task.abort();
    }
    for number in 0..200 {
        let outcome = insert(&store, number).await.unwrap();
        assert!(matches!(outcome, Insert::Done { .. } | Insert::Exists), "{outcome:?}");
        assert!(SessionStore::find(&*store, by_id(&of(number))).await.unwrap().is_some(), "{number}");
    }
    let connections = database
        .psql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    assert!(connections.unwrap().parse::<u32>().unwrap() <= 2);
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(Some(_)))));
}
