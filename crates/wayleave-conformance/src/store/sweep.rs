//! `sweep`: removes what ended a while ago, so much at a time.

use wayleave_core::ports::{Deposit, Rotate};
use wayleave_core::ticket::Purpose;

use super::Store;
use super::ask::{assert_gone, assert_kept, listed, put, put_all, rotated};
use crate::bench::Bench;
use crate::fixtures::{TICK, at, person, record, refresh_key, rotation, ticket};

/// Before, not at: what ended at this very instant stays for the next sweep.
pub(super) async fn removes_what_ended_before(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let before = at(100);
    let ended = record(1).idle_until(before.minus(TICK)).build();
    let at_the_instant = record(2).idle_until(before).build();
    let live = record(3).idle_until(before.plus(TICK)).build();
    put_all(&store, &[ended.clone(), at_the_instant.clone(), live.clone()]).await;
    let swept = store.sweep(before, 100).await.unwrap();
    assert_eq!((swept.records, swept.tickets), (1, 0));
    assert_gone(&store, &ended).await;
    assert_kept(&store, &at_the_instant).await;
    assert_kept(&store, &live).await;
    assert_eq!(store.sweep(before, 100).await.unwrap().records, 0);
    assert_eq!(store.sweep(before.plus(TICK), 100).await.unwrap().records, 1);
    assert_gone(&store, &at_the_instant).await;
    assert_kept(&store, &live).await;
}

pub(super) async fn removes_by_every_limit(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let ended = [
        record(1).absolute_until(at(50)).build(),
        record(2).idle_until(at(50)).build(),
        record(3).found_expired(at(50)).build(),
        record(4).without_refresh().token_until(at(50)).build(),
        record(5).guest().idle_until(at(50)).build(),
    ];
    // Its token can still be renewed.
    let renewable = record(6).token_until(at(50)).build();
    put_all(&store, &ended).await;
    put(&store, &renewable).await;
    assert_eq!(store.sweep(at(100), 100).await.unwrap().records, 5);
    for record in &ended {
        assert_gone(&store, record).await;
    }
    assert_kept(&store, &renewable).await;
}

/// R169: a step of a sweep is as long as it is told to be.
pub(super) async fn removes_at_most_so_many(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let ended: Vec<_> = (0..10).map(|n| record(n).of(&person(n % 3)).idle_until(at(n.into())).build()).collect();
    let live = record(10).build();
    put_all(&store, &ended).await;
    put(&store, &live).await;
    let mut removed = 0;
    for round in 1.. {
        assert!(round <= 5, "the sweep does not come to an end");
        let swept = store.sweep(at(100), 4).await.unwrap();
        assert!(swept.records <= 4, "more than asked for");
        removed += swept.records;
        assert!(swept.more || removed == 10, "says that nothing is left of {} records", 10 - removed);
        assert_eq!(store.census(at(100)).await.unwrap().ended, u64::from(10 - removed));
        if !swept.more {
            break;
        }
    }
    assert_kept(&store, &live).await;
}

pub(super) async fn removes_expired_tickets(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let expired: Vec<_> = (1..=3).map(|n| ticket(n, Purpose::Challenge, at(50))).collect();
    let live = ticket(4, Purpose::Challenge, at(150));
    for ticket in expired.iter().chain([&live]) {
        assert_eq!(store.deposit(ticket, 10, at(0)).await.unwrap(), Deposit::Done);
    }
    let swept = store.sweep(at(100), 100).await.unwrap();
    assert_eq!((swept.records, swept.tickets), (0, 3));
    for ticket in &expired {
        // Not even for a clock that stepped back.
        assert_eq!(store.take(ticket.purpose, ticket.key, at(1)).await.unwrap(), None);
    }
    assert_eq!(store.take(live.purpose, live.key, at(100)).await.unwrap(), Some(live));
}

pub(super) async fn forgets_refresh_tokens(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).absolute_until(at(100)).build();
    put(&store, &first).await;
    let second = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
    assert_eq!(store.sweep(at(101), 100).await.unwrap().records, 1);
    for (number, record) in (3..).zip([&first, &second]) {
        assert_gone(&store, record).await;
        let again = rotation(refresh_key(record), number, at(61));
        assert_eq!(store.rotate(&again).await.unwrap(), Rotate::Unknown);
    }
    assert_eq!(listed(&store, &person(0)).await, []);
}
