//! `list`: pages of records, newest first within a subject.

use std::collections::BTreeSet;

use wayleave_core::ports::{Listing, Scope};
use wayleave_core::record::Record;

use super::Store;
use super::ask::{listed, pages, put, put_all};
use crate::bench::Bench;
use crate::fixtures::{at, listing, neighbours, person, record};

/// Sizes of pages that do and do not divide the numbers of records below.
const SIZES: [u32; 5] = [1, 2, 3, 7, 1000];

pub(super) async fn gives_the_subjects_records_newest_first(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let (us, neighbour) = neighbours();
    // Inserted in no order of age; seen in yet another.
    let ours: Vec<_> = [3, 1, 4, 2, 5].map(|n| record(n).of(&us).created(at(n.into())).build()).into();
    put_all(&store, &ours).await;
    put(&store, &record(6).of(&neighbour).created(at(9)).build()).await;
    put(&store, &record(7).created(at(9)).build()).await;
    put(&store, &record(8).guest().created(at(9)).build()).await;
    let mut expected: Vec<_> = ours.iter().collect();
    expected.sort_by_key(|record| std::cmp::Reverse(record.created_at));
    for most in SIZES {
        let found = pages(&store, &Listing { most, ..listing(&us) }).await;
        assert_eq!(found.iter().map(AsRef::as_ref).collect::<Vec<&Record>>(), expected, "pages of {most}");
    }
}

/// Also where all of them were opened in the same millisecond.
pub(super) async fn gives_every_record_once_over_pages(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let records: Vec<_> = (0..23).map(|n| record(n).created(at((n / 9).into())).build()).collect();
    put_all(&store, &records).await;
    let expected: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    let mut orders = BTreeSet::new();
    for most in SIZES {
        let found: Vec<_> =
            pages(&store, &Listing { most, ..listing(&person(0)) }).await.iter().map(|record| record.id).collect();
        assert_eq!(found.len(), records.len(), "pages of {most}");
        assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), expected, "pages of {most}");
        orders.insert(found);
    }
    assert_eq!(orders.len(), 1, "the order depends on the size of the page");
}

/// In whatever order, as long as it is always the same.
pub(super) async fn gives_everybodys_records(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let mut records: Vec<_> = (0..20).map(|n| record(n).of(&person(n % 4)).created(at(n.into())).build()).collect();
    records.extend((20..23).map(|n| record(n).guest().build()));
    put_all(&store, &records).await;
    let expected: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    let mut orders = BTreeSet::new();
    for most in SIZES {
        let found = pages(&store, &Listing { subject: None, after: None, most }).await;
        assert_eq!(found.len(), records.len(), "pages of {most}");
        let order: Vec<_> = found.iter().map(|record| record.id).collect();
        assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), expected, "pages of {most}");
        orders.insert(order);
    }
    assert_eq!(orders.len(), 1, "the order depends on the size of the page");
}

/// A cursor holds when the record that it points to has gone: whatever stays is listed, and once.
pub(super) async fn goes_on_after_a_revoked_record(bench: Bench<Store>) {
    for subject in [None, listing(&person(0)).subject] {
        let store = bench.fresh().await;
        let records: Vec<_> = (0..9).map(|n| record(n).created(at(n.into())).build()).collect();
        put_all(&store, &records).await;
        let mut listing = Listing { subject, after: None, most: 2 };
        let mut kept = Vec::new();
        for _ in 0..100 {
            let mut page = store.list(&listing).await.unwrap();
            if let Some(last) = page.records.pop() {
                let _ = store.revoke(&Scope::One(last.slot, last.id)).await.unwrap();
            }
            kept.extend(page.records.iter().map(|record| record.id));
            listing.after = page.next;
            if listing.after.is_none() {
                break;
            }
        }
        assert_eq!(listing.after, None, "the pages do not end");
        let mut expected: Vec<_> = listed(&store, &person(0)).await.iter().map(|record| record.id).collect();
        assert!(!expected.is_empty() && expected.len() < records.len());
        expected.sort();
        kept.sort();
        assert_eq!(kept, expected);
    }
}

pub(super) async fn starts_over_at_an_unreadable_cursor(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let records: Vec<_> = (0..3).map(|n| record(n).created(at(n.into())).build()).collect();
    put_all(&store, &records).await;
    for subject in [None, listing(&person(0)).subject] {
        let first = store.list(&Listing { subject: subject.clone(), after: None, most: 2 }).await.unwrap();
        let long = "z".repeat(100_000);
        for cursor in ["", "?", "no cursor", "\0", "-1", "'; --", "ÄÖÜ", &long] {
            let listing = Listing { subject: subject.clone(), after: Some(cursor.into()), most: 2 };
            assert_eq!(store.list(&listing).await.unwrap(), first, "{:?}", &cursor.chars().take(20));
        }
    }
}

pub(super) async fn includes_ended_ones(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let ended = [
        record(1).absolute_until(at(1)).build(),
        record(2).idle_until(at(1)).build(),
        record(3).found_expired(at(1)).build(),
        record(4).without_refresh().token_until(at(1)).build(),
    ];
    put_all(&store, &ended).await;
    assert_eq!(listed(&store, &person(0)).await.len(), 4);
}

pub(super) async fn gives_an_empty_page_of_nobody(bench: Bench<Store>) {
    let store = bench.fresh().await;
    assert_eq!(listed(&store, &person(0)).await, []);
    assert_eq!(pages(&store, &Listing { subject: None, after: None, most: 1 }).await, []);
    put(&store, &record(1).build()).await;
    assert_eq!(listed(&store, &person(1)).await, []);
}
