//! Races: tasks that start at the same instant, and exact counts afterwards (R024, R064, R065).
//!
//! Every round has a subject of its own, so one store serves all rounds of a case.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Deposit, Gone, Insert, InsertLimit, Lookup, Rotate, Rotation, Scope, Swept, Update};
use wayleave_core::record::{Activity, Record};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::token::TokenKey;

use super::Store;
use super::ask::{assert_gone, assert_kept, find, gone, listed, put, put_all, sorted, update};
use crate::bench::Bench;
use crate::fixtures::{
    HOUR, at, by_id, by_token, bytes, entries, person, record, refresh_key, rotation, session_token, ticket, touch,
};
use crate::together::{both, boxed, together};

const CONTENDERS: u32 = 20;

/// A record of this round's subject.
fn of_round(round: u32, number: u32) -> Record {
    record(round * 1000 + number).of(&person(round)).created(at(number.into())).build()
}

/// Rotations of one token, each for a pair of its own.
fn rotations(round: u32, held: &Record) -> Vec<Rotation> {
    (1..=CONTENDERS).map(|number| rotation(refresh_key(held), round * 1000 + number, at(60))).collect()
}

fn minted(rotation: &Rotation) -> Lookup {
    Lookup::Token(TokenKey { slot: rotation.presented.slot, hash: rotation.next.token })
}

async fn rotate_together(store: &Store, rotations: &[Rotation]) -> Vec<Rotate> {
    together(rotations.iter().cloned().map(|rotation| {
        let store = Arc::clone(store);
        async move { store.rotate(&rotation).await.unwrap() }
    }))
    .await
}

async fn insert_together(
    store: &Store,
    records: &[Record],
    limit: Option<InsertLimit>,
    replaces: Option<&Record>,
) -> Vec<Insert> {
    let replaces = replaces.map(|record| record.id);
    together(records.iter().cloned().map(|record| {
        let store = Arc::clone(store);
        async move { store.insert(&record, limit, replaces.as_ref(), at(500)).await.unwrap() }
    }))
    .await
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

/// R065, A39: of all that present one token exactly one mints, and the others get the identical pair.
pub(super) async fn one_of_many_rotations_mints(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let held = of_round(round, 0);
        put(&store, &held).await;
        let rotations = rotations(round, &held);
        let outcomes = rotate_together(&store, &rotations).await;
        let winners: Vec<_> =
            (0..rotations.len()).filter(|index| matches!(outcomes[*index], Rotate::Done { .. })).collect();
        let [winner] = winners[..] else {
            panic!("{} of {CONTENDERS} exchanges minted", winners.len());
        };
        let Rotate::Done { record: now, previous } = &outcomes[winner] else { unreachable!() };
        assert_eq!(*previous, held.token);
        assert_kept(&store, now).await;
        for (index, outcome) in outcomes.iter().enumerate() {
            let expected =
                Rotate::Repeat { record: Arc::clone(now), sealed_pair: rotations[winner].next.sealed.clone() };
            if index != winner {
                assert_eq!(*outcome, expected);
                assert_eq!(find(&store, minted(&rotations[index])).await, None);
            }
        }
        assert_eq!(now.refresh.as_ref().unwrap().generation, 1);
        assert_eq!(now.token, rotations[winner].next.token);
    }
}

/// R064, R065: without a window the first mints, the second ends the family, and the rest find nothing. No token that
/// anybody was given outlives that.
pub(super) async fn rotations_without_a_window_end_the_family(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let held = of_round(round, 0);
        let sibling = Record { family: held.family, ..of_round(round, 999) };
        put_all(&store, &[held.clone(), sibling.clone()]).await;
        let mut rotations = rotations(round, &held);
        for rotation in &mut rotations {
            rotation.window = Duration::ZERO;
        }
        let (mut done, mut reuse, mut unknown) = (Vec::new(), Vec::new(), 0);
        for outcome in rotate_together(&store, &rotations).await {
            match outcome {
                Rotate::Done { record, previous: _ } => done.push(record),
                Rotate::Reuse(gone) => reuse.push(sorted(gone)),
                Rotate::Unknown => unknown += 1,
                other @ (Rotate::Repeat { .. } | Rotate::Expired(..)) => panic!("{other:?}"),
            }
        }
        assert_eq!((done.len(), reuse.len(), unknown), (1, 1, CONTENDERS - 2));
        assert_eq!(reuse[0], gone([done[0].as_ref(), &sibling]));
        assert_gone(&store, &done[0]).await;
        assert_gone(&store, &sibling).await;
        for rotation in &rotations {
            assert_eq!(find(&store, minted(rotation)).await, None);
        }
        assert_eq!(listed(&store, &person(round)).await, []);
    }
}

