//! Races of exchanges (R064, R065).

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::ports::{Gone, Rotate, Rotation, Scope};
use wayleave_core::record::Record;

use super::{CONTENDERS, minted, of_round};
use crate::bench::Bench;
use crate::fixtures::{at, by_token, person, refresh_key, rotation};
use crate::store::Store;
use crate::store::ask::{assert_gone, assert_kept, find, gone, listed, put, put_all, sorted};
use crate::together::{both, together};

/// Rotations of one token, each for a pair of its own.
fn rotations(round: u32, held: &Record) -> Vec<Rotation> {
    (1..=CONTENDERS).map(|number| rotation(refresh_key(held), round * 1000 + number, at(60))).collect()
}

async fn rotate_together(store: &Store, rotations: &[Rotation]) -> Vec<Rotate> {
    together(rotations.iter().cloned().map(|rotation| {
        let store = Arc::clone(store);
        async move { store.rotate(&rotation).await.unwrap() }
    }))
    .await
}

/// R065, A39: of all that present one token exactly one mints, and the others get the identical pair.
pub(in crate::store) async fn one_of_many_rotations_mints(bench: Bench<Store>) {
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
pub(in crate::store) async fn rotations_without_a_window_end_the_family(bench: Bench<Store>) {
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
pub(in crate::store) async fn a_rotation_does_not_outlive_a_revocation(bench: Bench<Store>) {
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

/// A41: an exchange that was cut off in the middle happened or did not. The client that never got its answer asks
/// again, and then exactly one pair is in force: never two, never none.
pub(in crate::store) async fn a_cancelled_rotation_can_be_asked_again(bench: Bench<Store>) {
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
