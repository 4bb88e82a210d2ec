//! Questions that many cases ask a store.

use std::sync::Arc;

use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Gone, Insert, InsertLimit, Listing, Lookup, Rotate, Rotation, Update};
use wayleave_core::record::{Record, Revision};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use super::Store;
use crate::fixtures::{BASE, by_id, by_refresh, by_token, listing};

/// Puts a record in, without limit.
pub(super) async fn put(store: &Store, record: &Record) {
    let outcome = store.insert(record, None, None, BASE).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false });
}

pub(super) async fn put_all(store: &Store, records: &[Record]) {
    for record in records {
        put(store, record).await;
    }
}

/// Inserts under a limit.
pub(super) async fn put_within(store: &Store, record: &Record, most: u32, at_limit: AtLimit, now: Timestamp) -> Insert {
    store.insert(record, Some(InsertLimit { most, at_limit }), None, now).await.unwrap()
}

pub(super) async fn find(store: &Store, lookup: Lookup) -> Option<Arc<Record>> {
    store.find(lookup).await.unwrap()
}

/// Asserts that every way to `record` leads to exactly it.
pub(super) async fn assert_kept(store: &Store, record: &Record) {
    let mut lookups = vec![by_token(record), by_id(record)];
    lookups.extend(record.refresh.is_some().then(|| by_refresh(record)));
    for lookup in lookups {
        assert_eq!(find(store, lookup).await.as_deref(), Some(record), "by {lookup:?}");
    }
}

/// Asserts that no way leads to `record`, and that it is in no list.
pub(super) async fn assert_gone(store: &Store, record: &Record) {
    let mut lookups = vec![by_token(record), by_id(record)];
    lookups.extend(record.refresh.is_some().then(|| by_refresh(record)));
    for lookup in lookups {
        assert_eq!(find(store, lookup).await, None, "by {lookup:?}");
    }
    let listing = match &record.subject {
        Some(subject) => listing(subject),
        None => Listing { subject: None, after: None, most: 1000 },
    };
    let listed = pages(store, &listing).await;
    assert!(!listed.iter().any(|listed| listed.id == record.id), "{:?} is listed", record.id);
}

pub(super) async fn update(store: &Store, record: &Record, expected: Revision) -> Update {
    store.update(record, expected).await.unwrap()
}

/// Exchanges a token that is expected to be current.
pub(super) async fn rotated(store: &Store, rotation: &Rotation) -> Record {
    match store.rotate(rotation).await.unwrap() {
        Rotate::Done { record, previous: _ } => Arc::unwrap_or_clone(record),
        other => panic!("not rotated: {other:?}"),
    }
}

/// All pages of a listing.
pub(super) async fn pages(store: &Store, listing: &Listing) -> Vec<Arc<Record>> {
    let mut listing = listing.clone();
    let mut records = Vec::new();
    for _ in 0..10_000 {
        let page = store.list(&listing).await.unwrap();
        assert!(page.records.len() <= usize::try_from(listing.most).unwrap(), "a page is larger than asked for");
        records.extend(page.records);
        listing.after = page.next;
        if listing.after.is_none() {
            return records;
        }
    }
    panic!("the pages do not end");
}

/// The records that `subject` has.
pub(super) async fn listed(store: &Store, subject: &Subject) -> Vec<Arc<Record>> {
    pages(store, &listing(subject)).await
}

/// What is left of `records`, in the order of their ids.
pub(super) fn gone<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Gone> {
    sorted(records.into_iter().map(Gone::from_record).collect())
}

pub(super) fn sorted(mut gone: Vec<Gone>) -> Vec<Gone> {
    gone.sort_by_key(|gone| gone.id);
    gone
}
