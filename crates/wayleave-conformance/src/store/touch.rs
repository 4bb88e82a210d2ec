//! `touch`: last-seen writes, many at once, forward only.

use std::sync::Arc;

use wayleave_core::ports::{Touch, Update};
use wayleave_core::record::Record;

use super::Store;
use super::ask::{assert_gone, assert_kept, find, put, put_all, update};
use crate::bench::Bench;
use crate::fixtures::{TICK, at, by_id, entries, full, neighbours, person, record, touch};

pub(super) async fn moves_forward(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = full(1);
    put(&store, &held).await;
    let (seen_at, end) = (at(60).plus(TICK), Some(at(1_860).plus(TICK)));
    assert_eq!(store.touch(&[touch(&held, seen_at, end)]).await.unwrap(), 1);
    assert_kept(&store, &Record { last_seen_at: seen_at, idle_expires_at: end, ..held }).await;
}

/// Activity that arrives late, or under a limit lowered meanwhile, takes nothing back.
pub(super) async fn never_moves_backward(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = record(1).seen(at(60)).idle_until(at(660)).build();
    put(&store, &held).await;
    store.touch(&[touch(&held, at(30), Some(at(630)))]).await.unwrap();
    assert_kept(&store, &held).await;
    store.touch(&[touch(&held, at(60).minus(TICK), Some(at(660).minus(TICK)))]).await.unwrap();
    assert_kept(&store, &held).await;
    store.touch(&[touch(&held, at(70), Some(at(370)))]).await.unwrap();
    assert_kept(&store, &Record { last_seen_at: at(70), ..held }).await;
}

/// No idle end is later than any: a limit that was lifted stays lifted. An activity that is not later than the one on
/// record does not lift it.
pub(super) async fn without_an_idle_end_takes_it_away(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = record(1).seen(at(60)).idle_until(at(660)).build();
    put(&store, &held).await;
    for seen_at in [at(30), at(60)] {
        assert_eq!(store.touch(&[touch(&held, seen_at, None)]).await.unwrap(), 1);
        assert_kept(&store, &held).await;
    }
    let held = Record { last_seen_at: at(60).plus(TICK), idle_expires_at: None, ..held };
    assert_eq!(store.touch(&[touch(&held, at(60).plus(TICK), None)]).await.unwrap(), 1);
    assert_kept(&store, &held).await;
    assert_eq!(store.touch(&[touch(&held, at(90), Some(at(690)))]).await.unwrap(), 1);
    assert_kept(&store, &Record { last_seen_at: at(90), ..held }).await;
}

/// A change prepared before the activity still goes in, and does not take the activity back.
pub(super) async fn is_no_revision(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = record(1).idle_until(at(600)).build();
    put(&store, &held).await;
    assert_eq!(store.touch(&[touch(&held, at(60), Some(at(660)))]).await.unwrap(), 1);
    let change = Record { data: entries(&[("k", b"v")]), ..held.clone() };
    let expected = Record {
        data: change.data.clone(),
        revision: held.revision.next(),
        last_seen_at: at(60),
        idle_expires_at: Some(at(660)),
        ..held.clone()
    };
    assert_eq!(update(&store, &change, held.revision).await, Update::Done(Arc::new(expected.clone())));
    assert_kept(&store, &expected).await;
}

pub(super) async fn skips_what_is_gone(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = record(1).build();
    let absent = record(2).build();
    put(&store, &held).await;
    let misrouted = Touch { slot: wayleave_core::id::Slot(!held.slot.0), ..touch(&held, at(60), None) };
    assert_eq!(store.touch(&[]).await.unwrap(), 0);
    assert_eq!(store.touch(&[touch(&absent, at(60), None), misrouted]).await.unwrap(), 0);
    assert_gone(&store, &absent).await;
    assert_kept(&store, &held).await;
    assert_eq!(store.touch(&[touch(&absent, at(60), None), touch(&held, at(60), None)]).await.unwrap(), 1);
    assert_kept(&store, &Record { last_seen_at: at(60), ..held }).await;
}

/// R017: activity that raced with the expiry does not revive the session.
pub(super) async fn skips_what_was_found_expired(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let expired = record(1).idle_until(at(30)).found_expired(at(30)).build();
    put(&store, &expired).await;
    assert_eq!(store.touch(&[touch(&expired, at(60), Some(at(600)))]).await.unwrap(), 0);
    assert_kept(&store, &expired).await;
}

pub(super) async fn writes_many_at_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let (us, neighbour) = neighbours();
    let mut records: Vec<_> = (0..300).map(|n| record(n).of(&person(n % 50)).idle_until(at(600)).build()).collect();
    records.extend((300..310).map(|n| record(n).of(&us).idle_until(at(600)).build()));
    records.extend((310..320).map(|n| record(n).of(&neighbour).idle_until(at(600)).build()));
    records.extend((320..330).map(|n| record(n).guest().idle_until(at(600)).build()));
    put_all(&store, &records).await;
    let touches: Vec<_> = (0..).zip(&records).map(|(n, record)| touch(record, at(60 + n), Some(at(660 + n)))).collect();
    assert_eq!(store.touch(&touches).await.unwrap(), records.len());
    for (record, touch) in records.iter().zip(touches) {
        let found = find(&store, by_id(record)).await.unwrap();
        assert_eq!(found.activity(), touch.activity);
        assert_eq!(found.revision, record.revision);
    }
    // Twice the same session: the latest counts.
    let twice = [touch(&records[0], at(900), Some(at(1_500))), touch(&records[0], at(800), Some(at(1_400)))];
    store.touch(&twice).await.unwrap();
    assert_eq!(find(&store, by_id(&records[0])).await.unwrap().activity(), twice[0].activity);
}

/// What the census and the sweep go by follows the activity.
pub(super) async fn moves_the_end(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let active = record(1).idle_until(at(30)).build();
    let idle = record(2).idle_until(at(30)).build();
    put_all(&store, &[active.clone(), idle.clone()]).await;
    assert_eq!(store.touch(&[touch(&active, at(20), Some(at(620)))]).await.unwrap(), 1);
    let census = store.census(at(60)).await.unwrap();
    assert_eq!((census.live, census.ended), (vec![(active.kind.clone(), 1)], 1));
    assert_eq!(store.sweep(at(60), 100).await.unwrap().records, 1);
    assert_gone(&store, &idle).await;
    assert_kept(&store, &Record { last_seen_at: at(20), idle_expires_at: Some(at(620)), ..active }).await;
}
