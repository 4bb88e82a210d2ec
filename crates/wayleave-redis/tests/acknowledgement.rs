//! What a replica acknowledges: whatever an operation comes to, there is a write to wait for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wayleave_conformance::fixtures::{BASE, at, full, person, record, refresh_key, rotation, ticket, touch};
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{
    Bus as _, Deposit, Insert, InsertLimit, Replaces, Rotate, Scope, SessionStore, StoreError, Swept, Update,
};
use wayleave_core::record::Revision;
use wayleave_core::ticket::Purpose;
use wayleave_redis::{Options, RedisStore, Replication, Servers};
use wayleave_testkit::servers::redis::{Redis, RedisNode};

use crate::options;
use crate::round_trips::every_operation;

/// A store whose writes a replica acknowledges, its master, and the replica.
async fn acknowledged(within: Duration) -> (RedisStore, Redis, Redis) {
    let master = Redis::private(&["--min-replicas-to-write", "1"]).unwrap();
    let replica = Redis::replica_of(master.node()).unwrap();
    let replication = Replication::OneReplica { within };
    let options = Options { replication, connections: 1, ..options(Servers::single(master.url())) };
    (RedisStore::open(options).await.unwrap(), master, replica)
}

/// How many writes a replica has carried out, by its own count. What keeps master and replica in step does not count.
fn carried_out(replica: &RedisNode) -> u64 {
    let stats = replica.cli(&["INFO", "commandstats"]).unwrap();
    let calls = stats.lines().filter_map(|line| {
        let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let upkeep = ["auth", "info", "ping", "replconf", "select", "multi", "exec"].contains(&name);
        (!upkeep).then(|| figures.split(',').next().unwrap().parse::<u64>().unwrap())
    });
    calls.sum()
}

/// Runs every operation that may write and has nothing to do, and `check` after each, with its name.
async fn every_operation_in_vain(store: &RedisStore, mut check: impl FnMut(&str)) {
    let (held, stranger) = (full(1), record(9).of(&person(9)).build());
    let _ = store.insert(&held, None, None, BASE).await.unwrap();
    check("insert");
    assert_eq!(store.insert(&held, None, None, BASE).await.unwrap(), Insert::Exists);
    check("insert what exists");
    let none = Some(InsertLimit { most: 0, at_limit: AtLimit::Refuse });
    assert_eq!(store.insert(&stranger, none, None, BASE).await.unwrap(), Insert::Refused);
    check("insert beyond the limit");
    let of_another = Some(Replaces { id: held.id, expected: Some(Revision(77)) });
    assert_eq!(store.insert(&stranger, None, of_another, BASE).await.unwrap(), Insert::Conflict);
    check("replace what has changed");
    assert!(matches!(store.update(&held, Revision(77)).await.unwrap(), Update::Conflict));
    check("update what has changed");
    assert!(matches!(store.update(&stranger, stranger.revision).await.unwrap(), Update::Missing));
    check("update nothing");
    let exchange = rotation(refresh_key(&held), 4, at(60));
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
    check("rotate");
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Repeat { .. }));
    check("rotate again");
    let unknown = rotation(refresh_key(&stranger), 5, at(60));
    assert!(matches!(store.rotate(&unknown).await.unwrap(), Rotate::Unknown));
    check("rotate nothing");
    assert_eq!(store.touch(&[touch(&stranger, at(60), None)]).await.unwrap(), 0);
    check("touch nothing");
    let ticket = ticket(1, Purpose::Challenge, at(100));
    assert!(store.take(ticket.purpose, ticket.key, at(1)).await.unwrap().is_none());
    check("take nothing");
    assert_eq!(store.deposit(&ticket, 0, at(0)).await.unwrap(), Deposit::Full);
    check("deposit where there is no room");
    assert_eq!(store.deposit(&ticket, 1, at(0)).await.unwrap(), Deposit::Done);
    check("deposit");
    assert_eq!(store.deposit(&ticket, 1, at(0)).await.unwrap(), Deposit::Exists);
    check("deposit what exists");
    assert_eq!(store.erase_pairs(BASE, 10).await.unwrap(), 0);
    check("erase no pair");
    assert_eq!(store.sweep(BASE, 10).await.unwrap(), Swept::default());
    check("sweep nothing");
    let (subject, slot) = (person(9), stranger.slot);
    for scope in [
        Scope::One(slot, stranger.id),
        Scope::Family(slot, stranger.family),
        Scope::Others { subject: subject.clone(), slot, keep: stranger.id },
        Scope::All { subject, slot },
    ] {
        assert_eq!(store.revoke(&scope).await.unwrap(), []);
        check("revoke nothing");
    }
}

/// R168: a revocation that failed because no replica had it, and is asked for again, finds nothing left to do. Servers
/// wait for the connection's last write, since 7.2, so it has to be one: what is answered a replica has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_answered_was_written_to_a_replica() {
    let (store, _master, replica) = acknowledged(Duration::from_secs(10)).await;
    let mut before = carried_out(replica.node());
    let mut check = |name: &str, writes: bool| {
        let after = carried_out(replica.node());
        assert_eq!(after > before, writes, "{name}: {} writes reached the replica", after - before);
        before = after;
    };
    every_operation(&store, &mut check).await;
    every_operation_in_vain(&store, |name| check(name, true)).await;
}

/// Also by a server that is full: it lets sessions end, and says again that they have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_writes_it_too() {
    let (store, master, replica) = acknowledged(Duration::from_secs(10)).await;
    let (held, other) = (record(1).build(), record(2).of(&person(2)).build());
    assert_ne!(held.slot.0 >> 8, other.slot.0 >> 8);
    let _ = store.insert(&held, None, None, BASE).await.unwrap();
    master.node().cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let end = |record: &wayleave_core::record::Record| Scope::One(record.slot, record.id);
    assert_eq!(store.revoke(&end(&held)).await.unwrap().len(), 1);
    // Again, and where nothing was ever written.
    for gone in [&held, &other] {
        let before = carried_out(replica.node());
        assert_eq!(store.revoke(&end(gone)).await.unwrap(), []);
        assert!(carried_out(replica.node()) > before);
    }
    assert!(matches!(store.insert(&held, None, None, BASE).await, Err(StoreError::Full)));
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
