//! A Cluster that loses a master under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wayleave_conformance::fixtures::{BASE, by_id, person, record};
use wayleave_core::ports::{Insert, Scope, SessionStore, StoreError};
use wayleave_core::record::Record;
use wayleave_redis::{Options, RedisStore, Replication};
use wayleave_testkit::servers::redis::RedisCluster;

use crate::cluster_options;

#[derive(Copy, Clone, Debug)]
enum Fault {
    /// The process dies.
    Crash,
    /// It is away, and comes back in the belief that it is the master.
    Freeze,
}

/// What the store has acknowledged, or not.
#[derive(Default)]
struct Log {
    kept: Vec<Record>,
    ended: Vec<Record>,
    refused: u32,
}

async fn work(store: Arc<RedisStore>, over: Arc<AtomicBool>, worker: u32) -> Log {
    let mut log = Log::default();
    for number in worker * 1_000_000.. {
        if over.load(Ordering::Relaxed) {
            return log;
        }
        let record = record(number).of(&person(number)).build();
        match store.insert(&record, None, None, BASE).await {
            Ok(Insert::Done { .. }) => {}
            Err(StoreError::Unavailable(_)) => {
                log.refused += 1;
                tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.ok();
                continue;
            }
            other => panic!("{other:?}"),
        }
        if number % 2 == 0 {
            log.kept.push(record);
            continue;
        }
        match store.revoke(&Scope::One(record.slot, record.id)).await {
            // One that was lost in between is gone, too.
            Ok(_) => log.ended.push(record),
            Err(StoreError::Unavailable(_)) => log.refused += 1,
            other => panic!("{other:?}"),
        }
    }
    log
}

/// Waits until a write works in each of the three shards.
async fn whole_again(store: &RedisStore) {
    let mut again = tokio::time::interval(Duration::from_millis(100));
    let attempts = async {
        while store.ping().await.is_err() {
            again.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), attempts).await.expect("the Cluster did not become whole again");
}

async fn lose_a_master(fault: Fault) {
    let cluster = Arc::new(RedisCluster::private(1_500).unwrap());
    let store = Arc::new(
        RedisStore::open(Options {
            timeout: Duration::from_secs(1),
            replication: Replication::OneReplica { within: Duration::from_secs(1) },
            ..cluster_options(&cluster)
        })
        .await
        .unwrap(),
    );
    let over = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> =
        (1..=8).map(|worker| tokio::spawn(work(Arc::clone(&store), Arc::clone(&over), worker))).collect();
    let mut pause = tokio::time::interval(Duration::from_secs(1));
    pause.tick().await;
    pause.tick().await;
    let faulty = Arc::clone(&cluster);
    tokio::task::spawn_blocking(move || {
        let (lost, replica) = faulty.shard_of(0).unwrap();
        match fault {
            Fault::Crash => lost.crash().unwrap(),
            Fault::Freeze => lost.freeze().unwrap(),
        }
        // Not before: a master without a disk that starts anew is empty, and its replica would follow it in that.
        while !replica.cli(&["INFO", "replication"]).unwrap().contains("role:master") {}
        match fault {
            Fault::Crash => lost.start().unwrap(),
            Fault::Freeze => lost.thaw().unwrap(),
        }
    })
    .await
    .unwrap();
    whole_again(&store).await;
    pause.tick().await;
    pause.tick().await;
    over.store(true, Ordering::Relaxed);
    let (mut kept, mut lost, mut ended, mut back, mut refused) = (0, 0, 0, 0, 0);
    for worker in workers {
        let log = worker.await.unwrap();
        for record in &log.kept {
            lost += usize::from(store.find(by_id(record)).await.unwrap().is_none());
        }
        for record in &log.ended {
            back += usize::from(store.find(by_id(record)).await.unwrap().is_some());
        }
        (kept, ended, refused) = (kept + log.kept.len(), ended + log.ended.len(), refused + log.refused);
    }
    eprintln!("{fault:?}: {kept} sessions, {lost} of them lost; {ended} ended, {back} of them back; {refused} refused");
    assert!(kept > 100 && ended > 100 && refused > 0, "there was no load, or no fault");
    assert_eq!(back, 0, "a session that was ended came back");
    // With one replica, the one that acknowledged is the one that takes over.
    assert_eq!(lost, 0, "acknowledged sessions were lost");
}

/// R064, R168: no session that was ended comes back when its master dies, and what was acknowledged is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_takes_nothing_along() {
    lose_a_master(Fault::Crash).await;
}

/// The same when it was only away: what it takes in before it hears that it is none any more, nobody acknowledges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_was_away_brings_nothing_back() {
    lose_a_master(Fault::Freeze).await;
}
