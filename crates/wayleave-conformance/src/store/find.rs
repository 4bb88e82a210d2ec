//! `find`: by token, id or refresh token, expired or not.

use wayleave_core::id::Slot;
use wayleave_core::ports::Lookup;
use wayleave_core::token::TokenKey;

use super::Store;
use super::ask::{assert_kept, find, put};
use crate::bench::Bench;
use crate::fixtures::{BASE, at, by_id, by_refresh, by_token, full, record, refresh_key};

pub(super) async fn finds_by_token_id_and_refresh_token(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let records = [full(1), record(2).build(), record(3).guest().build()];
    for record in &records {
        put(&store, record).await;
    }
    for record in &records {
        assert_eq!(find(&store, by_token(record)).await.as_deref(), Some(record));
        assert_eq!(find(&store, by_id(record)).await.as_deref(), Some(record));
        assert_eq!(find(&store, by_refresh(record)).await.as_deref(), Some(record));
    }
}

/// An identifier whose routing bytes were forged leads nowhere.
pub(super) async fn finds_nothing_in_a_wrong_slot(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let record = record(1).build();
    put(&store, &record).await;
    for wrong in [Slot(record.slot.0 ^ 1), Slot(record.slot.0 ^ 0x8000), Slot(!record.slot.0)] {
        let refresh = TokenKey { slot: wrong, ..refresh_key(&record) };
        assert_eq!(find(&store, Lookup::Token(TokenKey { slot: wrong, hash: record.token })).await, None);
        assert_eq!(find(&store, Lookup::Id(wrong, record.id)).await, None);
        assert_eq!(find(&store, Lookup::Refresh(refresh)).await, None);
    }
}

pub(super) async fn finds_nothing_unknown(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let absent = record(2).build();
    for _ in 0..2 {
        for lookup in [by_token(&absent), by_id(&absent), by_refresh(&absent)] {
            assert_eq!(find(&store, lookup).await, None, "{lookup:?}");
        }
        // First in an empty store, then beside another record of the same slot.
        let _ = store.insert(&record(1).build(), None, None, BASE).await.unwrap();
    }
}

/// A session token does not refresh, a refresh token opens no session (R006).
pub(super) async fn does_not_confuse_tokens(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let record = record(1).build();
    put(&store, &record).await;
    let session = TokenKey { slot: record.slot, hash: record.token };
    assert_eq!(find(&store, Lookup::Refresh(session)).await, None);
    assert_eq!(find(&store, Lookup::Token(refresh_key(&record))).await, None);
}

pub(super) async fn finds_expired_ones(bench: Bench<Store>) {
    let store = bench.fresh().await;
    // All of them ended long before any real clock reads this.
    let expired = [
        record(1).absolute_until(at(1)).token_until(at(1)).build(),
        record(2).idle_until(at(1)).build(),
        record(3).token_until(at(1)).build(),
        record(4).without_refresh().token_until(at(1)).build(),
        record(5).found_expired(at(1)).build(),
    ];
    for record in &expired {
        put(&store, record).await;
    }
    for record in &expired {
        assert_kept(&store, record).await;
    }
}
