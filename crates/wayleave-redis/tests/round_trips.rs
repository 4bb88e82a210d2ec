//! One round trip for each operation, counted on the wire.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wayleave_conformance::fixtures::{
    BASE, at, by_id, by_refresh, by_token, full, listing, person, record, refresh_key, rotation, ticket, touch,
};
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{
    InsertLimit, Listing, Lookup, Replaces, Rotate, Rotation, Scope, SessionStore, StoreError, Touch, Update,
};
use wayleave_core::ticket::Purpose;
use wayleave_core::token::TokenKey;
use wayleave_redis::{Options, RedisStore, Replication, Servers};
use wayleave_testkit::servers::redis::{Redis, RedisCluster, RedisNode};

use crate::{cluster_options, options};

/// Passes everything on, and counts how often the client speaks after the server did.
struct Wire {
    port: u16,
    turns: Arc<AtomicU64>,
    /// Loses the next answer, and the connection with it.
    cut: Arc<AtomicBool>,
}

impl Wire {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let turns = Arc::new(AtomicU64::new(0));
        let cut = Arc::new(AtomicBool::new(false));
        let (counted, cutting) = (Arc::clone(&turns), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&counted), Arc::clone(&cutting)));
            }
        });
        Self { port, turns, cut }
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }
}

async fn pass(mut client: TcpStream, mut server: TcpStream, turns: Arc<AtomicU64>, cut: Arc<AtomicBool>) {
    let (mut from_client, mut from_server) = ([0; 16_384], [0; 16_384]);
    let mut clients_turn = true;
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => match read {
                Ok(length) if length > 0 => {
                    turns.fetch_add(u64::from(clients_turn), Ordering::SeqCst);
                    clients_turn = false;
                    server.write_all(&from_client[..length]).await.unwrap();
                }
                _ => return,
            },
            read = server.read(&mut from_server) => match read {
                Ok(length) if length > 0 && !cut.swap(false, Ordering::SeqCst) => {
                    clients_turn = true;
                    client.write_all(&from_server[..length]).await.unwrap();
                }
                _ => return,
            },
        }
    }
}

/// How often a command came over the wire, by the server's own count. What scripts call is counted apart.
fn calls(node: &RedisNode, command: &str) -> u64 {
    let stats = node.cli(&["INFO", "commandstats"]).unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// Sessions in many cells.
fn touched() -> Vec<Touch> {
    (0..60).map(|n| touch(&record(n).of(&person(n)).build(), at(60), None)).collect()
}

/// Runs every operation with something to do, and `check` after each, with its name and whether it may write.
pub(crate) async fn every_operation(store: &RedisStore, mut check: impl FnMut(&str, bool)) {
    let held = full(1);
    let guest = record(2).guest().build();
    let limit = Some(InsertLimit { most: 3, at_limit: AtLimit::EvictOldest });
    let _ = store.insert(&held, limit, None, BASE).await.unwrap();
    check("insert", true);
    let _ = store.insert(&guest, None, None, BASE).await.unwrap();
    check("insert", true);
    let next = record(3).build();
    let _ = store.insert(&next, limit, Some(Replaces::any(guest.id)), BASE).await.unwrap();
    check("insert in place of a guest", true);
    for lookup in [by_token(&held), by_id(&held), by_refresh(&held)] {
        assert!(store.find(lookup).await.unwrap().is_some());
        check("find", false);
    }
    assert!(matches!(store.update(&held, held.revision).await.unwrap(), Update::Done(_)));
    check("update", true);
    let exchange = rotation(refresh_key(&next), 4, at(60));
    let Rotate::Done { record: held, .. } = store.rotate(&exchange).await.unwrap() else {
        panic!("not rotated");
    };
    check("rotate", true);
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Repeat { .. }));
    check("rotate again", true);
    store.touch(&[touched(), vec![touch(&held, at(70), None)]].concat()).await.unwrap();
    check("touch", true);
    store.list(&listing(&person(0))).await.unwrap();
    check("list", false);
    store.list(&Listing { subject: None, after: None, most: 10 }).await.unwrap();
    check("list of everybody", false);
    store.census(at(60)).await.unwrap();
    check("census", false);
    assert_eq!(store.erase_pairs(at(100), 10).await.unwrap(), 1);
    check("erase_pairs", true);
    let ticket = ticket(1, Purpose::Challenge, at(100));
    let _ = store.deposit(&ticket, 10, at(0)).await.unwrap();
    check("deposit", true);
    assert!(store.take(ticket.purpose, ticket.key, at(1)).await.unwrap().is_some());
    check("take", true);
    let (subject, slot) = (person(0), held.slot);
    for scope in [
        Scope::One(slot, held.id),
        Scope::Family(slot, held.family),
        Scope::Others { subject: subject.clone(), slot, keep: held.id },
        Scope::All { subject, slot },
    ] {
        store.revoke(&scope).await.unwrap();
        check("revoke", true);
    }
    store.sweep(at(10_000_000), 10).await.unwrap();
    check("sweep", true);
    store.ping().await.unwrap();
    check("ping", true);
}

