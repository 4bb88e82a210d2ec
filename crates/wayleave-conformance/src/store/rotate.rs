//! `rotate`: one use for each refresh token (R063 to R068).

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::id::Slot;
use wayleave_core::ports::{Lookup, Rotate, Rotation, Scope, Update};
use wayleave_core::record::{Activity, LastRotation, Limit, Record, Refresh};
use wayleave_core::time::Timestamp;
use wayleave_core::token::TokenKey;

use super::Store;
use super::ask::{assert_gone, assert_kept, find, gone, listed, put, put_all, rotated, sorted, update};
use crate::bench::Bench;
use crate::fixtures::{
    HOUR, TICK, at, by_refresh, by_token, entries, fingerprint, full, neighbours, pair, person, record, refresh_key,
    refresh_token, rotation, session_token,
};

/// What `record` is after `rotation`.
fn after(record: &Record, rotation: &Rotation) -> Record {
    Record {
        token: rotation.next.token,
        refresh: Some(Refresh {
            current: rotation.next.refresh,
            generation: record.refresh.as_ref().unwrap().generation + 1,
            last: Some(LastRotation {
                predecessor: rotation.presented.hash,
                at: rotation.now,
                client: rotation.client,
                sealed_pair: rotation.next.sealed.clone(),
            }),
        }),
        token_expires_at: rotation.token_expires_at.min(record.absolute_expires_at),
        last_seen_at: rotation.activity.seen_at,
        idle_expires_at: rotation.activity.idle_expires_at,
        revision: record.revision.next(),
        ..record.clone()
    }
}

async fn rotate(store: &Store, rotation: &Rotation) -> Rotate {
    store.rotate(rotation).await.unwrap()
}

/// R064: each use gives a new pair, and the old session token opens nothing any more.
pub(super) async fn swaps_both_tokens(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).build();
    put(&store, &old).await;
    let exchange = rotation(refresh_key(&old), 2, at(60));
    let new = after(&old, &exchange);
    let outcome = rotate(&store, &exchange).await;
    assert_eq!(outcome, Rotate::Done { record: Arc::new(new.clone()), previous: old.token });
    assert_kept(&store, &new).await;
    assert_eq!(find(&store, by_token(&old)).await, None);
}

pub(super) async fn keeps_everything_else(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = full(1);
    put(&store, &old).await;
    let exchange = Rotation {
        client: Some(fingerprint(4)),
        activity: Activity { seen_at: at(60), idle_expires_at: Some(at(2_000).plus(TICK)) },
        token_expires_at: at(4_000).plus(TICK),
        ..rotation(refresh_key(&old), 2, at(60).plus(TICK))
    };
    let new = after(&old, &exchange);
    assert_eq!(rotated(&store, &exchange).await, new);
    assert_kept(&store, &new).await;
}

pub(super) async fn counts_generations(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let mut held = record(1).build();
    put(&store, &held).await;
    for generation in 1..=5 {
        let exchange = rotation(refresh_key(&held), 1 + generation, at(60 * i64::from(generation)));
        let expected = after(&held, &exchange);
        let previous = held.token;
        assert_eq!(rotate(&store, &exchange).await, Rotate::Done { record: Arc::new(expected.clone()), previous });
        assert_eq!(expected.refresh.as_ref().unwrap().generation, generation);
        held = expected;
        assert_kept(&store, &held).await;
    }
}

/// A change prepared before the exchange must not put its token times back.
pub(super) async fn counts_as_a_change(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).build();
    put(&store, &old).await;
    let new = rotated(&store, &rotation(refresh_key(&old), 2, at(60))).await;
    assert_eq!(update(&store, &old, old.revision).await, Update::Conflict);
    assert_kept(&store, &new).await;
    let change = Record { data: entries(&[("k", b"v")]), ..new.clone() };
    let changed = new.updated_from(&change);
    assert_eq!(update(&store, &change, new.revision).await, Update::Done(Arc::new(changed.clone())));
    assert_kept(&store, &changed).await;
}

/// A request that was on its way for a while takes back nothing that `touch` wrote down meanwhile.
pub(super) async fn moves_activity_forward_only(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for (number, seen_at, end, expected) in [
        (1, at(30), Some(at(630)), (at(60), Some(at(660)))),
        (2, at(30), Some(at(930)), (at(60), Some(at(930)))),
        (3, at(90), Some(at(390)), (at(90), Some(at(660)))),
        (4, at(60), None, (at(60), Some(at(660)))),
        (5, at(60).plus(TICK), None, (at(60).plus(TICK), None)),
    ] {
        let held = record(number).seen(at(60)).idle_until(at(660)).build();
        put(&store, &held).await;
        let activity = Activity { seen_at, idle_expires_at: end };
        let exchange = Rotation { activity, ..rotation(refresh_key(&held), 100 + number, at(90)) };
        let (last_seen_at, idle_expires_at) = expected;
        let new = Record { last_seen_at, idle_expires_at, ..after(&held, &exchange) };
        assert_eq!(rotated(&store, &exchange).await, new);
        assert_kept(&store, &new).await;
    }
}

