//! `deposit` and `take`: single-use things, taken at most once.

use wayleave_core::ports::{Deposit, StoreError};
use wayleave_core::ticket::{MAX_PAYLOAD, Purpose, Ticket};
use wayleave_core::time::Timestamp;

use super::Store;
use crate::bench::Bench;
use crate::fixtures::{TICK, at, bytes, ticket};

async fn deposit(store: &Store, ticket: &Ticket, most: u32, now: Timestamp) -> Deposit {
    store.deposit(ticket, most, now).await.unwrap()
}

async fn take(store: &Store, ticket: &Ticket, now: Timestamp) -> Option<Ticket> {
    store.take(ticket.purpose, ticket.key, now).await.unwrap()
}

pub(super) async fn gives_what_was_deposited_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for (number, purpose) in (1..).zip(Purpose::ALL) {
        let ticket = ticket(number, purpose, at(100).plus(TICK));
        assert_eq!(take(&store, &ticket, at(0)).await, None);
        assert_eq!(deposit(&store, &ticket, 10, at(0)).await, Deposit::Done);
        let other = Ticket { key: bytes("another ticket", number), ..ticket.clone() };
        assert_eq!(take(&store, &other, at(1)).await, None);
        assert_eq!(take(&store, &ticket, at(1)).await, Some(ticket.clone()));
        assert_eq!(take(&store, &ticket, at(1)).await, None);
    }
}

/// The instant of the expiry is too late; the millisecond before is not.
pub(super) async fn gives_nothing_from_the_expiry_on(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for (number, now) in [(1, at(100)), (2, at(101)), (3, at(1_000_000))] {
        let ticket = ticket(number, Purpose::Challenge, at(100));
        assert_eq!(deposit(&store, &ticket, 10, at(0)).await, Deposit::Done);
        assert_eq!(take(&store, &ticket, now).await, None);
    }
    let ticket = ticket(4, Purpose::Challenge, at(100));
    assert_eq!(deposit(&store, &ticket, 10, at(0)).await, Deposit::Done);
    assert_eq!(take(&store, &ticket, at(100).minus(TICK)).await, Some(ticket));
}

/// R006: one purpose never serves for another, even under the same key.
pub(super) async fn keeps_purposes_apart(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let key = bytes("shared", 0);
    let tickets = Purpose::ALL.map(|purpose| Ticket {
        key,
        payload: purpose.as_str().as_bytes().into(),
        ..ticket(0, purpose, at(100))
    });
    for (deposited, ticket) in (0..).zip(&tickets) {
        for (index, other) in (0..).zip(&tickets).skip(deposited) {
            assert_eq!(take(&store, other, at(1)).await, None, "{index} after {deposited}");
        }
        assert_eq!(deposit(&store, ticket, 10, at(0)).await, Deposit::Done);
    }
    for ticket in &tickets {
        assert_eq!(take(&store, ticket, at(1)).await.as_ref(), Some(ticket));
        assert_eq!(take(&store, ticket, at(1)).await, None);
    }
}

pub(super) async fn never_overwrites(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = ticket(1, Purpose::Handshake, at(100));
    let second = Ticket { payload: Box::new(*b"mine"), expires_at: at(500), ..first.clone() };
    assert_eq!(deposit(&store, &first, 10, at(0)).await, Deposit::Done);
    assert_eq!(deposit(&store, &second, 10, at(1)).await, Deposit::Exists);
    assert_eq!(take(&store, &first, at(2)).await, Some(first));
}

/// A ticket that cannot be taken any more is as good as absent, whether it was swept or not; an instant before its
/// expiry it is not.
pub(super) async fn replaces_an_expired_one(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = ticket(1, Purpose::Handshake, at(100));
    let elsewhere = Ticket { purpose: Purpose::Setup, ..first.clone() };
    let second = Ticket { payload: Box::new(*b"second"), expires_at: at(300), ..first.clone() };
    for ticket in [&first, &elsewhere] {
        assert_eq!(deposit(&store, ticket, 10, at(0)).await, Deposit::Done);
    }
    assert_eq!(deposit(&store, &second, 10, at(100).minus(TICK)).await, Deposit::Exists);
    assert_eq!(deposit(&store, &second, 10, at(100)).await, Deposit::Done);
    // The new one is as protected as any.
    assert_eq!(deposit(&store, &first, 10, at(100)).await, Deposit::Exists);
    // The old one's expiry does not sweep it.
    assert_eq!(store.sweep(at(200), 100).await.unwrap().tickets, 1, "the ticket of the other purpose");
    assert_eq!(take(&store, &second, at(299)).await, Some(second.clone()));
    assert_eq!(take(&store, &second, at(299)).await, None);
    // Nor does the old one come back, for a clock that stepped back.
    assert_eq!(take(&store, &first, at(50)).await, None);
}

