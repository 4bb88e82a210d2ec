//! What only a Cluster does: sessions that are replaced from another hash slot, and slots that move.

use std::time::Duration;

use wayleave_conformance::fixtures::{BASE, at, by_id, entries, listing, person, record, refresh_key, rotation};
use wayleave_core::ports::{Gone, Insert, Listing, Replaces, Rotate, Scope, SessionStore, StoreError, Update};
use wayleave_core::record::Record;
use wayleave_redis::RedisStore;
use wayleave_testkit::servers::redis::{RedisCluster, RedisNode};

use crate::{cluster, cluster_options, raw};

async fn put(store: &RedisStore, record: &Record) {
    let outcome = store.insert(record, None, None, BASE).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false });
}

/// In two steps, of which the first is the end of the old one: whatever comes between, there are never both.
#[tokio::test]
async fn a_session_of_another_slot_is_replaced_as_it_was_or_not_at_all() {
    let (store, _servers) = cluster().await;
    let (old, new) = (record(1).guest().build(), record(2).build());
    assert_ne!(old.slot.0 >> 8, new.slot.0 >> 8);
    put(&store, &old).await;
    let change = Record { data: entries(&[("k", b"v")]), ..old.clone() };
    let Update::Done(changed) = store.update(&change, old.revision).await.unwrap() else {
        panic!("not changed");
    };
    let as_it_was = Some(Replaces::exactly(&old));
    assert_eq!(store.insert(&new, None, as_it_was, at(1)).await.unwrap(), Insert::Conflict);
    assert_eq!(store.find(by_id(&new)).await.unwrap(), None);
    assert_eq!(store.find(by_id(&old)).await.unwrap().as_ref(), Some(&changed));
    let as_it_is = Some(Replaces::exactly(&changed));
    let outcome = store.insert(&new, None, as_it_is, at(2)).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: Some(Gone::from_record(&old)), evicted: Vec::new(), marked: false });
    assert_eq!(store.find(by_id(&old)).await.unwrap(), None);
    assert_eq!(store.insert(&record(3).build(), None, as_it_is, at(3)).await.unwrap(), Insert::Conflict);
}

/// The Cluster's name of a node.
fn name_of(node: &RedisNode) -> String {
    node.cli(&["CLUSTER", "MYID"]).unwrap()
}

/// Moves some or all keys of a slot: those first whose names have `part`.
async fn migrate(slot: u16, from: &RedisNode, to: &RedisNode, most: usize, part: &[u8]) {
    let mut connection = raw(&from.url()).await;
    let mut ask = redis::cmd("CLUSTER");
    let keys = ask.arg("GETKEYSINSLOT").arg(slot).arg(1_000).query_async(&mut connection).await;
    let mut keys: Vec<Vec<u8>> = keys.unwrap();
    keys.sort_by_key(|key| !key.windows(part.len()).any(|window| window == part));
    keys.truncate(most);
    let password = to.url().split(['@', ':']).nth(2).unwrap().to_owned();
    let mut migrate = redis::cmd("MIGRATE");
    migrate.arg("127.0.0.1").arg(to.port()).arg("").arg(0).arg(5_000).arg("AUTH").arg(password).arg("KEYS").arg(keys);
    let () = migrate.query_async(&mut connection).await.unwrap();
}

