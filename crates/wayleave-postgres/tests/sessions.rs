//! What the columns say beside the conformance suite: the end that limits and sweeps go by, how much a family remembers,
//! and what a sweep takes along.

use std::sync::Arc;

use wayleave_conformance::fixtures::{
    BASE, TICK, account_id, at, by_id, by_refresh, bytes, person, record, refresh_key, rotation, touch,
};
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{
    Insert, InsertLimit, KnownDevice, KnownDevices as _, Lookup, Replaces, Rotate, Rotation, Scope, SessionStore,
    Swept, Update,
};
use wayleave_core::record::{Activity, Record};
use wayleave_core::time::Timestamp;
use wayleave_postgres::PostgresStore;
use wayleave_testkit::servers::postgres::Database;

use crate::fresh;

async fn put(store: &PostgresStore, record: &Record) {
    let outcome = SessionStore::insert(store, record, None, None, BASE).await.unwrap();
    assert!(matches!(outcome, Insert::Done { .. }), "{outcome:?}");
}

fn rows(database: &Database, table: &str) -> u32 {
    database.psql(&format!("SELECT count(*) FROM wayleave.{table}")).unwrap().parse().unwrap()
}

/// The column is what [`Record::ends_at`] says, after every kind of change.
#[tokio::test]
async fn the_end_follows_every_change() {
    let (store, database) = fresh().await;
    let ends = [None, Some(at(100)), Some(at(10_000_000))];
    let mut number = 0;
    let mut expected = Vec::new();
    for before in ends {
        for after in ends {
            for (refreshable, token_end) in [(true, at(50)), (true, at(5_000)), (false, at(50)), (false, at(5_000))] {
                for change in 0..5 {
                    number += 1;
                    let builder = record(number).token_until(token_end).absolute_until(at(9_000));
                    let held = if refreshable { builder.build() } else { builder.without_refresh().build() };
                    let held = Record { idle_expires_at: before, ..held };
                    put(&store, &held).await;
                    match change {
                        0 => {}
                        1 => assert_eq!(store.touch(&[touch(&held, at(20), after)]).await.unwrap(), 1),
                        2 => {
                            let changed = Record { token_expires_at: at(60), idle_expires_at: after, ..held.clone() };
                            let outcome = store.update(&changed, held.revision).await.unwrap();
                            assert!(matches!(outcome, Update::Done(_)));
                        }
                        3 if refreshable => {
                            let activity = Activity { seen_at: at(30), idle_expires_at: after };
                            let exchange = rotation(refresh_key(&held), 10_000 + number, at(30));
                            let outcome = store.rotate(&Rotation { activity, ..exchange }).await.unwrap();
                            assert!(matches!(outcome, Rotate::Done { .. }), "{outcome:?}");
                        }
                        _ => {
                            let changed = Record { expired_at: Some(at(40)), ..held.clone() };
                            let outcome = store.update(&changed, held.revision).await.unwrap();
                            assert!(matches!(outcome, Update::Done(_)));
                        }
                    }
                    let found = SessionStore::find(&store, by_id(&held)).await.unwrap().unwrap();
                    let id: String = held.id.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                    expected.push(format!("{id} {}", found.ends_at().as_millis()));
                }
            }
        }
    }
    expected.sort();
    let column =
        database.psql("SELECT encode(id, 'hex') || ' ' || ends_at FROM wayleave.sessions ORDER BY id").unwrap();
    assert_eq!(column.lines().collect::<Vec<_>>(), expected);
}

/// R064: as many spent tokens as the port demands are known, and not many more are kept.
#[tokio::test]
async fn a_family_remembers_so_much_and_no_more() {
    let (store, database) = fresh().await;
    let rotations = u32::try_from(Rotation::SPENT_KEPT).unwrap() + 100;
    let mut held = record(0).build();
    put(&store, &held).await;
    let mut spent = Vec::new();
    for number in 1..=rotations {
        spent.push(refresh_key(&held));
        let exchange = rotation(refresh_key(&held), number, at(number.into()));
        let Rotate::Done { record, .. } = store.rotate(&exchange).await.unwrap() else {
            panic!("not rotated");
        };
        held = (*record).clone();
    }
    let kept = rows(&database, "spent_refresh_tokens");
    assert!((1024..1024 + 64).contains(&kept), "{kept}");
    for key in &spent[spent.len() - Rotation::SPENT_KEPT..] {
        assert!(SessionStore::find(&store, Lookup::Refresh(*key)).await.unwrap().is_some());
    }
    assert_eq!(SessionStore::find(&store, Lookup::Refresh(spent[0])).await.unwrap(), None);
}

