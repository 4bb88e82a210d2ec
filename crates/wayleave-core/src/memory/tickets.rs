//! Tickets: what can be taken once, by purpose and key.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use crate::ports::Deposit;
use crate::ticket::{Purpose, Ticket};
use crate::time::Timestamp;

type Key = (Purpose, [u8; 32]);

/// All tickets of a store.
#[derive(Default)]
pub(super) struct Tickets {
    held: HashMap<Key, Held>,
    by_expiry: BTreeSet<(Timestamp, Key)>,
    counts: HashMap<Purpose, usize>,
}

struct Held {
    payload: Box<[u8]>,
    expires_at: Timestamp,
}

/// How many tickets there may be.
#[derive(Copy, Clone)]
pub(super) struct MostTickets {
    pub(super) of_purpose: usize,
    pub(super) in_all: usize,
}

impl Tickets {
    pub(super) fn deposit(&mut self, ticket: &Ticket, most: MostTickets, now: Timestamp) -> Deposit {
        let key = (ticket.purpose, ticket.key);
        match self.held.get(&key) {
            Some(held) if now < held.expires_at => return Deposit::Exists,
            Some(_) => drop(self.remove(key)),
            None => {}
        }
        if self.is_full(ticket.purpose, most) {
            self.sweep(|expires_at| expires_at <= now, u32::MAX);
            if self.is_full(ticket.purpose, most) {
                return Deposit::Full;
            }
        }
        self.held.insert(key, Held { payload: ticket.payload.clone(), expires_at: ticket.expires_at });
        self.by_expiry.insert((ticket.expires_at, key));
        *self.counts.entry(ticket.purpose).or_default() += 1;
        Deposit::Done
    }

    pub(super) fn take(&mut self, purpose: Purpose, key: [u8; 32], now: Timestamp) -> Option<Ticket> {
        let Held { payload, expires_at } = self.remove((purpose, key))?;
        (now < expires_at).then_some(Ticket { purpose, key, payload, expires_at })
    }

    /// Removes at most `most` tickets whose expiry `is_over`, oldest first.
    pub(super) fn sweep(&mut self, is_over: impl Fn(Timestamp) -> bool, most: u32) -> u32 {
        let mut removed = 0;
        while removed < most
            && let Some((expires_at, key)) = self.by_expiry.first().copied()
            && is_over(expires_at)
        {
            self.remove(key);
            removed += 1;
        }
        removed
    }

    pub(super) fn first_expiry(&self) -> Option<Timestamp> {
        self.by_expiry.first().map(|(expires_at, _)| *expires_at)
    }

    /// Bytes on the heap; those of the tree are an estimate.
    pub(super) fn footprint(&self) -> usize {
        let payloads: usize = self.held.values().map(|held| held.payload.len() + super::MALLOC).sum();
        self.held.allocation_size() + self.by_expiry.len() * size_of::<(Timestamp, Key)>() * 3 / 2 + payloads
    }

    fn is_full(&self, purpose: Purpose, most: MostTickets) -> bool {
        let of_purpose = self.counts.get(&purpose).copied().unwrap_or_default();
        of_purpose >= most.of_purpose || self.held.len() >= most.in_all
    }

    fn remove(&mut self, key: Key) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.by_expiry.remove(&(held.expires_at, key));
        if let Some(count) = self.counts.get_mut(&key.0) {
            *count -= 1;
        }
        Some(held)
    }
}
