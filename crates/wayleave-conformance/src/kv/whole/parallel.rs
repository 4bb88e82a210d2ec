//! Parallel requests of one session.

use std::sync::Arc;

use super::replacing::{Interface, create, load, whole};
use crate::bench::Bench;
use crate::together::{both, together};

/// Every save succeeds, and what is left is what one of them saved.
pub(super) async fn saves_leave_one_whole(bench: Bench<Interface>) {
    for round in bench.rounds() {
        let interface = bench.fresh().await;
        let id = create(&interface, &whole(&[("a", "first")])).await;
        let saved: Vec<_> = ["1", "2", "3", "4"].map(|n| whole(&[("a", n), ("b", n), (n, n)])).into();
        let writers = saved.clone().into_iter().map(|whole| {
            let (interface, id) = (Arc::clone(&interface), id.clone());
            async move { interface.save(&id, &whole).await }
        });
        for outcome in together(writers).await {
            outcome.unwrap();
        }
        let left = load(&interface, &id).await.unwrap();
        assert!(saved.contains(&left), "round {round}: {left:?}");
    }
}

/// Whoever saves while it is deleted: once the deletion has returned, it is gone for good.
pub(super) async fn a_deletion_beats_every_writer(bench: Bench<Interface>) {
    for round in bench.rounds() {
        let interface = bench.fresh().await;
        let id = create(&interface, &whole(&[("a", "1")])).await;
        let write = {
            let (interface, id) = (Arc::clone(&interface), id.clone());
            async move {
                for n in 0..10 {
                    interface.save(&id, &whole(&[("a", &n.to_string())])).await.unwrap();
                }
            }
        };
        let delete = {
            let (interface, id) = (Arc::clone(&interface), id.clone());
            async move {
                interface.delete(&id).await.unwrap();
                assert_eq!(load(&interface, &id).await, None);
            }
        };
        both(round, write, delete).await;
        assert_eq!(load(&interface, &id).await, None, "round {round}");
    }
}
