//! What waits for a replica.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wayleave_conformance::fixtures::{BASE, record};
use wayleave_core::ports::{Bus as _, SessionStore, StoreError};
use wayleave_redis::{Options, RedisStore, Replication, Servers};
use wayleave_testkit::servers::redis::Redis;

use crate::options;

/// A store whose writes a replica acknowledges, its master, and the replica.
async fn acknowledged(within: Duration) -> (RedisStore, Redis, Redis) {
    let master = Redis::private(&["--min-replicas-to-write", "1"]).unwrap();
    let replica = Redis::replica_of(master.node()).unwrap();
    let replication = Replication::OneReplica { within };
    let options = Options { replication, connections: 1, ..options(Servers::single(master.url())) };
    (RedisStore::open(options).await.unwrap(), master, replica)
}

/// Signs of life do not queue behind writes that wait for a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_does_not_wait_behind_writes() {
    let (store, _master, replica) = acknowledged(Duration::from_secs(1)).await;
    let store = Arc::new(store);
    let _ = store.insert(&record(1).build(), None, None, BASE).await.unwrap();
    store.publish(b"before").await.unwrap();
    replica.node().freeze().unwrap();
    // One after the other: a second each.
    let writes: Vec<_> = (2..8)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.insert(&record(number).build(), None, None, BASE).await.map(drop) })
        })
        .collect();
    timeout(Duration::from_millis(300), std::future::pending::<()>()).await.ok();
    let published = store.publish(b"meanwhile").await;
    let still_waiting = writes.iter().filter(|write| !write.is_finished()).count();
    replica.node().thaw().unwrap();
    assert!(matches!(published, Err(StoreError::Unavailable(_))), "{published:?}");
    assert!(still_waiting > 0, "it waited for all of them");
    for write in writes {
        // As quickly as the replica was back, or not.
        write.await.unwrap().ok();
    }
    store.publish(b"after").await.unwrap();
}