/// R068: no exchange carries a session past its absolute limit.
pub(super) async fn never_passes_the_absolute_limit(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).token_until(at(100)).absolute_until(at(500)).build();
    put(&store, &old).await;
    let exchange = Rotation { token_expires_at: at(501), ..rotation(refresh_key(&old), 2, at(60)) };
    let new = rotated(&store, &exchange).await;
    assert_eq!((new.token_expires_at, new.absolute_expires_at), (at(500), at(500)));
    assert_kept(&store, &new).await;
}

pub(super) async fn renews_an_expired_token(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).token_until(at(50)).build();
    put(&store, &old).await;
    let new = rotated(&store, &rotation(refresh_key(&old), 2, at(60))).await;
    assert_eq!(new.token_expires_at, at(60).plus(12 * HOUR));
}

pub(super) async fn finds_the_record_by_spent_tokens(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let second = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
    let third = rotated(&store, &rotation(refresh_key(&second), 3, at(120))).await;
    for lookup in [by_refresh(&first), by_refresh(&second), by_refresh(&third)] {
        assert_eq!(find(&store, lookup).await.as_deref(), Some(&third));
    }
}

/// R066: who lost the answer asks again and gets the same one; nothing new is made, nothing moves.
pub(super) async fn repeats_the_identical_pair_within_the_window(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let exchange = rotation(refresh_key(&first), 2, at(60));
    let held = rotated(&store, &exchange).await;
    for (number, now) in [(3, at(60)), (4, at(65)), (5, at(70).minus(TICK))] {
        let again = rotation(refresh_key(&first), number, now);
        let sealed_pair = exchange.next.sealed.clone();
        assert_eq!(rotate(&store, &again).await, Rotate::Repeat { record: Arc::new(held.clone()), sealed_pair });
        assert_kept(&store, &held).await;
        assert_eq!(find(&store, Lookup::Token(TokenKey { slot: held.slot, hash: again.next.token })).await, None);
    }
}

/// R066: the instant of the window's end is too late.
pub(super) async fn closes_the_window_at_its_end(bench: Bench<Store>) {
    for late in [at(70), at(71)] {
        let store = bench.fresh().await;
        let first = record(1).build();
        put(&store, &first).await;
        let held = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
        let again = rotation(refresh_key(&first), 3, late);
        assert_eq!(rotate(&store, &again).await, Rotate::Reuse(gone([&held])));
        assert_gone(&store, &held).await;
        assert_gone(&store, &first).await;
    }
}

/// The window is a distance: a clock that was set back, or one node behind another, moves it both ways alike.
pub(super) async fn measures_the_window_in_both_directions(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let held = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
    let just_before = rotation(refresh_key(&first), 3, at(50).plus(TICK));
    assert!(matches!(rotate(&store, &just_before).await, Rotate::Repeat { .. }));
    assert_eq!(rotate(&store, &rotation(refresh_key(&first), 3, at(50))).await, Rotate::Reuse(gone([&held])));
    assert_gone(&store, &held).await;
}

/// R066: another client's word for it is a theft.
pub(super) async fn repeats_for_the_same_client_only(bench: Bench<Store>) {
    let ours = Some(fingerprint(1));
    for (rotated_by, asked_by) in [(ours, Some(fingerprint(2))), (ours, None), (None, ours)] {
        let store = bench.fresh().await;
        let first = record(1).build();
        put(&store, &first).await;
        let exchange = Rotation { client: rotated_by, ..rotation(refresh_key(&first), 2, at(60)) };
        let held = rotated(&store, &exchange).await;
        let own = Rotation { client: rotated_by, ..rotation(refresh_key(&first), 3, at(61)) };
        assert!(matches!(rotate(&store, &own).await, Rotate::Repeat { .. }));
        let foreign = Rotation { client: asked_by, ..rotation(refresh_key(&first), 3, at(61)) };
        assert_eq!(rotate(&store, &foreign).await, Rotate::Reuse(gone([&held])));
        assert_gone(&store, &held).await;
    }
}

pub(super) async fn repeats_nothing_without_a_window(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let exchange = Rotation { window: Duration::ZERO, ..rotation(refresh_key(&first), 2, at(60)) };
    let held = rotated(&store, &exchange).await;
    assert_eq!(rotate(&store, &exchange).await, Rotate::Reuse(gone([&held])));
    assert_gone(&store, &held).await;
}

