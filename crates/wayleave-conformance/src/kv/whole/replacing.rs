//! Saving and loading: all of a record takes the place of all of another.

use std::sync::Arc;
use std::time::Duration;

use wayleave::SystemClock;
use wayleave_core::ports::Clock as _;

use super::{Whole, WholeRecord};
use crate::bench::Bench;

pub(super) type Interface = Arc<dyn WholeRecord>;

/// A record that ends `after` from now.
pub(super) fn ending(after: Duration, pairs: &[(&str, &str)]) -> Whole {
    let values = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Whole { values, expires_at: SystemClock.now().plus(after) }
}

pub(super) fn whole(pairs: &[(&str, &str)]) -> Whole {
    ending(super::super::saving::HOUR, pairs)
}

pub(super) async fn create(interface: &Interface, whole: &Whole) -> String {
    interface.create("one", whole).await.unwrap()
}

pub(super) async fn load(interface: &Interface, id: &str) -> Option<Whole> {
    interface.load(id).await.unwrap()
}

pub(super) async fn gives_back_what_was_saved(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let saved = whole(&[("user_id", "123"), ("empty", ""), ("text", "gr\u{fc}n \u{2603} \"\\ \0"), ("number", "1")]);
    let id = create(&interface, &saved).await;
    assert_eq!(load(&interface, &id).await, Some(saved));
}

pub(super) async fn knows_no_other_id(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1")])).await;
    assert_eq!(load(&interface, "two").await, None);
    interface.delete("two").await.unwrap();
    assert!(load(&interface, &id).await.is_some());
}

pub(super) async fn a_save_replaces_all_of_it(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1"), ("b", "2")])).await;
    let next = ending(Duration::from_secs(7200), &[("b", "3"), ("c", "4")]);
    interface.save(&id, &next).await.unwrap();
    assert_eq!(load(&interface, &id).await, Some(next));
}

/// Two requests read the same state and both save it: no error, and the later has its way.
pub(super) async fn the_last_save_wins(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1")])).await;
    for n in 0..5 {
        let next = whole(&[("a", &n.to_string())]);
        interface.save(&id, &next).await.unwrap();
        assert_eq!(load(&interface, &id).await, Some(next));
    }
}

/// With an error, and what was there stays.
pub(super) async fn refuses_data_that_is_too_large(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1")])).await;
    let large = whole(&[("a", &"v".repeat(16 * 1024))]);
    let refused = interface.save(&id, &large).await.unwrap_err();
    assert!(refused.to_string().contains("16 KiB"), "the limit is named: {refused}");
    assert!(interface.create("two", &large).await.is_err());
    assert_eq!(load(&interface, &id).await.unwrap().values["a"], "1");
}
