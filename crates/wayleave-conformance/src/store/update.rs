//! `update`: compare-and-set, never creates.

use std::sync::Arc;

use wayleave_core::permission::Permissions;
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Insert, StoreError, Update};
use wayleave_core::record::{Record, Refresh, Revision};

use super::Store;
use super::ask::{assert_gone, assert_kept, find, put, put_within, update};
use crate::bench::Bench;
use crate::fixtures::{
    DAY, altered, at, by_id, entries, family, full, kind, largest, person, record, refresh_token, session_token,
    too_large,
};

pub(super) async fn changes_every_field_that_may_change(bench: Bench<Store>) {
    for first in [full(1), record(2).build(), record(3).guest().build()] {
        let store = bench.fresh().await;
        put(&store, &first).await;
        let mut held = first.clone();
        // There and back, so that every optional field is set and cleared once.
        for change in [altered(&first), full(1), altered(&first)] {
            let change = Record { id: first.id, slot: first.slot, ..change };
            let expected = held.updated_from(&change);
            assert_ne!(expected, held);
            assert_eq!(update(&store, &change, held.revision).await, Update::Done(Arc::new(expected.clone())));
            assert_kept(&store, &expected).await;
            held = expected;
        }
        assert_eq!(held.revision, Revision(first.revision.0 + 3));
    }
}

/// Whatever it is given: identity, lineage, owner, kind, birth, absolute end and both tokens stay.
pub(super) async fn leaves_alone_what_never_changes(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = record(1).build();
    put(&store, &held).await;
    let slot = held.slot;
    let forged = Record {
        family: family(99),
        token: session_token(99, slot),
        kind: kind("professional"),
        subject: Some(person(99)),
        created_at: at(-500),
        last_seen_at: at(-500),
        token_expires_at: held.absolute_expires_at.plus(DAY),
        absolute_expires_at: held.absolute_expires_at.plus(30 * DAY),
        refresh: Some(Refresh { current: refresh_token(99, slot), generation: 9, last: None }),
        data: entries(&[("changed", b"yes")]),
        ..held.clone()
    };
    let expected = Record {
        // The token is cut at the absolute end as it stands, and the last sight does not move back.
        token_expires_at: held.absolute_expires_at,
        data: entries(&[("changed", b"yes")]),
        revision: held.revision.next(),
        ..held.clone()
    };
    assert_eq!(update(&store, &forged, held.revision).await, Update::Done(Arc::new(expected.clone())));
    assert_kept(&store, &expected).await;
    let stranger = Record { id: record(98).build().id, ..forged };
    assert_gone(&store, &stranger).await;
    // Nor can an update take the refresh token away.
    let stripped = Record { refresh: None, ..expected.clone() };
    let expected = expected.updated_from(&stripped);
    assert_eq!(update(&store, &stripped, Revision(1)).await, Update::Done(Arc::new(expected.clone())));
    assert_kept(&store, &expected).await;
}

pub(super) async fn is_refused_for_another_revision(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put(&store, &first).await;
    let change = Record { data: entries(&[("n", b"1")]), ..first.clone() };
    let held = first.updated_from(&change);
    assert_eq!(update(&store, &change, first.revision).await, Update::Done(Arc::new(held.clone())));
    let late = Record { data: entries(&[("n", b"2")]), ..first.clone() };
    for wrong in [first.revision, held.revision.next(), Revision(1_000)] {
        assert_eq!(update(&store, &late, wrong).await, Update::Conflict, "{wrong:?}");
        assert_kept(&store, &held).await;
    }
}

/// The revision inside the given record is not what is compared.
pub(super) async fn goes_by_the_expected_revision_alone(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = record(1).build();
    put(&store, &held).await;
    let change = Record { revision: Revision(77), epoch: 3, ..held.clone() };
    assert_eq!(update(&store, &change, Revision(77)).await, Update::Conflict);
    let expected = Record { revision: Revision(1), epoch: 3, ..held.clone() };
    assert_eq!(update(&store, &change, held.revision).await, Update::Done(Arc::new(expected.clone())));
    assert_kept(&store, &expected).await;
}

pub(super) async fn never_creates(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let absent = record(1).build();
    assert_eq!(update(&store, &absent, absent.revision).await, Update::Missing);
    assert_gone(&store, &absent).await;
    put(&store, &record(2).build()).await;
    assert_eq!(update(&store, &absent, absent.revision).await, Update::Missing);
    assert_gone(&store, &absent).await;
}

/// R017: that a session was found expired is final, and the first time stands.
pub(super) async fn keeps_the_first_expiry(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let live = record(1).build();
    put(&store, &live).await;
    let expired = Record { expired_at: Some(at(10)), ..live.clone() };
    assert!(matches!(update(&store, &expired, live.revision).await, Update::Done(_)));
    for (attempt, expired_at) in [(1, None), (2, Some(at(5))), (3, Some(at(20)))] {
        let revived = Record { expired_at, ..live.clone() };
        let Update::Done(now) = update(&store, &revived, Revision(attempt)).await else {
            panic!("not updated");
        };
        assert_eq!(now.expired_at, Some(at(10)));
        assert_eq!(find(&store, by_id(&live)).await.unwrap().expired_at, Some(at(10)));
    }
}

/// What the limit, the census and the sweep go by follows the update.
pub(super) async fn moves_the_end(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let longer = record(1).kind("web").idle_until(at(10)).build();
    let shorter = record(2).idle_until(at(100)).build();
    put(&store, &longer).await;
    put(&store, &shorter).await;
    for (record, end) in [(&longer, at(100)), (&shorter, at(10))] {
        let change = Record { idle_expires_at: Some(end), ..record.clone() };
        assert!(matches!(update(&store, &change, record.revision).await, Update::Done(_)));
    }
    let census = store.census(at(50)).await.unwrap();
    assert_eq!((census.live, census.ended), (vec![(kind("web"), 1)], 1));
    let web = record(3).kind("web").build();
    assert_eq!(put_within(&store, &web, 1, AtLimit::Refuse, at(50)).await, Insert::Refused);
    let standard = record(4).build();
    assert!(matches!(put_within(&store, &standard, 1, AtLimit::Refuse, at(50)).await, Insert::Done { .. }));
    assert_eq!(store.sweep(at(50), 100).await.unwrap().records, 1);
    assert!(find(&store, by_id(&longer)).await.is_some());
    assert_gone(&store, &shorter).await;
}

/// 64 permissions of 64 bytes, the longest texts, and 16 KiB each of context and data.
pub(super) async fn holds_the_largest_record(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let large = largest(1);
    put(&store, &large).await;
    assert_kept(&store, &large).await;
    let small = Record { permissions: Permissions::none(), ..record(1).build() };
    let held = large.updated_from(&small);
    assert_eq!(update(&store, &small, large.revision).await, Update::Done(Arc::new(held.clone())));
    let again = held.updated_from(&large);
    assert_eq!(update(&store, &large, held.revision).await, Update::Done(Arc::new(again.clone())));
    assert_kept(&store, &again).await;
}

/// What `insert` does not take, no update brings in.
pub(super) async fn refuses_what_is_too_long(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = full(1);
    put(&store, &held).await;
    for change in too_large(&held) {
        let refused = store.update(&change, held.revision).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        assert_kept(&store, &held).await;
    }
}