/// Also where the purpose is full, and without being counted twice.
pub(super) async fn an_expired_one_makes_room_for_its_successor(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let lasting = ticket(1, Purpose::Challenge, at(1_000));
    assert_eq!(deposit(&store, &lasting, 2, at(0)).await, Deposit::Done);
    for round in 1..=3 {
        let again = ticket(2, Purpose::Challenge, at(100 * round));
        assert_eq!(deposit(&store, &again, 2, at(100 * (round - 1))).await, Deposit::Done, "round {round}");
        let third = ticket(3, Purpose::Challenge, at(1_000));
        assert_eq!(deposit(&store, &third, 2, at(100 * (round - 1))).await, Deposit::Full, "round {round}");
    }
    // What is left counts for one each.
    assert!(take(&store, &ticket(2, Purpose::Challenge, at(300)), at(299)).await.is_some());
    assert_eq!(deposit(&store, &ticket(3, Purpose::Challenge, at(1_000)), 2, at(299)).await, Deposit::Done);
    assert_eq!(deposit(&store, &ticket(4, Purpose::Challenge, at(1_000)), 2, at(299)).await, Deposit::Full);
    assert_eq!(take(&store, &lasting, at(299)).await, Some(lasting));
}

pub(super) async fn is_full_per_purpose(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let tickets: Vec<_> = (1..=3).map(|number| ticket(number, Purpose::Challenge, at(100))).collect();
    for ticket in &tickets {
        assert_eq!(deposit(&store, ticket, 3, at(0)).await, Deposit::Done);
    }
    let surplus = ticket(4, Purpose::Challenge, at(100));
    assert_eq!(deposit(&store, &surplus, 3, at(1)).await, Deposit::Full);
    assert_eq!(take(&store, &surplus, at(1)).await, None);
    let elsewhere = ticket(4, Purpose::Setup, at(100));
    assert_eq!(deposit(&store, &elsewhere, 1, at(1)).await, Deposit::Done);
    // What is taken makes room, and nothing was pushed out.
    assert_eq!(take(&store, &tickets[0], at(2)).await.as_ref(), Some(&tickets[0]));
    assert_eq!(deposit(&store, &surplus, 3, at(2)).await, Deposit::Done);
    for ticket in [&tickets[1], &tickets[2], &surplus, &elsewhere] {
        assert_eq!(take(&store, ticket, at(3)).await.as_ref(), Some(ticket));
    }
}

pub(super) async fn drops_expired_ones_before_it_is_full(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let lasting = ticket(1, Purpose::WebSocket, at(100));
    assert_eq!(deposit(&store, &lasting, 3, at(0)).await, Deposit::Done);
    for number in [2, 3] {
        let ticket = ticket(number, Purpose::WebSocket, at(30));
        assert_eq!(deposit(&store, &ticket, 3, at(0)).await, Deposit::Done);
    }
    let next: Vec<_> = (4..=6).map(|number| ticket(number, Purpose::WebSocket, at(100))).collect();
    assert_eq!(deposit(&store, &next[0], 3, at(30).minus(TICK)).await, Deposit::Full);
    assert_eq!(deposit(&store, &next[0], 3, at(30)).await, Deposit::Done);
    assert_eq!(deposit(&store, &next[1], 3, at(30)).await, Deposit::Done);
    assert_eq!(deposit(&store, &next[2], 3, at(30)).await, Deposit::Full);
    assert_eq!(take(&store, &lasting, at(31)).await, Some(lasting));
}

pub(super) async fn carries_the_largest_payload(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for (number, payload) in [(1, Vec::new()), (2, vec![0; MAX_PAYLOAD]), (3, (0..=255).collect())] {
        let ticket = Ticket { payload: payload.into(), ..ticket(number, Purpose::Replay, Timestamp::MAX) };
        assert_eq!(deposit(&store, &ticket, 10, at(0)).await, Deposit::Done);
        assert_eq!(take(&store, &ticket, at(1)).await, Some(ticket));
    }
}

/// It is refused as it is, not cut, and what is there under its key stays.
pub(super) async fn refuses_a_payload_that_is_too_large(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let fits = ticket(1, Purpose::Handshake, at(100));
    let large = Ticket { payload: vec![7; MAX_PAYLOAD + 1].into(), ..fits.clone() };
    let refused = store.deposit(&large, 10, at(0)).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert_eq!(take(&store, &large, at(1)).await, None);
    assert_eq!(deposit(&store, &fits, 10, at(0)).await, Deposit::Done);
    let refused = store.deposit(&large, 10, at(200)).await;
    assert!(matches!(refused, Err(StoreError::Full)), "over an expired one: {refused:?}");
    assert_eq!(take(&store, &fits, at(1)).await, Some(fits));
}
