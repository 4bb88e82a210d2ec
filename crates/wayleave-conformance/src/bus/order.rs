//! One order for all.

use std::sync::Arc;

use super::Nodes;
use super::listening::{heard, publish};
use crate::bench::Bench;
use crate::together::together;

const PUBLISHERS: u32 = 8;
const MESSAGES: u32 = 125;

/// A thousand messages of eight publishers on two nodes: every listener hears each once, and all in one order, in which
/// what one publisher says keeps its own.
pub(super) async fn is_the_same_for_all(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let mut listeners = Vec::new();
    for node in [0, 0, 1] {
        listeners.push(fresh.nodes[node].listen().await.unwrap());
    }
    let hearing: Vec<_> = listeners
        .into_iter()
        .map(|mut listener| {
            tokio::spawn(async move {
                let mut messages = Vec::new();
                for _ in 0..PUBLISHERS * MESSAGES {
                    messages.push(heard(&mut listener).await);
                }
                messages
            })
        })
        .collect();
    together((0..PUBLISHERS).map(|publisher| {
        let node = usize::try_from(publisher % 2).unwrap();
        let bus = Arc::clone(&fresh.nodes[node]);
        async move {
            for number in 0..MESSAGES {
                publish(&bus, format!("{publisher} {number}")).await;
            }
        }
    }))
    .await;
    let mut orders = Vec::new();
    for messages in hearing {
        orders.push(messages.await.unwrap());
    }
    for publisher in 0..PUBLISHERS {
        let from = format!("{publisher} ");
        let said: Vec<_> = orders[0].iter().filter(|message| message.starts_with(from.as_bytes())).collect();
        let expected: Vec<Box<[u8]>> =
            (0..MESSAGES).map(|number| format!("{from}{number}").into_bytes().into()).collect();
        assert_eq!(said, expected.iter().collect::<Vec<_>>());
    }
    for order in &orders {
        let place = order.iter().zip(&orders[0]).position(|(one, other)| one != other);
        assert_eq!(place, None, "two listeners disagree from there on");
    }
}

/// What a node published before is heard before, whichever of the nodes it went through.
pub(super) async fn keeps_what_one_node_says_in_turn(bench: Bench<Nodes>) {
    let fresh = bench.fresh().await;
    let mut listener = fresh.nodes[0].listen().await.unwrap();
    for round in bench.rounds() {
        for node in [0, 1] {
            publish(&fresh.nodes[node], format!("{round} {node}")).await;
        }
    }
    for round in bench.rounds() {
        for node in [0, 1] {
            assert_eq!(*heard(&mut listener).await, *format!("{round} {node}").into_bytes());
        }
    }
}
