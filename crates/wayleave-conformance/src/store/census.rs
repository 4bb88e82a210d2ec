//! `census` and `ping`.

use wayleave_core::ports::{Census, Rotation, Scope};
use wayleave_core::record::Activity;

use super::Store;
use super::ask::{put_all, rotated};
use crate::bench::Bench;
use crate::fixtures::{TICK, at, kind, person, record, refresh_key, rotation};

pub(super) async fn counts_live_ones_by_kind_and_ended_ones(bench: Bench<Store>) {
    let store = bench.fresh().await;
    assert_eq!(store.census(at(0)).await.unwrap(), Census::default());
    let records = [
        record(1).kind("web").build(),
        record(2).kind("web").of(&person(1)).build(),
        record(3).kind("web").guest().build(),
        record(4).kind("anonymous").build(),
        record(5).idle_until(at(60).plus(TICK)).build(),
        record(6).token_until(at(30)).build(),
        // Ended, each by another limit, the last kind wholly.
        record(7).idle_until(at(60)).build(),
        record(8).kind("web").absolute_until(at(60)).build(),
        record(9).kind("kiosk").found_expired(at(10)).build(),
        record(10).kind("kiosk").without_refresh().token_until(at(60)).build(),
    ];
    put_all(&store, &records).await;
    let live = vec![(kind("anonymous"), 1), (kind("standard"), 2), (kind("web"), 3)];
    assert_eq!(store.census(at(60)).await.unwrap(), Census { live, ended: 4 });
}

pub(super) async fn forgets_what_is_gone(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let records: Vec<_> = (1..=4).map(|n| record(n).idle_until(at(20 * i64::from(n))).build()).collect();
    put_all(&store, &records).await;
    let _ = store.revoke(&Scope::One(records[3].slot, records[3].id)).await.unwrap();
    let _ = store.sweep(at(21), 100).await.unwrap();
    let activity = Activity { seen_at: at(30), idle_expires_at: Some(at(90)) };
    let _ = rotated(&store, &Rotation { activity, ..rotation(refresh_key(&records[2]), 5, at(30)) }).await;
    assert_eq!(store.census(at(70)).await.unwrap(), Census { live: vec![(kind("standard"), 1)], ended: 1 });
}

pub(super) async fn answers_a_ping(bench: Bench<Store>) {
    let store = bench.fresh().await;
    store.ping().await.unwrap();
}
