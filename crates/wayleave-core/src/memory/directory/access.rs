//! What lets people and services in, in memory: counters of attempts, invitations, service keys.

use async_trait::async_trait;

use super::{MemoryDirectory, State, page, room};
use crate::lockout::{Counter, Reservation, Rule};
use crate::ports::{
    CounterKey, Counters, InsertServiceKey, Invitation, Invitations, ServiceKey, ServiceKeys, StoreError,
};
use crate::time::Timestamp;

#[async_trait]
impl Counters for MemoryDirectory {
    async fn reserve(&self, key: CounterKey, rule: Rule, now: Timestamp) -> Result<Reservation, StoreError> {
        let mut state = self.state();
        if !state.counters.contains_key(&key) && state.counters.len() >= self.limits.counters {
            state.drop_counters(Look { at: LOOKED_AT_WHEN_FULL, most: LOOKED_AT_WHEN_FULL }, rule, now);
            room(state.counters.len(), self.limits.counters)?;
        }
        let counter = state.counters.entry(key).or_default();
        let (next, reservation) = counter.reserve(rule, now);
        *counter = next;
        Ok(reservation)
    }

    async fn clear(&self, key: CounterKey) -> Result<bool, StoreError> {
        Ok(self.state().counters.remove(&key).is_some())
    }

    async fn read(&self, key: CounterKey) -> Result<Counter, StoreError> {
        Ok(self.state().counters.get(&key).copied().unwrap_or_default())
    }

    async fn sweep(&self, rule: Rule, now: Timestamp, most: u32) -> Result<u32, StoreError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (mut left, mut removed) = (self.state().counters.len(), 0);
        // A bounded look at a time, so that whoever signs in meanwhile does not wait for all of it.
        while left > 0 && removed < most {
            let look = Look { at: LOOKED_AT_BY_SWEEP.min(left), most: most - removed };
            let Looked { at, dropped } = self.state().drop_counters(look, rule, now);
            removed += dropped;
            if at < look.at {
                break;
            }
            left -= at;
        }
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }
}

/// Most counters that are looked at under one lock: by a reservation that finds no room, and by a sweep.
const LOOKED_AT_WHEN_FULL: usize = 1024;
const LOOKED_AT_BY_SWEEP: usize = 4096;

/// How many counters to look at, and how many to drop, at most.
#[derive(Copy, Clone)]
struct Look {
    at: usize,
    most: usize,
}

/// How many counters were looked at and dropped.
struct Looked {
    at: usize,
    dropped: usize,
}

impl State {
    /// Goes on round the counters, and drops those that say nothing any more. Looks at none twice.
    fn drop_counters(&mut self, look: Look, rule: Rule, now: Timestamp) -> Looked {
        let Self { counters, counters_from, .. } = self;
        let round = counters.range(*counters_from..).chain(counters.range(..*counters_from));
        let (mut looked, mut dropping, mut next) = (0, Vec::new(), CounterKey::default());
        for (key, counter) in round {
            if looked == look.at || dropping.len() == look.most {
                next = *key;
                break;
            }
            looked += 1;
            if now >= counter.forgettable_at(rule) {
                dropping.push(*key);
            }
        }
        for key in &dropping {
            counters.remove(key);
        }
        *counters_from = next;
        Looked { at: looked, dropped: dropping.len() }
    }
}

#[async_trait]
impl Invitations for MemoryDirectory {
    async fn insert(&self, invitation: &Invitation) -> Result<bool, StoreError> {
        let mut state = self.state();
        if state.invitations.contains_key(&invitation.key) {
            return Ok(false);
        }
        if state.invitations.len() >= self.limits.invitations {
            state.invitations.retain(|_, held| invitation.created_at < held.expires_at);
            room(state.invitations.len(), self.limits.invitations)?;
        }
        state.invitations.insert(invitation.key, invitation.clone());
        Ok(true)
    }

    async fn find(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        let state = self.state();
        Ok(state.invitations.get(&key).filter(|invitation| now < invitation.expires_at).cloned())
    }

    async fn take(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        let taken = self.state().invitations.remove(&key);
        Ok(taken.filter(|invitation| now < invitation.expires_at))
    }

    async fn list(&self, now: Timestamp, most: u32) -> Result<Vec<Invitation>, StoreError> {
        let mut good: Vec<_> =
            self.state().invitations.values().filter(|invitation| now < invitation.expires_at).cloned().collect();
        good.sort_by(|a, b| b.created_at.cmp(&a.created_at).then(a.key.cmp(&b.key)));
        good.truncate(page(most));
        Ok(good)
    }

    async fn withdraw(&self, key: [u8; 32]) -> Result<bool, StoreError> {
        Ok(self.state().invitations.remove(&key).is_some())
    }
}

#[async_trait]
impl ServiceKeys for MemoryDirectory {
    async fn insert(&self, key: &ServiceKey) -> Result<InsertServiceKey, StoreError> {
        let mut state = self.state();
        if state.service_keys.contains_key(&key.name) || state.service_names.contains_key(&key.key) {
            return Ok(InsertServiceKey::Exists);
        }
        room(state.service_keys.len(), self.limits.service_keys)?;
        state.service_names.insert(key.key, key.name.clone());
        state.service_keys.insert(key.name.clone(), key.clone());
        Ok(InsertServiceKey::Done)
    }

    async fn by_key(&self, key: [u8; 32]) -> Result<Option<ServiceKey>, StoreError> {
        let state = self.state();
        Ok(state.service_names.get(&key).and_then(|name| state.service_keys.get(name)).cloned())
    }

    async fn by_name(&self, name: &str) -> Result<Option<ServiceKey>, StoreError> {
        Ok(self.state().service_keys.get(name).cloned())
    }

    async fn list(&self, most: u32) -> Result<Vec<ServiceKey>, StoreError> {
        Ok(self.state().service_keys.values().take(page(most)).cloned().collect())
    }

    async fn revoke(&self, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut state = self.state();
        let Some(held) = state.service_keys.get_mut(name) else {
            return Ok(false);
        };
        let live = held.is_live(now);
        held.revoked_at.get_or_insert(now);
        Ok(live)
    }
}