/// Whichever comes first: in the end the session is gone, and the revocation names the token that was in force.
pub(super) async fn a_rotation_does_not_outlive_a_revocation(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let held = of_round(round, 0);
        put(&store, &held).await;
        let scope = match round % 3 {
            0 => Scope::One(held.slot, held.id),
            1 => Scope::Family(held.slot, held.family),
            _ => Scope::All { subject: person(round), slot: held.slot },
        };
        let exchange = rotation(refresh_key(&held), round * 1000 + 1, at(60));
        let (first, second) = (Arc::clone(&store), Arc::clone(&store));
        let (rotated, ended) = {
            let exchange = exchange.clone();
            both(round, async move { first.rotate(&exchange).await.unwrap() }, async move {
                second.revoke(&scope).await.unwrap()
            })
            .await
        };
        let last = match rotated {
            Rotate::Done { record, previous: _ } => record.as_ref().clone(),
            Rotate::Unknown => held.clone(),
            other @ (Rotate::Repeat { .. } | Rotate::Reuse(_) | Rotate::Expired(..)) => panic!("{other:?}"),
        };
        assert_eq!(ended, [Gone::from_record(&last)]);
        assert_gone(&store, &held).await;
        assert_gone(&store, &last).await;
        assert_eq!(find(&store, minted(&exchange)).await, None);
        for presented in [refresh_key(&held), refresh_key(&last)] {
            let again = Rotation { presented, ..exchange.clone() };
            assert_eq!(store.rotate(&again).await.unwrap(), Rotate::Unknown);
        }
    }
}

/// Neither does a touch.
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

/// A41: an exchange that was cut off in the middle happened or did not. The client that never got its answer asks
/// again, and then exactly one pair is in force: never two, never none.
pub(super) async fn a_cancelled_rotation_can_be_asked_again(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let held = of_round(round, 0);
        put(&store, &held).await;
        let cut = rotation(refresh_key(&held), round * 1000 + 1, at(60));
        let again = rotation(refresh_key(&held), round * 1000 + 2, at(61));
        let task = tokio::spawn({
            let (store, cut) = (Arc::clone(&store), cut.clone());
            async move { store.rotate(&cut).await.unwrap() }
        });
        for _ in 0..round % 8 {
            tokio::task::yield_now().await;
        }
        task.abort();
        let answered = task.await.ok();
        let outcome = store.rotate(&again).await.unwrap();
        let (in_force, other) = match &outcome {
            Rotate::Done { .. } => (&again, &cut),
            Rotate::Repeat { sealed_pair, .. } => {
                assert_eq!(*sealed_pair, cut.next.sealed);
                (&cut, &again)
            }
            Rotate::Reuse(_) | Rotate::Expired(..) | Rotate::Unknown => panic!("the session is lost: {outcome:?}"),
        };
        assert!(answered.is_none() || in_force.next.token == cut.next.token, "an answered exchange was undone");
        assert_eq!(find(&store, by_token(&held)).await, None);
        assert_eq!(find(&store, minted(other)).await, None);
        let now = find(&store, minted(in_force)).await.expect("no pair is in force");
        assert_eq!(now.refresh.as_ref().unwrap().current, in_force.next.refresh);
        assert_kept(&store, &now).await;
    }
}

pub(super) async fn a_ticket_is_taken_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let ticket = ticket(round, Purpose::Challenge, at(100));
        assert_eq!(store.deposit(&ticket, 10, at(0)).await.unwrap(), Deposit::Done);
        let taken = together((0..CONTENDERS).map(|_| {
            let store = Arc::clone(&store);
            async move { store.take(Purpose::Challenge, bytes("ticket", round), at(1)).await.unwrap() }
        }))
        .await;
        assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), [ticket]);
    }
}

