//! Who hears what.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::timeout;
use wayleave_core::ports::{Bus, Listener, MAX_BUS_MESSAGE, StoreError};

use super::Nodes;
use crate::bench::Bench;

const PATIENCE: Duration = Duration::from_secs(10);

/// The next message.
pub(super) async fn next(listener: &mut Box<dyn Listener>) -> Result<Box<[u8]>, StoreError> {
    timeout(PATIENCE, listener.next()).await.expect("neither a message nor a loss within ten seconds")
}

/// The next message, where none may be lost.
pub(super) async fn heard(listener: &mut Box<dyn Listener>) -> Box<[u8]> {
    next(listener).await.unwrap()
}

pub(super) async fn publish(bus: &Arc<dyn Bus>, message: impl AsRef<[u8]>) {
    bus.publish(message.as_ref()).await.unwrap();
}

/// Every listener of every node, the sender's own included.
pub(super) async fn everybody_hears_it(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let [one, two] = &fresh.nodes;
    let mut listeners = [one.listen().await.unwrap(), one.listen().await.unwrap(), two.listen().await.unwrap()];
    for (bus, message) in [(one, "from one"), (two, "from two"), (one, "once more"), (one, "once more")] {
        publish(bus, message).await;
        for listener in &mut listeners {
            assert_eq!(*heard(listener).await, *message.as_bytes());
        }
    }
}

/// What is published right after `listen` has returned arrives, also in the middle of others' messages.
pub(super) async fn hears_everything_from_the_start(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let [one, two] = fresh.nodes.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let busy = tokio::spawn(async move {
        while stopped.try_recv().is_err() {
            publish(&two, "noise").await;
        }
    });
    for round in bench.rounds() {
        let mut listener = one.listen().await.unwrap();
        let message = format!("round {round}");
        publish(&one, &message).await;
        loop {
            let heard = heard(&mut listener).await;
            if *heard == *message.as_bytes() {
                break;
            }
            assert_eq!(*heard, *b"noise");
        }
    }
    stop.send(()).unwrap();
    busy.await.unwrap();
}

pub(super) async fn carries_every_byte(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let [one, two] = &fresh.nodes;
    let mut listener = two.listen().await.unwrap();
    let largest: Vec<u8> = (0..=255).cycle().take(MAX_BUS_MESSAGE).collect();
    for message in [&[][..], b"\0", b"'; NOTIFY --\r\n", &largest, &[0xff; MAX_BUS_MESSAGE]] {
        publish(one, message).await;
        assert_eq!(*heard(&mut listener).await, *message);
    }
}

/// Refused as it is, and nobody hears of it.
pub(super) async fn refuses_what_is_too_long(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let [one, two] = &fresh.nodes;
    let mut listener = two.listen().await.unwrap();
    for length in [MAX_BUS_MESSAGE + 1, 10 * MAX_BUS_MESSAGE] {
        let refused = one.publish(&vec![7; length]).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{length}: {refused:?}");
    }
    publish(one, "short").await;
    assert_eq!(*heard(&mut listener).await, *b"short");
}

/// Waiting for a message beside other things, and giving the wait up for them, is what listeners do.
pub(super) async fn a_wait_that_is_given_up_loses_nothing(bench: Bench<Nodes>) {
    const MESSAGES: u32 = 200;
    let fresh = bench.fresh().await;
    let [one, two] = fresh.nodes.clone();
    let mut listener = two.listen().await.unwrap();
    let speaker = tokio::spawn(async move {
        for number in 0..MESSAGES {
            publish(&one, number.to_be_bytes()).await;
        }
    });
    let hears = async {
        let mut expected = 0;
        for wait in 0.. {
            if expected == MESSAGES {
                break;
            }
            // From no patience at all up to some.
            let Some(message) = within(&mut listener, 1 + wait % 4).await else { continue };
            assert_eq!(*message.unwrap(), expected.to_be_bytes());
            expected += 1;
        }
    };
    timeout(PATIENCE * 6, hears).await.expect("messages are missing");
    speaker.await.unwrap();
}

/// The next message, if it comes while it is asked for so often.
async fn within(listener: &mut Box<dyn Listener>, times: u32) -> Option<Result<Box<[u8]>, StoreError>> {
    let mut next = listener.next();
    for _ in 0..times {
        if let Poll::Ready(message) = poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await {
            return Some(message);
        }
        yield_now().await;
    }
    None
}