/// R168: while its slot is moved key by key, a subject is served by nobody; in no moment is a part of it taken for the
/// whole. Afterwards everything is as it was, at the new place.
#[tokio::test]
async fn a_slot_on_the_move_serves_nobody() {
    let cluster = RedisCluster::private(15_000).unwrap();
    let store = RedisStore::open(cluster_options(&cluster)).await.unwrap();
    let first = record(1).build();
    let bystander =
        (2..).map(|n| record(n).of(&person(n)).build()).find(|other| other.slot.0 >> 8 != first.slot.0 >> 8);
    let bystander = bystander.unwrap();
    let ended = record(3).idle_until(at(10)).build();
    put(&store, &first).await;
    put(&store, &ended).await;
    put(&store, &bystander).await;
    let Rotate::Done { record: held, .. } = store.rotate(&rotation(refresh_key(&first), 9, at(60))).await.unwrap()
    else {
        panic!("not rotated");
    };
    let cell = u8::try_from(first.slot.0 >> 8).unwrap();
    let tag: String =
        [cell >> 4, cell & 15].map(|bits| char::from(b'@' + bits)).into_iter().chain("wl".chars()).collect();
    let slot: u16 = cluster.nodes()[0].cli(&["CLUSTER", "KEYSLOT", &tag]).unwrap().parse().unwrap();
    let from = cluster.master_of(slot).unwrap();
    let to = cluster.nodes()[..3].iter().find(|node| node.port() != from.port()).unwrap();
    let text = slot.to_string();
    to.cli(&["CLUSTER", "SETSLOT", &text, "IMPORTING", &name_of(from)]).unwrap();
    from.cli(&["CLUSTER", "SETSLOT", &text, "MIGRATING", &name_of(to)]).unwrap();
    let everything = Scope::All { subject: person(0), slot: first.slot };
    for keys in [0, 1, 3, 3, 100] {
        if keys > 0 {
            migrate(slot, from, to, keys, &[b":s:", &ended.id.bytes()[..]].concat()).await;
        }
        assert!(matches!(store.find(by_id(&first)).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.revoke(&everything).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.update(&held, held.revision).await, Err(StoreError::Unavailable(_))));
        let other = record(5).build();
        assert!(matches!(store.insert(&other, None, None, at(61)).await, Err(StoreError::Unavailable(_))));
        let exchange = rotation(refresh_key(&held), 6, at(61));
        assert!(matches!(store.rotate(&exchange).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(store.list(&listing(&person(0))).await, Err(StoreError::Unavailable(_))));
        // What goes over everything leaves nothing out: it is whole, or there is no answer.
        let everybody = Listing { subject: None, after: None, most: 10 };
        let whole_or_none = [
            store.census(at(61)).await.map(|census| census.live.iter().map(|(_, count)| *count).sum::<u64>()),
            store.list(&everybody).await.map(|page| u64::try_from(page.records.len()).unwrap() - 1),
        ];
        for answer in whole_or_none {
            assert!(matches!(answer, Ok(2) | Err(StoreError::Unavailable(_))), "{answer:?}");
        }
        if keys > 0 {
            let swept = store.sweep(at(20), 10).await;
            assert!(matches!(swept, Err(StoreError::Unavailable(_))), "{swept:?}");
        }
        assert_eq!(store.find(by_id(&bystander)).await.unwrap().as_deref(), Some(&bystander));
    }
    for node in [to, from, cluster.nodes().iter().find(|node| node.port() != to.port()).unwrap()] {
        node.cli(&["CLUSTER", "SETSLOT", &text, "NODE", &name_of(to)]).unwrap();
    }
    let mut again = tokio::time::interval(Duration::from_millis(50));
    while store.ping().await.is_err() {
        again.tick().await;
    }
    assert_eq!(store.find(by_id(&first)).await.unwrap().as_ref(), Some(&held));
    // A sweep that met the move has not lost sight of what it was to remove.
    assert_eq!(store.sweep(at(20), 10).await.unwrap().records, 1);
    assert_eq!(store.find(by_id(&ended)).await.unwrap(), None);
    assert_eq!(store.census(at(61)).await.unwrap().live.iter().map(|(_, count)| count).sum::<u64>(), 2);
    assert_eq!(store.revoke(&everything).await.unwrap(), [Gone::from_record(&held)]);
    assert_eq!(store.find(by_id(&first)).await.unwrap(), None);
}

/// When a replica takes over in good order, nothing is lost, and nobody has to connect anew.
#[tokio::test]
async fn a_master_that_steps_down_is_followed() {
    let cluster = RedisCluster::private(15_000).unwrap();
    let store = RedisStore::open(cluster_options(&cluster)).await.unwrap();
    let records: Vec<_> = (0..60).map(|n| record(n).of(&person(n)).build()).collect();
    for record in &records {
        put(&store, record).await;
    }
    for (master, replica) in cluster.nodes()[..3].iter().zip(&cluster.nodes()[3..]) {
        replica.cli(&["CLUSTER", "FAILOVER"]).unwrap();
        let mut again = tokio::time::interval(Duration::from_millis(50));
        while !master.cli(&["INFO", "replication"]).unwrap().contains("role:slave") {
            again.tick().await;
        }
        while store.ping().await.is_err() {
            again.tick().await;
        }
        for record in &records {
            assert_eq!(store.find(by_id(record)).await.unwrap().as_deref(), Some(record));
        }
    }
    for record in &records {
        assert_eq!(store.revoke(&Scope::One(record.slot, record.id)).await.unwrap().len(), 1);
    }
}
