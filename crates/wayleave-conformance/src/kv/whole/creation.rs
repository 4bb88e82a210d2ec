//! Creation, for interfaces that tell it from saving: an id that is in use, or was, is never given out again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::replacing::{Interface, ending, load, whole};
use crate::bench::Bench;
use crate::together::together;

pub(super) async fn overwrites_nothing(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let (first, second) = (whole(&[("a", "1")]), whole(&[("a", "2")]));
    let one = interface.create("one", &first).await.unwrap();
    let other = interface.create("one", &second).await.unwrap();
    assert_ne!(one, other);
    assert_eq!(load(&interface, &one).await, Some(first));
    assert_eq!(load(&interface, &other).await, Some(second));
}

/// Somebody may still hold it.
pub(super) async fn avoids_the_id_of_a_deleted_one(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let one = interface.create("one", &whole(&[("a", "1")])).await.unwrap();
    interface.delete(&one).await.unwrap();
    let other = interface.create("one", &whole(&[("a", "2")])).await.unwrap();
    assert_ne!(one, other);
    assert_eq!(load(&interface, &one).await, None);
}

pub(super) async fn parallel_ones_get_a_session_each(bench: Bench<Interface>) {
    for round in bench.rounds() {
        let interface = bench.fresh().await;
        let makers = ["1", "2", "3", "4"].map(|n| {
            let interface = Arc::clone(&interface);
            async move {
                let mine = whole(&[("a", n)]);
                (interface.create("one", &mine).await.unwrap(), mine)
            }
        });
        let made = together(makers).await;
        let ids: BTreeSet<_> = made.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), made.len(), "round {round}");
        for (id, mine) in &made {
            assert_eq!(load(&interface, id).await.as_ref(), Some(mine), "round {round}");
        }
    }
}

/// Nor does it touch what its id names.
pub(super) async fn what_has_expired_is_not_created(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let one = interface.create("one", &whole(&[("a", "1")])).await.unwrap();
    interface.create("one", &ending(Duration::ZERO, &[("a", "2")])).await.unwrap();
    assert_eq!(load(&interface, &one).await.unwrap().values["a"], "1");
    let none = interface.create("two", &ending(Duration::ZERO, &[("a", "2")])).await.unwrap();
    assert_eq!(load(&interface, &none).await, None);
}

pub(super) async fn a_save_creates_nothing(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    interface.save("one", &whole(&[("a", "1")])).await.unwrap();
    assert_eq!(load(&interface, "one").await, None);
}
