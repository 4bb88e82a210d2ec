//! Ends, and that nothing comes back from them: losing a session is harmless, resurrecting one is a breach.

use std::time::Duration;

use wayleave::SystemClock;
use wayleave::kv::SessionData;
use wayleave_core::ports::Clock as _;

use super::Whole;
use super::replacing::{Interface, create, ending, load, whole};
use crate::bench::Bench;

/// Waits until the end is over.
async fn outlive(whole: &Whole) {
    while SystemClock.now() < whole.expires_at {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn deletes(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1")])).await;
    let other = interface.create("two", &whole(&[("a", "2")])).await.unwrap();
    interface.delete(&id).await.unwrap();
    assert_eq!(load(&interface, &id).await, None);
    interface.delete(&id).await.unwrap();
    assert!(load(&interface, &other).await.is_some());
}

/// A request that was under way when its session was deleted saves in vain, and is not told so by an error.
pub(super) async fn a_save_after_a_delete_brings_nothing_back(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1")])).await;
    let held = load(&interface, &id).await.unwrap();
    interface.delete(&id).await.unwrap();
    interface.save(&id, &held).await.unwrap();
    assert_eq!(load(&interface, &id).await, None);
}

/// R013: whether or not anybody cleaned up.
pub(super) async fn an_expired_one_is_gone(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let short = ending(Duration::from_millis(150), &[("a", "1")]);
    let id = create(&interface, &short).await;
    outlive(&short).await;
    assert_eq!(load(&interface, &id).await, None);
}

/// An end is an end, also for a request that would prolong it.
pub(super) async fn a_save_after_the_end_brings_nothing_back(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let short = ending(Duration::from_millis(150), &[("a", "1")]);
    let id = create(&interface, &short).await;
    outlive(&short).await;
    interface.save(&id, &whole(&[("a", "1")])).await.unwrap();
    assert_eq!(load(&interface, &id).await, None);
}

pub(super) async fn saving_expired_data_deletes(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1")])).await;
    interface.save(&id, &ending(Duration::ZERO, &[("a", "2")])).await.unwrap();
    assert_eq!(load(&interface, &id).await, None);
}

pub(super) async fn a_life_can_be_cut_short(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let id = create(&interface, &whole(&[("a", "1")])).await;
    let short = ending(Duration::from_millis(100), &[("a", "1")]);
    interface.save(&id, &short).await.unwrap();
    outlive(&short).await;
    assert_eq!(load(&interface, &id).await, None);
}

/// A15: neither at the creation nor later.
pub(super) async fn no_life_is_longer_than_the_longest(bench: Bench<Interface>) {
    let interface = bench.fresh().await;
    let absurd = ending(Duration::MAX, &[("a", "1")]);
    let id = create(&interface, &absurd).await;
    for _ in 0..2 {
        let end = load(&interface, &id).await.unwrap().expires_at;
        assert!(end <= SystemClock.now().plus(SessionData::MAX_LIFETIME), "{end:?}");
        assert!(end > SystemClock.now().plus(SessionData::MAX_LIFETIME / 2), "{end:?}");
        interface.save(&id, &absurd).await.unwrap();
    }
}
