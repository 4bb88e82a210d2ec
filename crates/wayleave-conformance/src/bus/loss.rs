//! A lost connection is told: to those who may miss something, at once, and for good.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{interval, timeout};
use wayleave_core::ports::{Bus, Listener, StoreError};

use super::Nodes;
use super::listening::{heard, next, publish};
use crate::bench::Bench;

/// Messages may come until the loss shows, and none after it.
async fn assert_told(listener: &mut Box<dyn Listener>) {
    let told = loop {
        match next(listener).await {
            Ok(message) => assert_eq!(*message, *b"before"),
            Err(error) => break error,
        }
    };
    assert!(matches!(told, StoreError::Unavailable(_)), "{told:?}");
}

/// Tries until the broker takes connections again.
async fn listen_again(bus: &Arc<dyn Bus>) -> Box<dyn Listener> {
    let mut again = interval(Duration::from_millis(20));
    let attempts = async {
        loop {
            again.tick().await;
            match bus.listen().await {
                Ok(listener) => return listener,
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    timeout(Duration::from_secs(30), attempts).await.expect("nobody can listen any more")
}

/// No connection is made anew behind the back of whoever listens: what was said meanwhile would be missing.
pub(super) async fn is_told_and_stays_told(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let [one, two] = &fresh.nodes;
    let mut listeners = [one.listen().await.unwrap(), two.listen().await.unwrap()];
    publish(one, "before").await;
    (fresh.cut)().await;
    for listener in &mut listeners {
        assert_told(listener).await;
    }
    let mut newcomer = listen_again(two).await;
    publish(one, "after").await;
    assert_eq!(*heard(&mut newcomer).await, *b"after");
    for listener in &mut listeners {
        for _ in 0..3 {
            let told = next(listener).await;
            assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
        }
    }
}

/// And as often as it happens.
pub(super) async fn is_over_for_who_listens_anew(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let [one, two] = &fresh.nodes;
    let mut listener = one.listen().await.unwrap();
    for _ in 0..3 {
        publish(two, "before").await;
        (fresh.cut)().await;
        assert_told(&mut listener).await;
        listener = listen_again(one).await;
        publish(two, "after").await;
        assert_eq!(*heard(&mut listener).await, *b"after");
    }
}
