//! What the columns say beside the conformance suite: the end that limits and sweeps go by, how much a family remembers,
//! and what a sweep takes along.

use std::path::Path;

use tempfile::TempDir;
use wayleave_conformance::fixtures::{BASE, TICK, account_id, at, by_id, bytes, record, refresh_key, rotation, touch};
use wayleave_core::ports::{
    Insert, KnownDevice, KnownDevices as _, Lookup, Rotate, Rotation, SessionStore, Swept, Update,
};
use wayleave_core::record::{Activity, Record};
use wayleave_core::time::Timestamp;
use wayleave_sqlite::{Durability, Options, SqliteStore};

use crate::{fresh, options, raw};

async fn put(store: &SqliteStore, record: &Record) {
    let outcome = SessionStore::insert(store, record, None, None, BASE).await.unwrap();
    assert!(matches!(outcome, Insert::Done { .. }), "{outcome:?}");
}

/// The column is what [`Record::ends_at`] says.
async fn check_end(store: &SqliteStore, folder: &Path, record: &Record) {
    let found = SessionStore::find(store, by_id(record)).await.unwrap().unwrap();
    let column: i64 = sqlx::query_scalar("SELECT ends_at FROM sessions WHERE id = ?1")
        .bind(record.id.bytes().to_vec())
        .fetch_one(&mut raw(folder).await)
        .await
        .unwrap();
    assert_eq!(Timestamp::from_millis(column), found.ends_at(), "{found:?}");
}

#[tokio::test]
async fn the_end_follows_every_change() {
    let (store, folder) = fresh().await;
    let folder = folder.path();
    let ends = [None, Some(at(100)), Some(at(10_000_000))];
    let mut number = 0;
    for before in ends {
        for after in ends {
            for refreshable in [true, false] {
                for token_end in [at(50), at(5_000)] {
                    number += 1;
                    let builder = record(number).token_until(token_end).absolute_until(at(9_000));
                    let held = if refreshable { builder.build() } else { builder.without_refresh().build() };
                    let held = Record { idle_expires_at: before, ..held };
                    put(&store, &held).await;
                    check_end(&store, folder, &held).await;
                    for seen_at in [BASE, at(20)] {
                        assert_eq!(store.touch(&[touch(&held, seen_at, after)]).await.unwrap(), 1);
                        check_end(&store, folder, &held).await;
                    }
                    let change = Record { token_expires_at: at(60), ..held.clone() };
                    let Update::Done(held) = store.update(&change, held.revision).await.unwrap() else {
                        panic!("not updated");
                    };
                    check_end(&store, folder, &held).await;
                    if refreshable {
                        let activity = Activity { seen_at: at(30), idle_expires_at: after };
                        let exchange = rotation(refresh_key(&held), 10_000 + number, at(30));
                        let outcome = store.rotate(&Rotation { activity, ..exchange }).await.unwrap();
                        assert!(matches!(outcome, Rotate::Done { .. }), "{outcome:?}");
                        check_end(&store, folder, &held).await;
                    }
                    let held = SessionStore::find(&store, by_id(&held)).await.unwrap().unwrap();
                    let change = Record { expired_at: Some(at(40)), ..(*held).clone() };
                    assert!(matches!(store.update(&change, held.revision).await.unwrap(), Update::Done(_)));
                    check_end(&store, folder, &held).await;
                }
            }
        }
    }
}

/// R064: as many spent tokens as the port demands are known, and not many more are kept.
#[tokio::test]
async fn a_family_remembers_so_much_and_no_more() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let store = SqliteStore::open(path, Options { durability: Durability::Normal, ..options() }).await.unwrap();
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
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM spent_refresh_tokens")
        .fetch_one(&mut raw(folder.path()).await)
        .await
        .unwrap();
    assert!((1024..1024 + 64).contains(&kept), "{kept}");
    let newest = &spent[spent.len() - Rotation::SPENT_KEPT..];
    for key in newest {
        assert!(SessionStore::find(&store, Lookup::Refresh(*key)).await.unwrap().is_some());
    }
    assert_eq!(SessionStore::find(&store, Lookup::Refresh(spent[0])).await.unwrap(), None);
}

/// Known devices of accounts that nobody signs in to go with the sweep: as many as it may remove, none that is known.
#[tokio::test]
async fn a_sweep_removes_expired_devices() {
    let (store, folder) = fresh().await;
    let mut raw = raw(folder.path()).await;
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
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM known_devices").fetch_one(&mut raw).await.unwrap();
        assert_eq!(rows, left);
    }
    for number in 7..10 {
        assert!(store.knows(&account_id(number), bytes("device", number), before.minus(TICK)).await.unwrap());
    }
}
