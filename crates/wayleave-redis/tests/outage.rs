//! Servers that stop, hang and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wayleave_conformance::fixtures::{BASE, at, by_id, by_token, person, record, refresh_key, rotation, ticket};
use wayleave_core::ports::{Deposit, Insert, Rotate, Scope, SessionStore, StoreError};
use wayleave_core::record::Record;
use wayleave_core::ticket::Purpose;
use wayleave_redis::{Options, RedisStore, Servers};
use wayleave_testkit::servers::redis::Redis;

use crate::options;

const TIMEOUT: Duration = Duration::from_millis(800);

async fn store(server: &Redis) -> Arc<RedisStore> {
    let options = Options { timeout: TIMEOUT, most_in_flight: 64, ..options(Servers::single(server.url())) };
    Arc::new(RedisStore::open(options).await.unwrap())
}

/// So many lookups at once; how many were answered, and how long the last one took.
async fn finds(store: &Arc<RedisStore>, record: &Record, number: usize) -> (usize, Duration) {
    let began = Instant::now();
    let tasks: Vec<_> = (0..number)
        .map(|_| {
            let (store, lookup) = (Arc::clone(store), by_id(record));
            tokio::spawn(async move { store.find(lookup).await })
        })
        .collect();
    let mut answered = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(found) => answered += usize::from(found.is_some()),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
        }
    }
    (answered, began.elapsed())
}

/// Tries until the server answers again, as those do who use the store.
async fn comes_back(store: &Arc<RedisStore>) {
    let mut again = tokio::time::interval(Duration::from_millis(50));
    let attempts = async {
        loop {
            again.tick().await;
            if store.ping().await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), attempts).await.expect("the store did not come back");
}

/// R168: while the server is gone everybody is told so at once, however many they are; when it is back, so is the store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_and_comes_back() {
    let server = Redis::private(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap();
    let store = store(&server).await;
    let held = record(1).build();
    let _ = store.insert(&held, None, None, BASE).await.unwrap();
    for _ in 0..2 {
        server.node().crash().unwrap();
        let (answered, took) = finds(&store, &held, 2_000).await;
        assert_eq!(answered, 0);
        assert!(took < 4 * TIMEOUT, "{took:?}");
        server.start().unwrap();
        comes_back(&store).await;
        assert_eq!(finds(&store, &held, 100).await.0, 100);
    }
}

/// R168: a server that hangs costs nobody more than the time-out, and what waits is bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs() {
    let server = Redis::private(&[]).unwrap();
    let store = store(&server).await;
    let held = record(1).build();
    let _ = store.insert(&held, None, None, BASE).await.unwrap();
    server.node().freeze().unwrap();
    let (answered, took) = finds(&store, &held, 2_000).await;
    assert_eq!(answered, 0);
    // A turn, a connection that is lost, and another that does not come about.
    assert!(took < 6 * TIMEOUT, "{took:?}");
    let refused = store.rotate(&rotation(refresh_key(&held), 2, at(1))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    server.node().thaw().unwrap();
    comes_back(&store).await;
    assert_eq!(finds(&store, &held, 100).await.0, 100);
}

/// With `appendfsync always`, what was acknowledged survives a crash: sessions, their ends, exchanges and taken tickets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_crash() {
    let server = Arc::new(Redis::private(&["--appendonly", "yes", "--appendfsync", "always"]).unwrap());
    let store = store(&server).await;
    let over = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            let (store, over) = (Arc::clone(&store), Arc::clone(&over));
            tokio::spawn(async move {
                let mut log = Log::default();
                let mut number = worker * 100_000;
                while !over.load(Ordering::Relaxed) {
                    number += 2;
                    log.live_once(&store, number).await;
                }
                log
            })
        })
        .collect();
    let mut pause = tokio::time::interval(Duration::from_millis(400));
    pause.tick().await;
    for _ in 0..3 {
        pause.tick().await;
        let crashed = Arc::clone(&server);
        tokio::task::spawn_blocking(move || {
            crashed.node().crash().unwrap();
            crashed.start().unwrap();
        })
        .await
        .unwrap();
        comes_back(&store).await;
    }
    pause.tick().await;
    over.store(true, Ordering::Relaxed);
    let (mut kept, mut ended, mut taken) = (0, 0, 0);
    for worker in workers {
        let log = worker.await.unwrap();
        for record in &log.kept {
            assert_eq!(store.find(by_token(record)).await.unwrap().as_deref(), Some(record), "a session was lost");
        }
        for record in &log.ended {
            assert_eq!(store.find(by_id(record)).await.unwrap(), None, "a session came back");
        }
        for number in &log.taken {
            let ticket = ticket(*number, Purpose::Challenge, at(100));
            assert_eq!(store.take(ticket.purpose, ticket.key, at(1)).await.unwrap(), None, "a ticket came back");
        }
        (kept, ended, taken) = (kept + log.kept.len(), ended + log.ended.len(), taken + log.taken.len());
    }
    eprintln!("survived three crashes: {kept} sessions, {ended} ended ones, {taken} taken tickets");
    assert!(kept > 20 && ended > 20 && taken > 20, "{kept} {ended} {taken}");
}

/// What the store has acknowledged.
#[derive(Default)]
struct Log {
    kept: Vec<Record>,
    ended: Vec<Record>,
    taken: Vec<u32>,
}

impl Log {
    /// One session that stays and is exchanged, one that is ended, and a ticket, unless the server is away.
    async fn live_once(&mut self, store: &RedisStore, number: u32) {
        let (stays, ends) =
            (record(number).of(&person(number)).build(), record(number + 1).of(&person(number)).build());
        if matches!(store.insert(&stays, None, None, BASE).await, Ok(Insert::Done { .. })) {
            match store.rotate(&rotation(refresh_key(&stays), number + 50_000, at(1))).await {
                Ok(Rotate::Done { record, .. }) => self.kept.push((*record).clone()),
                Err(StoreError::Unavailable(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        if matches!(store.insert(&ends, None, None, BASE).await, Ok(Insert::Done { .. }))
            && store.revoke(&Scope::One(ends.slot, ends.id)).await.is_ok()
        {
            self.ended.push(ends);
        }
        let ticket = ticket(number, Purpose::Challenge, at(100));
        if matches!(store.deposit(&ticket, 1_000_000, BASE).await, Ok(Deposit::Done))
            && store.take(ticket.purpose, ticket.key, at(1)).await.is_ok()
        {
            self.taken.push(number);
        }
    }
}
