//! `insert`: adds, never overwrites, replaces in the same step.

use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Gone, Insert, InsertLimit, Replaces, Rotate, StoreError, Update};
use wayleave_core::record::{Record, Revision};

use super::Store;
use super::ask::{assert_gone, assert_kept, find, gone, listed, pages, put, rotated, update};
use crate::bench::Bench;
use crate::fixtures::{
    BASE, at, by_id, by_refresh, entries, full, listing, person, record, refresh_key, rotation, too_large, touch,
};

/// What was inserted is found again, every field of it.
pub(super) async fn adds_what_it_is_given(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let records = [
        record(1).build(),
        full(2),
        record(3).guest().build(),
        record(4).without_refresh().idle_until(at(90)).build(),
        record(5).found_expired(at(5)).build(),
    ];
    for record in &records {
        put(&store, record).await;
    }
    for record in &records {
        assert_kept(&store, record).await;
    }
}

pub(super) async fn never_overwrites_an_id(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let second = Record { id: first.id, ..record(2).build() };
    assert_eq!(store.insert(&second, None, None, BASE).await.unwrap(), Insert::Exists);
    assert_kept(&store, &first).await;
    assert_eq!(listed(&store, &person(0)).await.len(), 1);
    // Nor when it is the same record once more.
    assert_eq!(store.insert(&first, None, None, BASE).await.unwrap(), Insert::Exists);
    assert_kept(&store, &first).await;
}

pub(super) async fn never_overwrites_a_token(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let second = Record { token: first.token, ..record(2).build() };
    assert_eq!(store.insert(&second, None, None, BASE).await.unwrap(), Insert::Exists);
    assert_kept(&store, &first).await;
    assert_eq!(listed(&store, &person(0)).await.len(), 1);
    // The token of an expired session is as taken as any other.
    let expired = record(3).found_expired(at(1)).build();
    put(&store, &expired).await;
    let fourth = Record { token: expired.token, ..record(4).build() };
    assert_eq!(store.insert(&fourth, None, None, at(60)).await.unwrap(), Insert::Exists);
    assert_kept(&store, &expired).await;
}

/// An id or token that exists changes nothing: the record to replace stays, also when it is the one that exists.
pub(super) async fn never_overwrites_what_it_replaces(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).build();
    let other = record(2).build();
    put(&store, &old).await;
    put(&store, &other).await;
    for new in [
        Record { id: old.id, ..record(3).build() },
        Record { token: old.token, ..record(3).build() },
        Record { id: other.id, ..record(3).build() },
        Record { token: other.token, ..record(3).build() },
    ] {
        assert_eq!(store.insert(&new, None, Some(Replaces::any(old.id)), BASE).await.unwrap(), Insert::Exists);
        assert_kept(&store, &old).await;
        assert_kept(&store, &other).await;
        assert_eq!(listed(&store, &person(0)).await.len(), 2);
    }
}

pub(super) async fn ends_the_replaced_one(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).build();
    let bystander = record(2).build();
    // Re-authentication keeps the family.
    let new = record(3).family(old.family).build();
    put(&store, &old).await;
    put(&store, &bystander).await;
    let outcome = store.insert(&new, None, Some(Replaces::any(old.id)), at(60)).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: Some(Gone::from_record(&old)), evicted: Vec::new(), marked: false });
    assert_gone(&store, &old).await;
    assert_kept(&store, &bystander).await;
    assert_kept(&store, &new).await;
}

/// Signing in ends the guest session, whose slot has nothing to do with the subject's.
pub(super) async fn replaces_a_guest_of_another_slot(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let guest = record(1).guest().build();
    let new = record(2).build();
    assert_ne!(guest.slot, new.slot);
    put(&store, &guest).await;
    let outcome = store.insert(&new, None, Some(Replaces::any(guest.id)), at(60)).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: Some(Gone::from_record(&guest)), evicted: Vec::new(), marked: false });
    assert_gone(&store, &guest).await;
    assert_kept(&store, &new).await;
}

pub(super) async fn replaces_nothing_that_is_not_there(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let absent = record(1).build();
    let new = record(2).build();
    let outcome = store.insert(&new, None, Some(Replaces::any(absent.id)), BASE).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false });
    let everything = wayleave_core::ports::Listing { subject: None, ..listing(&person(0)) };
    assert_eq!(pages(&store, &everything).await.len(), 1);
}