/// R168: on one server every operation is one round trip, the acknowledgement of a replica included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_is_one_round_trip() {
    let server = Redis::private(&["--min-replicas-to-write", "1"]).unwrap();
    let _replica = Redis::replica_of(server.node()).unwrap();
    let wire = Wire::to(server.node().port()).await;
    for replication in [Replication::Unacknowledged, Replication::OneReplica { within: Duration::from_secs(10) }] {
        let options = Options { replication, ..options(Servers::single(server.node().url_by(wire.port))) };
        // One connection, and one that knows the scripts.
        let store = RedisStore::open(Options { connections: 1, ..options.clone() }).await.unwrap();
        every_operation(&store, |_, _| ()).await;
        let waits = || calls(server.node(), "wait");
        let (mut turns, mut waited) = (wire.turns(), waits());
        every_operation(&store, |name, writes| {
            assert_eq!(wire.turns() - turns, 1, "{name}");
            let expected = writes && replication != Replication::Unacknowledged;
            assert_eq!(waits() - waited, u64::from(expected), "{name}");
            (turns, waited) = (wire.turns(), waits());
        })
        .await;
    }
}

/// R064: a write whose answer was lost is not sent again, since a second exchange would look like a theft. A read is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_sent_at_most_once() {
    let server = Redis::private(&[]).unwrap();
    let wire = Wire::to(server.node().port()).await;
    let options = options(Servers::single(server.node().url_by(wire.port)));
    let store = RedisStore::open(Options { connections: 1, ..options }).await.unwrap();
    let held = record(1).build();
    let _ = store.insert(&held, None, None, BASE).await.unwrap();
    // From here on the server knows the script.
    let Rotate::Done { record: held, .. } = store.rotate(&rotation(refresh_key(&held), 3, at(30))).await.unwrap()
    else {
        panic!("not rotated");
    };
    let exchange = Rotation { window: Duration::ZERO, ..rotation(refresh_key(&held), 2, at(60)) };
    wire.cut.store(true, Ordering::SeqCst);
    let lost = store.rotate(&exchange).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    // It was carried out, once: the family lives, by its new token.
    let new = Lookup::Token(TokenKey { slot: held.slot, hash: exchange.next.token });
    assert_eq!(store.find(new).await.unwrap().unwrap().refresh.as_ref().unwrap().generation, 2);
    wire.cut.store(true, Ordering::SeqCst);
    assert!(store.find(new).await.unwrap().is_some());
    assert!(!wire.cut.load(Ordering::SeqCst), "no answer was lost");
}

/// A server that has forgotten the scripts is told them in a second round trip, once.
#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_once() {
    let server = Redis::private(&[]).unwrap();
    let wire = Wire::to(server.node().port()).await;
    let options = options(Servers::single(server.node().url_by(wire.port)));
    let store = RedisStore::open(Options { connections: 1, ..options }).await.unwrap();
    let held = record(1).build();
    let _ = store.insert(&held, None, None, BASE).await.unwrap();
    for _ in 0..2 {
        server.node().cli(&["SCRIPT", "FLUSH"]).unwrap();
        for expected in [2, 1, 1] {
            let before = wire.turns();
            assert!(store.find(by_id(&held)).await.unwrap().is_some());
            assert_eq!(wire.turns() - before, expected);
        }
    }
    // Also in the middle of many.
    server.node().cli(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(store.touch(&[touch(&held, at(1), None), touch(&record(2).build(), at(1), None)]).await.unwrap(), 1);
}

/// In a Cluster, what concerns a subject asks one master once; what concerns everybody each master once; and a guest's
/// session that another slot replaces two.
#[tokio::test]
async fn in_a_cluster_an_operation_asks_one_master_once() {
    let cluster = RedisCluster::private(30_000).unwrap();
    let store = RedisStore::open(Options { connections: 1, ..cluster_options(&cluster) }).await.unwrap();
    every_operation(&store, |_, _| ()).await;
    let asked = || -> u64 { cluster.nodes().iter().map(|node| calls(node, "evalsha")).sum() };
    let told = || -> u64 { cluster.nodes().iter().map(|node| calls(node, "eval")).sum() };
    let (mut before, told_before) = (asked(), told());
    let cells = touched().iter().map(|touch| touch.slot.0 >> 8).collect::<BTreeSet<_>>().len();
    every_operation(&store, |name, _| {
        let expected = match name {
            "insert in place of a guest" => 2,
            "list of everybody" | "census" | "erase_pairs" | "sweep" => 3,
            // One for each cell, all in one go.
            "touch" => u64::try_from(cells).unwrap(),
            "ping" => 0,
            _ => 1,
        };
        assert_eq!(asked() - before, expected, "{name}");
        before = asked();
    })
    .await;
    assert_eq!(told(), told_before, "a master did not know a script");
}