pub(super) async fn a_ticket_is_deposited_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let outcomes = together((0..CONTENDERS).map(|number| {
            let store = Arc::clone(&store);
            let ticket = Ticket {
                payload: Box::new([u8::try_from(number).unwrap()]),
                ..ticket(round, Purpose::Replay, at(100))
            };
            async move { (store.deposit(&ticket, 1000, at(0)).await.unwrap(), ticket) }
        }))
        .await;
        let mut done = Vec::new();
        for (outcome, ticket) in outcomes {
            match outcome {
                Deposit::Done => done.push(ticket),
                Deposit::Exists => {}
                Deposit::Full => panic!("full"),
            }
        }
        assert_eq!(done.len(), 1);
        assert_eq!(store.take(Purpose::Replay, done[0].key, at(1)).await.unwrap().as_ref(), Some(&done[0]));
        assert_eq!(store.take(Purpose::Replay, done[0].key, at(1)).await.unwrap(), None);
    }
}

pub(super) async fn tickets_stay_within_their_limit(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let tickets: Vec<_> =
            (0..CONTENDERS).map(|number| ticket(round * 1000 + number, Purpose::Handshake, at(100))).collect();
        let outcomes = together(tickets.iter().cloned().map(|ticket| {
            let store = Arc::clone(&store);
            async move { store.deposit(&ticket, 5, at(0)).await.unwrap() }
        }))
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Deposit::Done).count(), 5);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Deposit::Full).count(), 15);
        // Taking what is in empties the purpose for the next round.
        for (ticket, outcome) in tickets.into_iter().zip(outcomes) {
            let taken = store.take(ticket.purpose, ticket.key, at(1)).await.unwrap();
            assert_eq!(taken, (outcome == Deposit::Done).then_some(ticket));
        }
    }
}

/// R024, A16: 50 sign-ins at a limit of 3 leave exactly 3; every other one was evicted, and said so once.
pub(super) async fn inserts_at_the_limit_evict_exactly(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let at_limit = if round % 2 == 0 { AtLimit::EvictOldest } else { AtLimit::EvictLeastRecentlySeen };
        let records: Vec<_> = (0..50).map(|number| of_round(round, number)).collect();
        let limit = InsertLimit { most: 3, at_limit };
        let mut evicted = Vec::new();
        for outcome in insert_together(&store, &records, Some(limit), None).await {
            match outcome {
                Insert::Done { replaced: None, evicted: more } => evicted.extend(more),
                other @ (Insert::Done { .. } | Insert::Exists | Insert::Refused) => panic!("{other:?}"),
            }
        }
        assert_eq!(evicted.len(), 47, "{at_limit:?}");
        let evicted: BTreeSet<_> = evicted.iter().map(|gone| gone.id).collect();
        assert_eq!(evicted.len(), 47, "one was evicted twice");
        for record in &records {
            if evicted.contains(&record.id) {
                assert_gone(&store, record).await;
            } else {
                assert_kept(&store, record).await;
            }
        }
        assert_eq!(listed(&store, &person(round)).await.len(), 3);
    }
}

/// R024, A16: of 50 sign-ins at a limit of 3 exactly 3 succeed.
pub(super) async fn inserts_at_the_limit_are_refused_exactly(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let records: Vec<_> = (0..50).map(|number| of_round(round, number)).collect();
        let limit = InsertLimit { most: 3, at_limit: AtLimit::Refuse };
        let outcomes = insert_together(&store, &records, Some(limit), None).await;
        let mut done = 0;
        for (record, outcome) in records.iter().zip(outcomes) {
            match outcome {
                Insert::Done { replaced: None, evicted } if evicted.is_empty() => {
                    done += 1;
                    assert_kept(&store, record).await;
                }
                Insert::Refused => assert_gone(&store, record).await,
                other @ (Insert::Done { .. } | Insert::Exists) => panic!("{other:?}"),
            }
        }
        assert_eq!(done, 3);
        assert_eq!(listed(&store, &person(round)).await.len(), 3);
    }
}

