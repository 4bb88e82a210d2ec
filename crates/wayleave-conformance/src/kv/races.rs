//! Parallel requests of one session: nobody's write is lost, and nothing that ended comes back.

use std::convert::Infallible;
use std::sync::Arc;

use wayleave::kv::{SaveError, SessionData, SessionStore, update};

use super::Kv;
use super::saving::{data, is_there, load};
use crate::bench::Bench;
use crate::together::{both, boxed, together};

async fn set(store: Arc<dyn SessionStore>, key: String, value: String) {
    let change = |data: &mut SessionData| -> Result<(), Infallible> {
        data.set(key.clone(), value.clone());
        Ok(())
    };
    update(&*store, "one", change).await.unwrap();
}

pub(super) async fn writers_of_different_keys_both_win(bench: Bench<Kv>) {
    for round in bench.rounds() {
        let kv = bench.fresh().await;
        kv.store.save("one", data(&[("a", "1")])).await.unwrap();
        let write = |key: &str| set(Arc::clone(&kv.store), key.to_owned(), format!("round {round}"));
        both(round, write("left"), write("right")).await;
        let held = load(&kv, "one").await;
        assert_eq!(held.iter().count(), 3, "round {round}");
    }
}

pub(super) async fn no_increment_is_lost(bench: Bench<Kv>) {
    for round in bench.rounds() {
        let kv = bench.fresh().await;
        kv.store.save("one", data(&[])).await.unwrap();
        let count = |store: Arc<dyn SessionStore>| async move {
            let change = |data: &mut SessionData| -> Result<(), Infallible> {
                let count: u32 = data.get_as("count").unwrap().unwrap_or_default();
                data.set_as("count", &(count + 1)).unwrap();
                Ok(())
            };
            for _ in 0..5 {
                update(&*store, "one", change).await.unwrap();
            }
        };
        together((0..4).map(|_| boxed(count(Arc::clone(&kv.store))))).await;
        assert_eq!(load(&kv, "one").await.get("count"), Some("20"), "round {round}");
    }
}

pub(super) async fn one_of_two_new_ones_wins(bench: Bench<Kv>) {
    for round in bench.rounds() {
        let kv = bench.fresh().await;
        let save = |value: &str| {
            let (store, data) = (Arc::clone(&kv.store), data(&[("a", value)]));
            async move { store.save("one", data).await }
        };
        let outcome = both(round, save("left"), save("right")).await;
        let expected = match outcome {
            (Ok(()), Err(SaveError::Conflict)) => "left",
            (Err(SaveError::Conflict), Ok(())) => "right",
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(load(&kv, "one").await.get("a"), Some(expected), "round {round}");
    }
}

/// Whoever saves while it is deleted: once the deletion has returned, it is gone for good.
pub(super) async fn a_deletion_beats_every_writer(bench: Bench<Kv>) {
    for round in bench.rounds() {
        let kv = bench.fresh().await;
        kv.store.save("one", data(&[("a", "1")])).await.unwrap();
        let write = {
            let store = Arc::clone(&kv.store);
            async move {
                for n in 0..5 {
                    set(Arc::clone(&store), "a".to_owned(), n.to_string()).await;
                    // As an interface without revisions does.
                    let held = store.load("one").await.unwrap();
                    let new = data(&[("a", "late")]).at_revision(held.and_then(|held| held.revision()));
                    let _ = store.save("one", new).await;
                }
            }
        };
        let delete = {
            let store = Arc::clone(&kv.store);
            async move {
                store.delete("one").await.unwrap();
                assert!(store.load("one").await.unwrap().is_none());
            }
        };
        both(round, write, delete).await;
        assert!(!is_there(&kv, "one").await, "round {round}");
    }
}