/// Spent tokens go with the last of their family, whichever way that goes.
#[tokio::test]
async fn spent_tokens_go_with_the_last_of_their_family() {
    let (store, database) = fresh().await;
    let limit = Some(InsertLimit { most: 1, at_limit: AtLimit::EvictOldest });
    for way in 0..6 {
        let held = record(way * 10).idle_until(at(5_000)).build();
        let sibling = record(way * 10 + 1).family(held.family).kind("web").idle_until(at(5_000)).build();
        put(&store, &held).await;
        put(&store, &sibling).await;
        let exchange = Rotation {
            activity: Activity { seen_at: at(60), idle_expires_at: Some(at(5_000)) },
            ..rotation(refresh_key(&held), way * 10 + 2, at(60))
        };
        assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
        store.revoke(&Scope::One(sibling.slot, sibling.id)).await.unwrap();
        assert_eq!(rows(&database, "spent_refresh_tokens"), 1, "way {way}: one of the family is left");
        let next = record(way * 10 + 3).created(at(200)).build();
        let replace = Some(Replaces::any(held.id));
        match way {
            0 => drop(store.revoke(&Scope::One(held.slot, held.id)).await.unwrap()),
            1 => drop(store.revoke(&Scope::Family(held.slot, held.family)).await.unwrap()),
            2 => drop(SessionStore::insert(&store, &next, limit, None, at(200)).await.unwrap()),
            3 => drop(SessionStore::insert(&store, &next, None, replace, at(200)).await.unwrap()),
            4 => drop(store.rotate(&Rotation { now: at(900), ..exchange }).await.unwrap()),
            _ => assert_eq!(store.sweep(at(5_001), 10).await.unwrap().records, 1),
        }
        assert_eq!(SessionStore::find(&store, by_refresh(&held)).await.unwrap(), None, "way {way}");
        assert_eq!(rows(&database, "spent_refresh_tokens"), 0, "way {way}");
        store.revoke(&Scope::One(next.slot, next.id)).await.unwrap();
    }
}

/// What two that ended at the same time left to each other is swept once the session could not have lived longer, and
/// nothing that a lineage still needs.
#[tokio::test]
async fn orphaned_spent_tokens_are_swept() {
    let (store, database) = fresh().await;
    let (gone, lives) = (record(1).build(), record(2).build());
    for (number, held) in [(11, &gone), (12, &lives)] {
        put(&store, held).await;
        let exchange = rotation(refresh_key(held), number, at(60));
        assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
    }
    let id: String = gone.id.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    database.psql(&format!("DELETE FROM wayleave.sessions WHERE id = '\\x{id}'")).unwrap();
    database.psql("UPDATE wayleave.sessions SET absolute_expires_at = absolute_expires_at + 1000000").unwrap();
    let over = gone.absolute_expires_at;
    for (before, left) in [(over, 2), (over.plus(TICK), 1), (over.plus(TICK), 1)] {
        assert_eq!(store.sweep(before, 10).await.unwrap().records, 0);
        assert_eq!(rows(&database, "spent_refresh_tokens"), left);
    }
    assert!(SessionStore::find(&store, by_refresh(&lives)).await.unwrap().is_some());
}

/// Known devices of accounts that nobody signs in to go with the sweep: as many as it may remove, none that is known.
#[tokio::test]
async fn a_sweep_removes_expired_devices() {
    let (store, database) = fresh().await;
    let before = at(100);
    let remember = |number: u32, expires_at| {
        let device = KnownDevice { key: bytes("device", number), expires_at };
        let store = &store;
        async move { store.remember(&account_id(number), &device, None, 5, BASE).await.unwrap() }
    };
    for number in 0..7 {
        remember(number, before.minus(TICK)).await;
    }
    for (number, expires_at) in [(7, before), (8, before.plus(TICK)), (9, Timestamp::MAX)] {
        remember(number, expires_at).await;
    }
    for (left, more) in [(7, true), (4, true), (3, false), (3, false)] {
        assert_eq!(store.sweep(before, 3).await.unwrap(), Swept { records: 0, tickets: 0, more });
        assert_eq!(rows(&database, "known_devices"), left);
    }
    for number in 7..10 {
        assert!(store.knows(&account_id(number), bytes("device", number), before.minus(TICK)).await.unwrap());
    }
}

