//! Races for single-use things.

use std::sync::Arc;

use wayleave_core::ports::Deposit;
use wayleave_core::ticket::{Purpose, Ticket};

use super::CONTENDERS;
use crate::bench::Bench;
use crate::fixtures::{at, bytes, ticket};
use crate::store::Store;
use crate::together::together;

pub(in crate::store) async fn a_ticket_is_taken_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let ticket = ticket(round, Purpose::Challenge, at(100));
        assert_eq!(store.deposit(&ticket, 10, at(0)).await.unwrap(), Deposit::Done);
        let taken = together((0..CONTENDERS).map(|_| {
            let store = Arc::clone(&store);
            async move { store.take(Purpose::Challenge, bytes("ticket", round), at(1)).await.unwrap() }
        }))
        .await;
        assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), [ticket]);
    }
}

pub(in crate::store) async fn a_ticket_is_deposited_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let outcomes = together((0..CONTENDERS).map(|number| {
            let store = Arc::clone(&store);
            let ticket = Ticket {
                payload: Box::new([u8::try_from(number).unwrap()]),
                ..ticket(round, Purpose::Replay, at(100))
            };
            async move { (store.deposit(&ticket, 1000, at(0)).await.unwrap(), ticket) }
        }))
        .await;
        let mut done = Vec::new();
        for (outcome, ticket) in outcomes {
            match outcome {
                Deposit::Done => done.push(ticket),
                Deposit::Exists => {}
                Deposit::Full => panic!("full"),
            }
        }
        assert_eq!(done.len(), 1);
        assert_eq!(store.take(Purpose::Replay, done[0].key, at(1)).await.unwrap().as_ref(), Some(&done[0]));
        assert_eq!(store.take(Purpose::Replay, done[0].key, at(1)).await.unwrap(), None);
    }
}

/// Of many that want the place of an expired ticket, one gets it.
pub(in crate::store) async fn an_expired_ticket_is_replaced_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let expired = ticket(round, Purpose::Replay, at(50));
        assert_eq!(store.deposit(&expired, 1000, at(0)).await.unwrap(), Deposit::Done);
        let outcomes = together((0..CONTENDERS).map(|number| {
            let store = Arc::clone(&store);
            let payload = Box::new([u8::try_from(number).unwrap()]);
            let ticket = Ticket { payload, expires_at: at(100), ..expired.clone() };
            async move { (store.deposit(&ticket, 1000, at(50)).await.unwrap(), ticket) }
        }))
        .await;
        let done: Vec<_> =
            outcomes.iter().filter(|(outcome, _)| *outcome == Deposit::Done).map(|(_, ticket)| ticket).collect();
        let [won] = &done[..] else {
            panic!("{} of {CONTENDERS} took the place", done.len());
        };
        assert!(outcomes.iter().all(|(outcome, _)| *outcome != Deposit::Full));
        assert_eq!(store.take(won.purpose, won.key, at(51)).await.unwrap().as_ref(), Some(*won));
        assert_eq!(store.take(won.purpose, won.key, at(51)).await.unwrap(), None);
    }
}

pub(in crate::store) async fn tickets_stay_within_their_limit(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let tickets: Vec<_> =
            (0..CONTENDERS).map(|number| ticket(round * 1000 + number, Purpose::Handshake, at(100))).collect();
        let outcomes = together(tickets.iter().cloned().map(|ticket| {
            let store = Arc::clone(&store);
            async move { store.deposit(&ticket, 5, at(0)).await.unwrap() }
        }))
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Deposit::Done).count(), 5);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Deposit::Full).count(), 15);
        // Taking what is in empties the purpose for the next round.
        for (ticket, outcome) in tickets.into_iter().zip(outcomes) {
            let taken = store.take(ticket.purpose, ticket.key, at(1)).await.unwrap();
            assert_eq!(taken, (outcome == Deposit::Done).then_some(ticket));
        }
    }
}