/// R064: what the replaced session had spent still ends the lineage; what it had not is unknown and ends nothing.
pub(super) async fn keeps_the_lineage_of_the_replaced_one(bench: Bench<Store>) {
    for refreshable in [true, false] {
        let store = bench.fresh().await;
        let first = record(1).build();
        put(&store, &first).await;
        let old = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
        let new = record(3).family(first.family);
        let new = if refreshable { new.build() } else { new.without_refresh().build() };
        let outcome = store.insert(&new, None, Some(Replaces::any(old.id)), at(61)).await.unwrap();
        assert_eq!(
            outcome,
            Insert::Done { replaced: Some(Gone::from_record(&old)), evicted: Vec::new(), marked: false }
        );
        assert_gone(&store, &old).await;
        assert_eq!(store.rotate(&rotation(refresh_key(&old), 4, at(62))).await.unwrap(), Rotate::Unknown);
        assert_kept(&store, &new).await;
        assert_eq!(find(&store, by_refresh(&first)).await.as_ref().map(|found| found.id), Some(new.id));
        let replay = store.rotate(&rotation(refresh_key(&first), 5, at(63))).await.unwrap();
        assert_eq!(replay, Rotate::Reuse(gone([&new])));
        assert_gone(&store, &new).await;
        assert_gone(&store, &first).await;
    }
}

/// What is to be replaced as it was is replaced if it still is. Activity is no change.
pub(super) async fn replaces_what_is_as_it_was(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).build();
    put(&store, &old).await;
    let Update::Done(changed) = update(&store, &old, old.revision).await else {
        panic!("not changed");
    };
    store.touch(&[touch(&old, at(30), None)]).await.unwrap();
    let new = record(2).family(old.family).build();
    let outcome = store.insert(&new, None, Some(Replaces::exactly(&changed)), at(60)).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: Some(Gone::from_record(&old)), evicted: Vec::new(), marked: false });
    assert_gone(&store, &old).await;
    assert_kept(&store, &new).await;
}

/// A write that came in between is not lost: nothing is inserted, nothing replaced, nothing evicted.
pub(super) async fn is_a_conflict_when_the_replaced_one_moved(bench: Bench<Store>) {
    for way in 0..4 {
        let store = bench.fresh().await;
        let old = record(1).build();
        put(&store, &old).await;
        let seen = match way {
            0 => {
                let change = Record { data: entries(&[("k", b"v")]), ..old.clone() };
                assert!(matches!(update(&store, &change, old.revision).await, Update::Done(_)));
                old.clone()
            }
            1 => {
                drop(rotated(&store, &rotation(refresh_key(&old), 9, at(30))).await);
                old.clone()
            }
            2 => {
                store.revoke(&wayleave_core::ports::Scope::One(old.slot, old.id)).await.unwrap();
                old.clone()
            }
            _ => Record { revision: Revision(old.revision.0 + 1), ..old.clone() },
        };
        let held = find(&store, by_id(&old)).await;
        let limit = Some(InsertLimit { most: 1, at_limit: AtLimit::EvictOldest });
        // Also a token that is taken changes nothing of that.
        for new in [record(2).build(), Record { token: old.token, ..record(2).build() }] {
            let outcome = store.insert(&new, limit, Some(Replaces::exactly(&seen)), at(60)).await.unwrap();
            assert_eq!(outcome, Insert::Conflict, "{way}");
            assert_eq!(find(&store, by_id(&new)).await, None);
            assert_eq!(find(&store, by_id(&old)).await, held);
        }
        assert_eq!(listed(&store, &person(0)).await, held.into_iter().collect::<Vec<_>>());
    }
}

/// It is refused as it is, not cut, and nothing is replaced or evicted for it.
pub(super) async fn refuses_what_is_too_long(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let old = record(1).build();
    put(&store, &old).await;
    for new in too_large(&record(2).build()) {
        let refused = store.insert(&new, None, Some(Replaces::any(old.id)), BASE).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        assert_gone(&store, &new).await;
        assert_kept(&store, &old).await;
    }
}