/// R066: a pair is kept as long as it may be asked for, and no longer. Without it the token that it was sealed under is
/// a spent one like any other.
pub(super) async fn erases_pairs_by_their_age(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let held = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
    assert_eq!(store.erase_pairs(at(60), 10).await.unwrap(), 0);
    assert_kept(&store, &held).await;
    let again = rotation(refresh_key(&first), 3, at(61));
    assert!(matches!(rotate(&store, &again).await, Rotate::Repeat { .. }));
    assert_eq!(store.erase_pairs(at(60).plus(TICK), 10).await.unwrap(), 1);
    // No revision, and everything else as it was.
    let erased = held.clone().without_pair();
    assert_ne!(erased, held);
    assert_kept(&store, &erased).await;
    assert_eq!(find(&store, by_refresh(&first)).await.as_deref(), Some(&erased));
    assert_eq!(store.erase_pairs(at(600), 10).await.unwrap(), 0);
    assert_eq!(rotate(&store, &again).await, Rotate::Reuse(gone([&held])));
    assert_gone(&store, &held).await;
}

/// A clock that was far ahead dates a pair where no window is ever open: it goes at once. One that is ahead by less
/// than two of the longest windows may be in use, on a node whose clock is right.
pub(super) async fn erases_pairs_that_a_wrong_clock_dated(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let mut held = Vec::new();
    let ahead = Rotation::closed_from(at(60));
    for (number, rotated_at) in (0..).zip([at(60), ahead.minus(TICK), ahead, ahead.plus(HOUR), ahead.plus(9000 * HOUR)])
    {
        let first =
            record(number).of(&person(number)).absolute_until(Timestamp::MAX).idle_until(Timestamp::MAX).build();
        put(&store, &first).await;
        held.push(rotated(&store, &rotation(refresh_key(&first), 10 + number, rotated_at)).await);
    }
    let mut erased = Vec::new();
    while erased.last() != Some(&0) {
        assert!(erased.len() < 5, "it does not come to an end");
        erased.push(store.erase_pairs(at(60), 2).await.unwrap());
    }
    assert_eq!(erased, [2, 1, 0]);
    for (number, record) in held.into_iter().enumerate() {
        assert_kept(&store, &if number < 2 { record } else { record.without_pair() }).await;
    }
}

/// So many at a time, whichever way they came in; what was exchanged again keeps its new pair.
pub(super) async fn erases_so_many_pairs_at_a_time(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let mut held = Vec::new();
    for number in 0..5 {
        let first = record(number).of(&person(number)).build();
        put(&store, &first).await;
        held.push(rotated(&store, &rotation(refresh_key(&first), 10 + number, at(60))).await);
    }
    let again = rotated(&store, &rotation(refresh_key(&held[0]), 20, at(90))).await;
    store.revoke(&Scope::One(held[1].slot, held[1].id)).await.unwrap();
    let inserted = Record { refresh: held[2].refresh.clone(), ..record(30).build() };
    let inserted = Record {
        refresh: inserted.refresh.map(|refresh| Refresh { current: refresh_token(30, inserted.slot), ..refresh }),
        ..record(30).build()
    };
    put(&store, &inserted).await;
    let change = Record { data: entries(&[("k", b"v")]), ..held[3].clone() };
    let Update::Done(changed) = update(&store, &change, held[3].revision).await else {
        panic!("not changed");
    };
    held[3] = Arc::unwrap_or_clone(changed);
    let mut erased = Vec::new();
    while erased.last() != Some(&0) {
        assert!(erased.len() < 5, "it does not come to an end");
        erased.push(store.erase_pairs(at(90), 2).await.unwrap());
    }
    assert_eq!(erased, [2, 2, 0]);
    for record in held.drain(2..).chain([inserted]) {
        assert_kept(&store, &record.without_pair()).await;
    }
    assert_kept(&store, &again).await;
}

/// R064, A38: the replay of a rotated token ends the family, inside the window too once its successor was used.
pub(super) async fn ends_the_family_once_the_successor_was_used(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let second = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
    let third = rotated(&store, &rotation(refresh_key(&second), 3, at(61))).await;
    assert_eq!(rotate(&store, &rotation(refresh_key(&first), 4, at(62))).await, Rotate::Reuse(gone([&third])));
    for record in [&first, &second, &third] {
        assert_gone(&store, record).await;
        let again = rotation(refresh_key(record), 5, at(63));
        assert_eq!(rotate(&store, &again).await, Rotate::Unknown);
    }
}

