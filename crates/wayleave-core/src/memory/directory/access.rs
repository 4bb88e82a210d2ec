//! What lets people and services in, in memory: counters of attempts, invitations, service keys.

use async_trait::async_trait;

use super::{MemoryDirectory, page, room};
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
            state.counters.retain(|_, counter| now < counter.forgettable_at(rule));
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
        let mut removed = 0;
        self.state().counters.retain(|_, counter| {
            let keep = removed >= most || now < counter.forgettable_at(rule);
            if !keep {
                removed += 1;
            }
            keep
        });
        Ok(removed)
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
