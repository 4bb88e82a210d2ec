//! A file that has grown as large as it may: refused writes leave nothing behind, and ending sessions still works.

use std::sync::Arc;

use tempfile::TempDir;
use wayleave_conformance::fixtures::{BASE, by_id, largest, person, record};
use wayleave_core::ports::{Insert, Replaces, Scope, SessionStore, StoreError};
use wayleave_core::record::Record;
use wayleave_sqlite::{Options, SqliteStore};

use crate::{options, raw};

fn large(number: u32) -> Record {
    let small = record(number).of(&person(number)).build();
    Record { data: largest(number).data, context: largest(number).context, ..small }
}

/// Many writers fill the file at once. Everyone who was told "done" finds the record, nobody else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_file_refuses_and_half_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wayleave.sqlite");
    let limited = Options { most_bytes: Some(4 << 20), ..options() };
    let store = Arc::new(SqliteStore::open(&path, limited).await.unwrap());
    let puts: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { SessionStore::insert(store.as_ref(), &large(number), None, None, BASE).await })
        })
        .collect();
    let (mut done, mut refused) = (Vec::new(), Vec::new());
    for (number, put) in (0..).zip(puts) {
        match put.await.unwrap() {
            Ok(Insert::Done { .. }) => done.push(large(number)),
            Err(StoreError::Full) => refused.push(large(number)),
            outcome => panic!("{outcome:?}"),
        }
    }
    assert!(done.len() > 50 && refused.len() > 50, "{} done, {} refused", done.len(), refused.len());
    for record in &done {
        let found = SessionStore::find(store.as_ref(), by_id(record)).await.unwrap();
        assert_eq!(found.as_deref(), Some(record));
    }
    for record in &refused {
        assert_eq!(SessionStore::find(store.as_ref(), by_id(record)).await.unwrap(), None);
    }
    let whole: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut raw(folder.path()).await).await.unwrap();
    assert_eq!(whole, "ok");

    // The insertion that ends somebody and then finds no room ends nobody.
    let victim = &done[0];
    let fat = Record { data: largest(0).data, licence: Some("x".repeat(4 << 20).into()), ..large(9999) };
    let outcome = SessionStore::insert(store.as_ref(), &fat, None, Some(Replaces::any(victim.id)), BASE).await;
    assert!(matches!(outcome, Err(StoreError::Full)), "{outcome:?}");
    assert!(SessionStore::find(store.as_ref(), by_id(victim)).await.unwrap().is_some());

    // Ending sessions needs no room, and makes some.
    for record in &done[..10] {
        assert_eq!(store.revoke(&Scope::One(record.slot, record.id)).await.unwrap().len(), 1);
    }
    let outcome = SessionStore::insert(store.as_ref(), &refused[0], None, None, BASE).await.unwrap();
    assert!(matches!(outcome, Insert::Done { .. }));
}