/// R064: every session of the lineage, and no other, not even in the same slot.
pub(super) async fn ends_other_sessions_of_the_family(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let (ours, theirs) = neighbours();
    let first = record(1).of(&ours).build();
    let sibling = record(2).of(&ours).kind("web").family(first.family).build();
    let own_but_other = record(3).of(&ours).build();
    let neighbour = record(4).of(&theirs).build();
    put_all(&store, &[first.clone(), sibling.clone(), own_but_other.clone(), neighbour.clone()]).await;
    let held = rotated(&store, &rotation(refresh_key(&first), 5, at(60))).await;
    let sibling = rotated(&store, &rotation(refresh_key(&sibling), 6, at(60))).await;
    let Rotate::Reuse(ended) = rotate(&store, &rotation(refresh_key(&first), 7, at(90))).await else {
        panic!("the replay was not noticed");
    };
    assert_eq!(sorted(ended), gone([&held, &sibling]));
    assert_gone(&store, &held).await;
    assert_gone(&store, &sibling).await;
    assert_kept(&store, &own_but_other).await;
    assert_kept(&store, &neighbour).await;
    assert_eq!(listed(&store, &ours).await.len(), 1);
}

/// A stolen token is still a theft when the session has ended meanwhile, window or not.
pub(super) async fn judges_reuse_before_expiry(bench: Bench<Store>) {
    for (end, now) in [(65, 66), (1_000, 1_000), (1_000, 5_000)] {
        let store = bench.fresh().await;
        let first = record(1).absolute_until(at(end)).build();
        put(&store, &first).await;
        let held = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
        assert_eq!(rotate(&store, &rotation(refresh_key(&first), 3, at(now))).await, Rotate::Reuse(gone([&held])));
        assert_gone(&store, &held).await;
    }
}

pub(super) async fn changes_nothing_of_an_expired_session(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let expired = [
        (record(1).absolute_until(at(60)).build(), Limit::Absolute),
        (record(2).idle_until(at(60)).build(), Limit::Idle),
        (record(3).found_expired(at(10)).build(), Limit::Idle),
    ];
    for (number, (record, limit)) in (10..).zip(expired) {
        put(&store, &record).await;
        let exchange = rotation(refresh_key(&record), number, at(60));
        assert_eq!(rotate(&store, &exchange).await, Rotate::Expired(Arc::new(record.clone()), limit));
        assert_kept(&store, &record).await;
        assert_eq!(find(&store, Lookup::Token(TokenKey { slot: record.slot, hash: exchange.next.token })).await, None);
    }
}

pub(super) async fn knows_no_other_tokens(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = record(1).build();
    put(&store, &held).await;
    let session = TokenKey { slot: held.slot, hash: held.token };
    let misrouted = TokenKey { slot: Slot(held.slot.0 ^ 1), ..refresh_key(&held) };
    for presented in [refresh_key(&record(2).build()), session, misrouted] {
        assert_eq!(rotate(&store, &rotation(presented, 3, at(60))).await, Rotate::Unknown);
        assert_kept(&store, &held).await;
    }
    let minted = TokenKey { slot: held.slot, hash: session_token(3, held.slot) };
    assert_eq!(find(&store, Lookup::Token(minted)).await, None);
}

/// A hundred generations on, the first token is still known for what it is. The port demands
/// [`Rotation::SPENT_KEPT`]; so many round trips would cost more than they show.
pub(super) async fn remembers_spent_tokens(bench: Bench<Store>) {
    const ROTATIONS: u32 = 100;
    assert!(usize::try_from(ROTATIONS).unwrap() <= Rotation::SPENT_KEPT);
    let store = bench.fresh().await;
    let mut held = record(0).build();
    put(&store, &held).await;
    let mut spent = Vec::new();
    let minute = |number: u32| -> Timestamp { at(60 * i64::from(number)) };
    for number in 1..=ROTATIONS {
        spent.push(refresh_key(&held));
        held = rotated(&store, &rotation(refresh_key(&held), number, minute(number))).await;
    }
    for presented in &spent {
        assert_eq!(find(&store, Lookup::Refresh(*presented)).await.as_deref(), Some(&held));
    }
    let replay = rotation(spent[0], ROTATIONS + 1, minute(ROTATIONS + 1));
    assert_eq!(rotate(&store, &replay).await, Rotate::Reuse(gone([&held])));
    spent.push(refresh_key(&held));
    for presented in spent {
        assert_eq!(find(&store, Lookup::Refresh(presented)).await, None);
        let again = Rotation { presented, next: pair(ROTATIONS + 2, held.slot), ..replay.clone() };
        assert_eq!(rotate(&store, &again).await, Rotate::Unknown);
    }
    assert_eq!(listed(&store, &person(0)).await, []);
}
