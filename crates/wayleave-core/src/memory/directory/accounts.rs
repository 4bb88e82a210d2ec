//! Accounts, their credentials and the devices that know them, in memory.

use std::ops::Bound;

use async_trait::async_trait;

use super::{MemoryDirectory, most_credentials, page, room};
use crate::authentication::Method;
use crate::ports::{
    Account, AccountChange, AccountId, Accounts, Credential, Credentials, EmailAddress, Exchange, Exchanged,
    InsertAccount, KnownDevice, KnownDevices, Rewrapped, StoreError, Wrap, WrappedKey,
};
use crate::time::Timestamp;

#[async_trait]
impl Accounts for MemoryDirectory {
    async fn insert(&self, account: &Account) -> Result<InsertAccount, StoreError> {
        let mut state = self.state();
        if state.accounts.contains_key(&account.id) || state.emails.contains_key(&account.email) {
            return Ok(InsertAccount::Exists);
        }
        room(state.accounts.len(), self.limits.accounts)?;
        state.emails.insert(account.email.clone(), account.id.clone());
        state.accounts.insert(account.id.clone(), account.clone());
        Ok(InsertAccount::Done)
    }

    async fn by_id(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        Ok(self.state().accounts.get(id).cloned())
    }

    async fn by_email(&self, email: &EmailAddress) -> Result<Option<Account>, StoreError> {
        let state = self.state();
        Ok(state.emails.get(email).and_then(|id| state.accounts.get(id)).cloned())
    }

    async fn update(&self, account: &Account) -> Result<AccountChange, StoreError> {
        let mut state = self.state();
        let Some(held) = state.accounts.get(&account.id) else {
            return Ok(AccountChange::Missing);
        };
        if held.revision != account.revision {
            return Ok(AccountChange::Conflict);
        }
        if state.emails.get(&account.email).is_some_and(|owner| *owner != account.id) {
            return Ok(AccountChange::EmailTaken);
        }
        let changed = Account {
            created_at: held.created_at,
            epoch: held.epoch.max(account.epoch),
            revision: held.revision.next(),
            ..account.clone()
        };
        let before = held.email.clone();
        let revision = changed.revision;
        state.emails.remove(&before);
        state.emails.insert(changed.email.clone(), changed.id.clone());
        state.accounts.insert(changed.id.clone(), changed);
        Ok(AccountChange::Done(revision))
    }

    async fn list(
        &self,
        search: Option<&str>,
        after: Option<&AccountId>,
        most: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let search = search.map(str::to_ascii_lowercase);
        let matches = |account: &&Account| {
            search.as_deref().is_none_or(|search| {
                account.email.as_str().to_ascii_lowercase().contains(search)
                    || account.name.to_ascii_lowercase().contains(search)
            })
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let accounts = state.accounts.range::<AccountId, _>((from, Bound::Unbounded)).map(|(_, account)| account);
        Ok(accounts.filter(matches).take(page(most)).cloned().collect())
    }

    async fn anybody_holds(&self, permission: &str) -> Result<bool, StoreError> {
        let state = self.state();
        Ok(state.accounts.values().any(|account| !account.disabled && account.permissions.contains(permission)))
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.state().accounts.len()).unwrap_or(u64::MAX))
    }
}

#[async_trait]
impl Credentials for MemoryDirectory {
    async fn find(&self, account: &AccountId, method: Method) -> Result<Option<Credential>, StoreError> {
        let state = self.state();
        Ok(state.credentials.get(&(account.clone(), method.as_str())).map(|(credential, _)| credential.clone()))
    }

    async fn set(&self, account: &AccountId, method: Method, credential: &Credential) -> Result<(), StoreError> {
        let mut state = self.state();
        let key = (account.clone(), method.as_str());
        if !state.credentials.contains_key(&key) {
            room(state.credentials.len(), most_credentials(self.limits.accounts))?;
        }
        state.credentials.insert(key, (credential.clone(), None));
        Ok(())
    }

    async fn replace(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Timestamp,
        secret: &[u8],
    ) -> Result<bool, StoreError> {
        let mut state = self.state();
        let held = state.credentials.get_mut(&(account.clone(), method.as_str()));
        let Some((held, _)) = held.filter(|(held, _)| held.changed_at == set_at) else {
            return Ok(false);
        };
        held.secret = secret.into();
        Ok(true)
    }

    async fn exchange(&self, account: &AccountId, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        let Exchange { method, set_at, credential, supersedes, wrapped_key } = exchange;
        let mut state = self.state();
        let key = (account.clone(), method.as_str());
        let held = state.credentials.get(&key);
        if held.map(|(held, _)| held.changed_at) != *set_at {
            return Ok(Exchanged::Moved);
        }
        let beside = held.and_then(|(_, wrapped)| wrapped.as_ref()).map(WrappedKey::tag);
        if beside != exchange.expected_key() {
            return Ok(Exchanged::KeyMoved);
        }
        if held.is_none() {
            room(state.credentials.len(), most_credentials(self.limits.accounts))?;
        }
        let wrapped_key = wrapped_key.as_ref().map(|rewrapped| rewrapped.key.clone());
        state.credentials.insert(key, (credential.clone(), wrapped_key));
        if let Some(superseded) = supersedes {
            state.credentials.remove(&(account.clone(), superseded.as_str()));
        }
        Ok(Exchanged::Done)
    }

    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError> {
        Ok(self.state().credentials.remove(&(account.clone(), method.as_str())).is_some())
    }

    async fn wrapped_key(&self, account: &AccountId, method: Method) -> Result<Option<WrappedKey>, StoreError> {
        let state = self.state();
        let held = state.credentials.get(&(account.clone(), method.as_str()));
        Ok(held.and_then(|(_, wrapped_key)| wrapped_key.clone()))
    }

    async fn wrap(&self, account: &AccountId, method: Method, key: &Rewrapped) -> Result<Wrap, StoreError> {
        let mut state = self.state();
        let Some((_, held)) = state.credentials.get_mut(&(account.clone(), method.as_str())) else {
            return Ok(Wrap::NoCredential);
        };
        if held.as_ref().map(WrappedKey::tag) != key.replaces {
            return Ok(Wrap::Moved);
        }
        *held = Some(key.key.clone());
        Ok(Wrap::Done)
    }
}

#[async_trait]
impl KnownDevices for MemoryDirectory {
    async fn remember(
        &self,
        account: &AccountId,
        device: &KnownDevice,
        replaces: Option<[u8; 32]>,
        most: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        if !state.devices.contains_key(account) {
            room(state.devices.len(), self.limits.accounts)?;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.limits.devices_per_account);
        let devices = state.devices.entry(account.clone()).or_default();
        devices.retain(|held| held.key != device.key && Some(held.key) != replaces && now < held.expires_at);
        devices.push(device.clone());
        let surplus = devices.len().saturating_sub(most);
        devices.drain(..surplus);
        Ok(())
    }

    async fn knows(&self, account: &AccountId, key: [u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        let state = self.state();
        let devices = state.devices.get(account).map_or(&[][..], Vec::as_slice);
        Ok(devices.iter().any(|device| device.key == key && now < device.expires_at))
    }

    async fn forget_all(&self, account: &AccountId) -> Result<(), StoreError> {
        self.state().devices.remove(account);
        Ok(())
    }
}