/// One batch that names a session twice counts both, as two batches would.
#[tokio::test]
async fn a_session_is_touched_as_often_as_it_is_named() {
    let (store, _database) = fresh().await;
    let held = record(1).seen(at(6)).idle_until(at(600)).build();
    put(&store, &held).await;
    let touches = [touch(&held, at(5), None), touch(&held, at(7), Some(at(700))), touch(&held, at(8), Some(at(650)))];
    assert_eq!(store.touch(&touches).await.unwrap(), 3);
    assert_eq!(store.touch(&[]).await.unwrap(), 0);
    let found = SessionStore::find(&store, by_id(&held)).await.unwrap().unwrap();
    assert_eq!(found.activity(), Activity { seen_at: at(8), idle_expires_at: Some(at(700)) });
}

/// Everything at once on few sessions: nothing is refused for a deadlock or a race, and every answer is one of the
/// port's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_stands_in_anybodys_way_for_ever() {
    let (store, database) = fresh().await;
    let store = Arc::new(store);
    let limit = Some(InsertLimit { most: 4, at_limit: AtLimit::EvictLeastRecentlySeen });
    let workers: Vec<_> = (0..12_u32)
        .map(|worker| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for round in 0..40_u32 {
                    let number = (worker * 31 + round * 7) % 24;
                    let held = record(number).family(record(number % 3).build().family).build();
                    let other = record((number + 5) % 24).guest().build();
                    let now = at(i64::from(round));
                    match (worker + round) % 8 {
                        0 | 1 => {
                            let replaces = Some(Replaces::any(other.id));
                            let _ = SessionStore::insert(&*store, &held, limit, replaces, now).await.unwrap();
                        }
                        2 => {
                            let replaces = Some(Replaces::any(held.id));
                            let _ = SessionStore::insert(&*store, &other, None, replaces, now).await.unwrap();
                        }
                        3 => {
                            let all: Vec<_> = (0..24).rev().map(|n| touch(&record(n).build(), now, None)).collect();
                            store.touch(&all).await.unwrap();
                        }
                        4 => {
                            let exchange = rotation(refresh_key(&held), 1000 + worker * 100 + round, now);
                            let _ = store.rotate(&exchange).await.unwrap();
                        }
                        5 => {
                            let scope = if round % 2 == 0 {
                                Scope::Family(held.slot, held.family)
                            } else {
                                Scope::All { subject: held.subject.clone().unwrap(), slot: held.slot }
                            };
                            store.revoke(&scope).await.unwrap();
                        }
                        6 => drop(store.sweep(at(100_000_000), 3).await.unwrap()),
                        _ => drop(store.erase_pairs(at(100), 5).await.unwrap()),
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    // Not even by trying again.
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.psql(&format!("SELECT pg_stat_clear_snapshot(); {deadlocks}")).unwrap().trim(), "0");
}

/// Batches of activity that name the same sessions, each in an order of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn touches_in_any_order_do_not_lock_each_other_out() {
    let (store, database) = fresh().await;
    let store = Arc::new(store);
    let records: Vec<_> = (0..300).map(|number| record(number).of(&person(number)).build()).collect();
    for record in &records {
        put(&store, record).await;
    }
    let workers: Vec<_> = (0..6_usize)
        .map(|worker| {
            let (store, records) = (Arc::clone(&store), records.clone());
            tokio::spawn(async move {
                for round in 0..15_usize {
                    let at = at(i64::try_from(round).unwrap());
                    let mut touches: Vec<_> = records.iter().map(|record| touch(record, at, None)).collect();
                    touches.rotate_left(50 * worker + round);
                    if worker % 2 == 0 {
                        touches.reverse();
                    }
                    assert_eq!(store.touch(&touches).await.unwrap(), records.len());
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.psql(&format!("SELECT pg_stat_clear_snapshot(); {deadlocks}")).unwrap().trim(), "0");
}