/// What was in before the revocation began is gone; what began after it ended is in; in between, the revocation, the
/// lookups and the list tell one story.
pub(super) async fn revocation_and_inserts_agree(bench: Bench<Store>) {
    struct Span {
        began: u64,
        ended: u64,
        gone: Vec<Gone>,
    }
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let records: Vec<_> = (0..CONTENDERS).map(|number| of_round(round, number)).collect();
        let (early, late) = records.split_at(4);
        put_all(&store, early).await;
        let clock = Arc::new(AtomicU64::new(1));
        let tick = |clock: &AtomicU64| clock.fetch_add(1, Ordering::SeqCst);
        let mut tasks: Vec<_> = late
            .iter()
            .map(|record| {
                let (store, clock, record) = (Arc::clone(&store), Arc::clone(&clock), record.clone());
                boxed(async move {
                    let began = tick(&clock);
                    put(&store, &record).await;
                    Span { began, ended: tick(&clock), gone: Vec::new() }
                })
            })
            .collect();
        let scope = Scope::All { subject: person(round), slot: records[0].slot };
        let middle = tasks.len() / 2;
        tasks.insert(middle, {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            boxed(async move {
                let began = tick(&clock);
                let gone = store.revoke(&scope).await.unwrap();
                Span { began, ended: tick(&clock), gone }
            })
        });
        let mut spans = together(tasks).await;
        let revocation = spans.remove(middle);
        let gone: BTreeSet<_> = revocation.gone.iter().map(|gone| gone.id).collect();
        assert_eq!(gone.len(), revocation.gone.len(), "one is named twice");
        let listed: BTreeSet<_> = listed(&store, &person(round)).await.iter().map(|record| record.id).collect();
        let before = early.iter().map(|record| (record, 0, 0));
        let during = late.iter().zip(&spans).map(|(record, span)| (record, span.began, span.ended));
        for (record, began, ended) in before.chain(during) {
            let lives = find(&store, by_token(record)).await.is_some();
            assert_eq!(lives, find(&store, by_id(record)).await.is_some());
            assert_eq!(lives, listed.contains(&record.id));
            assert_eq!(lives, !gone.contains(&record.id));
            assert!(!lives || ended > revocation.began, "it outlived a revocation that began after it was in");
            assert!(lives || began < revocation.ended, "it was ended by a revocation before it");
        }
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

async fn assert_inserted_once(store: &Store, round: u32, records: &[Record]) {
    let outcomes = insert_together(store, records, None, None).await;
    let done: Vec<_> = (0..records.len()).filter(|index| matches!(outcomes[*index], Insert::Done { .. })).collect();
    let [winner] = done[..] else {
        panic!("{} of {CONTENDERS} were inserted", done.len());
    };
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Insert::Exists).count(), records.len() - 1);
    assert_kept(store, &records[winner]).await;
    assert_eq!(listed(store, &person(round)).await.len(), 1);
}

pub(super) async fn a_token_is_inserted_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let slot = of_round(round, 0).slot;
        let token = session_token(round * 1000, slot);
        let records: Vec<_> = (0..CONTENDERS).map(|n| Record { token, ..of_round(round, n) }).collect();
        assert_inserted_once(&store, round, &records).await;
    }
}

pub(super) async fn an_id_is_inserted_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let id = of_round(round, 0).id;
        let records: Vec<_> = (0..CONTENDERS).map(|n| Record { id, ..of_round(round, n) }).collect();
        assert_inserted_once(&store, round, &records).await;
    }
}

/// All of them get in, and exactly one is told that it ended the old one.
pub(super) async fn a_record_is_replaced_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let old = of_round(round, 999);
        put(&store, &old).await;
        let records: Vec<_> = (0..CONTENDERS).map(|number| of_round(round, number)).collect();
        let mut told = Vec::new();
        for outcome in insert_together(&store, &records, None, Some(&old)).await {
            match outcome {
                Insert::Done { replaced, evicted } if evicted.is_empty() => told.extend(replaced),
                other @ (Insert::Done { .. } | Insert::Exists | Insert::Refused) => panic!("{other:?}"),
            }
        }
        assert_eq!(told, [Gone::from_record(&old)]);
        assert_gone(&store, &old).await;
        for record in &records {
            assert_kept(&store, record).await;
        }
    }
}
