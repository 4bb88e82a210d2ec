//! Races: tasks that start at the same instant, and exact counts afterwards (R024, R064, R065).
//!
//! Every round has a subject of its own, so one store serves all rounds of a case.

use std::sync::Arc;

use wayleave_core::ports::{Lookup, Rotate, Rotation, Scope, Swept, Update};
use wayleave_core::record::{Activity, Record};
use wayleave_core::token::TokenKey;

use super::Store;
use super::ask::{assert_gone, assert_kept, find, gone, put, put_all, update};
use crate::bench::Bench;
use crate::fixtures::{HOUR, at, by_id, entries, person, record, refresh_key, rotation, touch};
use crate::together::{both, boxed, together};

mod insertions;
mod rotations;
mod tickets;

pub(super) use insertions::*;
pub(super) use rotations::*;
pub(super) use tickets::*;

const CONTENDERS: u32 = 20;

/// A record of this round's subject.
fn of_round(round: u32, number: u32) -> Record {
    record(round * 1000 + number).of(&person(round)).created(at(number.into())).build()
}

fn minted(rotation: &Rotation) -> Lookup {
    Lookup::Token(TokenKey { slot: rotation.presented.slot, hash: rotation.next.token })
}

pub(super) async fn one_of_two_updates_wins(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let held = of_round(round, 0);
        put(&store, &held).await;
        let outcomes = together([b"a", b"b"].map(|value| {
            let (store, change) = (Arc::clone(&store), Record { data: entries(&[("n", value)]), ..held.clone() });
            async move { (update(&store, &change, change.revision).await, change) }
        }))
        .await;
        let won: Vec<_> = outcomes
            .iter()
            .filter_map(|(outcome, change)| match outcome {
                Update::Done(record) => Some((record.as_ref().clone(), held.updated_from(change))),
                Update::Conflict => None,
                Update::Missing => panic!("missing"),
            })
            .collect();
        let [(answered, expected)] = &won[..] else {
            panic!("{} of two updates of one revision were made", won.len());
        };
        assert_eq!(answered, expected);
        assert_kept(&store, expected).await;
    }
}

/// The exchange always goes through; the change goes in before it or not at all, and puts no token time back.
pub(super) async fn updates_and_rotations_do_not_undo_each_other(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let held = of_round(round, 0);
        put(&store, &held).await;
        let change = Record { data: entries(&[("k", b"v")]), ..held.clone() };
        let exchange = Rotation {
            token_expires_at: at(60).plus(20 * HOUR),
            ..rotation(refresh_key(&held), round * 1000 + 1, at(60))
        };
        let (first, second) = (Arc::clone(&store), Arc::clone(&store));
        let (changed, rotated) = {
            let (change, exchange) = (change.clone(), exchange.clone());
            both(round, async move { update(&first, &change, change.revision).await }, async move {
                second.rotate(&exchange).await.unwrap()
            })
            .await
        };
        assert!(matches!(rotated, Rotate::Done { .. }), "{rotated:?}");
        let (data, changes) = match changed {
            Update::Done(_) => (&change.data, 2),
            Update::Conflict => (&held.data, 1),
            Update::Missing => panic!("missing"),
        };
        let now = find(&store, by_id(&held)).await.unwrap();
        assert_eq!((now.token, now.token_expires_at), (exchange.next.token, exchange.token_expires_at));
        assert_eq!((&now.data, now.revision.0), (data, held.revision.0 + changes));
    }
}

/// Neither does a touch that comes in between.
pub(super) async fn an_update_does_not_outlive_a_revocation(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let held = of_round(round, 0);
        put(&store, &held).await;
        let (a, b, c) = (Arc::clone(&store), Arc::clone(&store), Arc::clone(&store));
        let (one, two, three) = (held.clone(), held.clone(), held.clone());
        let ended = together([
            boxed(async move {
                let outcome = update(&a, &one, one.revision).await;
                assert!(matches!(outcome, Update::Done(_) | Update::Missing), "{outcome:?}");
                Vec::new()
            }),
            boxed(async move { b.revoke(&Scope::One(two.slot, two.id)).await.unwrap() }),
            boxed(async move {
                assert!(c.touch(&[touch(&three, at(60), None)]).await.unwrap() <= 1);
                Vec::new()
            }),
        ])
        .await
        .concat();
        assert_eq!(ended, gone([&held]));
        assert_gone(&store, &held).await;
        assert_eq!(update(&store, &held, held.revision).await, Update::Missing);
    }
}

/// A touch that was written keeps its session; a session that was swept is not brought back by a touch.
pub(super) async fn a_touched_session_is_not_swept(bench: Bench<Store>) {
    enum Did {
        Touch(usize),
        Sweep(Swept),
    }
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let records: Vec<_> = (0..CONTENDERS)
            .map(|number| record(round * 1000 + number).of(&person(round)).idle_until(at(30)).build())
            .collect();
        put_all(&store, &records).await;
        let mut tasks: Vec<_> = records
            .iter()
            .map(|record| {
                let (store, touch) = (Arc::clone(&store), touch(record, at(29), Some(at(629))));
                boxed(async move { Did::Touch(store.touch(&[touch]).await.unwrap()) })
            })
            .collect();
        let middle = tasks.len() / 2;
        let sweeper = Arc::clone(&store);
        tasks.insert(middle, boxed(async move { Did::Sweep(sweeper.sweep(at(60), 1000).await.unwrap()) }));
        let mut swept = None;
        let mut written = Vec::new();
        for did in together(tasks).await {
            match did {
                Did::Touch(count) => written.push(count),
                Did::Sweep(outcome) => swept = Some(outcome.records),
            }
        }
        for (record, written) in records.iter().zip(&written) {
            let now = find(&store, by_id(record)).await;
            let expected = Activity { seen_at: at(29), idle_expires_at: Some(at(629)) };
            assert_eq!(now.as_ref().map(|now| now.activity()), (*written == 1).then_some(expected));
            if now.is_none() {
                assert_gone(&store, record).await;
            }
        }
        let kept = u32::try_from(written.iter().sum::<usize>()).unwrap();
        assert_eq!(swept, Some(CONTENDERS - kept));
    }
}
