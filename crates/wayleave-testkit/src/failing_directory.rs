//! The directory ports with faults: wraps whatever keeps accounts, counters and the like, and fails on demand.

use std::sync::Arc;

use async_trait::async_trait;
use wayleave_core::authentication::Method;
use wayleave_core::decide::Standing;
use wayleave_core::lockout::{Counter, Reservation, Rule};
use wayleave_core::ports::{
    Account, AccountChange, AccountId, Accounts, AuditLog, AuditQuery, AuditRow, ChainLink, CounterKey, Counters,
    Credential, Credentials, EmailAddress, Exchange, Exchanged, InsertAccount, InsertServiceKey, Invitation,
    Invitations, KnownDevice, KnownDevices, Rewrapped, ServiceKey, ServiceKeys, SetSetting, Setting, Settings,
    StoreError, Subjects, Wrap, WrappedKey,
};
use wayleave_core::record::Revision;
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use crate::faults::Faults;

/// A verb of one of the directory ports.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirectoryVerb {
    /// [`Accounts::insert`].
    AccountsInsert,
    /// [`Accounts::by_id`].
    AccountsById,
    /// [`Accounts::by_email`].
    AccountsByEmail,
    /// [`Accounts::update`].
    AccountsUpdate,
    /// [`Accounts::list`].
    AccountsList,
    /// [`Accounts::anybody_holds`].
    AccountsAnybodyHolds,
    /// [`Accounts::count`].
    AccountsCount,
    /// [`Credentials::find`].
    CredentialsFind,
    /// [`Credentials::set`].
    CredentialsSet,
    /// [`Credentials::replace`].
    CredentialsReplace,
    /// [`Credentials::exchange`].
    CredentialsExchange,
    /// [`Credentials::remove`].
    CredentialsRemove,
    /// [`Credentials::wrapped_key`].
    CredentialsWrappedKey,
    /// [`Credentials::wrap`].
    CredentialsWrap,
    /// [`KnownDevices::remember`].
    DevicesRemember,
    /// [`KnownDevices::knows`].
    DevicesKnows,
    /// [`KnownDevices::forget_all`].
    DevicesForgetAll,
    /// [`Counters::reserve`].
    CountersReserve,
    /// [`Counters::clear`].
    CountersClear,
    /// [`Counters::read`].
    CountersRead,
    /// [`Counters::sweep`].
    CountersSweep,
    /// [`Invitations::insert`].
    InvitationsInsert,
    /// [`Invitations::find`].
    InvitationsFind,
    /// [`Invitations::take`].
    InvitationsTake,
    /// [`Invitations::list`].
    InvitationsList,
    /// [`Invitations::withdraw`].
    InvitationsWithdraw,
    /// [`ServiceKeys::insert`].
    ServiceKeysInsert,
    /// [`ServiceKeys::by_key`].
    ServiceKeysByKey,
    /// [`ServiceKeys::by_name`].
    ServiceKeysByName,
    /// [`ServiceKeys::list`].
    ServiceKeysList,
    /// [`ServiceKeys::revoke`].
    ServiceKeysRevoke,
    /// [`Settings::get`].
    SettingsGet,
    /// [`Settings::set`].
    SettingsSet,
    /// [`AuditLog::append`].
    AuditAppend,
    /// [`AuditLog::head`].
    AuditHead,
    /// [`AuditLog::nodes`].
    AuditNodes,
    /// [`AuditLog::chain`].
    AuditChain,
    /// [`AuditLog::query`].
    AuditQuery,
    /// [`Subjects::standing`].
    SubjectsStanding,
}

/// Passes every call on to `inner`, unless a fault is set, and counts it. It has each directory port that `inner` has.
pub struct FailingDirectory<D: ?Sized> {
    inner: Arc<D>,
    faults: Faults<DirectoryVerb>,
}

impl<D: ?Sized> FailingDirectory<D> {
    /// Wraps `inner`; nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<D>) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// What fails, and what was called.
    #[must_use]
    pub const fn faults(&self) -> &Faults<DirectoryVerb> {
        &self.faults
    }
}

#[async_trait]
impl<D: Accounts + ?Sized> Accounts for FailingDirectory<D> {
    async fn insert(&self, account: &Account) -> Result<InsertAccount, StoreError> {
        self.faults.around(DirectoryVerb::AccountsInsert, Accounts::insert(&*self.inner, account)).await
    }

    async fn by_id(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        self.faults.around(DirectoryVerb::AccountsById, Accounts::by_id(&*self.inner, id)).await
    }

    async fn by_email(&self, email: &EmailAddress) -> Result<Option<Account>, StoreError> {
        self.faults.around(DirectoryVerb::AccountsByEmail, Accounts::by_email(&*self.inner, email)).await
    }

    async fn update(&self, account: &Account) -> Result<AccountChange, StoreError> {
        self.faults.around(DirectoryVerb::AccountsUpdate, Accounts::update(&*self.inner, account)).await
    }

    async fn list(
        &self,
        search: Option<&str>,
        after: Option<&AccountId>,
        most: u32,
    ) -> Result<Vec<Account>, StoreError> {
        self.faults.around(DirectoryVerb::AccountsList, Accounts::list(&*self.inner, search, after, most)).await
    }

    async fn anybody_holds(&self, permission: &str) -> Result<bool, StoreError> {
        self.faults.around(DirectoryVerb::AccountsAnybodyHolds, Accounts::anybody_holds(&*self.inner, permission)).await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.faults.around(DirectoryVerb::AccountsCount, Accounts::count(&*self.inner)).await
    }
}

#[async_trait]
impl<D: Credentials + ?Sized> Credentials for FailingDirectory<D> {
    async fn find(&self, account: &AccountId, method: Method) -> Result<Option<Credential>, StoreError> {
        self.faults.around(DirectoryVerb::CredentialsFind, Credentials::find(&*self.inner, account, method)).await
    }

    async fn set(&self, account: &AccountId, method: Method, credential: &Credential) -> Result<(), StoreError> {
        self.faults
            .around(DirectoryVerb::CredentialsSet, Credentials::set(&*self.inner, account, method, credential))
            .await
    }

    async fn replace(
        &self,
        account: &AccountId,
        method: Method,
        set_at: Timestamp,
        secret: &[u8],
    ) -> Result<bool, StoreError> {
        self.faults
            .around(
                DirectoryVerb::CredentialsReplace,
                Credentials::replace(&*self.inner, account, method, set_at, secret),
            )
            .await
    }

    async fn exchange(&self, account: &AccountId, exchange: &Exchange) -> Result<Exchanged, StoreError> {
        self.faults
            .around(DirectoryVerb::CredentialsExchange, Credentials::exchange(&*self.inner, account, exchange))
            .await
    }

    async fn remove(&self, account: &AccountId, method: Method) -> Result<bool, StoreError> {
        self.faults.around(DirectoryVerb::CredentialsRemove, Credentials::remove(&*self.inner, account, method)).await
    }

    async fn wrapped_key(&self, account: &AccountId, method: Method) -> Result<Option<WrappedKey>, StoreError> {
        self.faults
            .around(DirectoryVerb::CredentialsWrappedKey, Credentials::wrapped_key(&*self.inner, account, method))
            .await
    }

    async fn wrap(&self, account: &AccountId, method: Method, key: &Rewrapped) -> Result<Wrap, StoreError> {
        self.faults.around(DirectoryVerb::CredentialsWrap, Credentials::wrap(&*self.inner, account, method, key)).await
    }
}

#[async_trait]
impl<D: KnownDevices + ?Sized> KnownDevices for FailingDirectory<D> {
    async fn remember(
        &self,
        account: &AccountId,
        device: &KnownDevice,
        replaces: Option<[u8; 32]>,
        most: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.faults
            .around(
                DirectoryVerb::DevicesRemember,
                KnownDevices::remember(&*self.inner, account, device, replaces, most, now),
            )
            .await
    }

    async fn knows(&self, account: &AccountId, key: [u8; 32], now: Timestamp) -> Result<bool, StoreError> {
        self.faults.around(DirectoryVerb::DevicesKnows, KnownDevices::knows(&*self.inner, account, key, now)).await
    }

    async fn forget_all(&self, account: &AccountId) -> Result<(), StoreError> {
        self.faults.around(DirectoryVerb::DevicesForgetAll, KnownDevices::forget_all(&*self.inner, account)).await
    }
}

#[async_trait]
impl<D: Counters + ?Sized> Counters for FailingDirectory<D> {
    async fn reserve(&self, key: CounterKey, rule: Rule, now: Timestamp) -> Result<Reservation, StoreError> {
        self.faults.around(DirectoryVerb::CountersReserve, Counters::reserve(&*self.inner, key, rule, now)).await
    }

    async fn clear(&self, key: CounterKey) -> Result<bool, StoreError> {
        self.faults.around(DirectoryVerb::CountersClear, Counters::clear(&*self.inner, key)).await
    }

    async fn read(&self, key: CounterKey) -> Result<Counter, StoreError> {
        self.faults.around(DirectoryVerb::CountersRead, Counters::read(&*self.inner, key)).await
    }

    async fn sweep(&self, rule: Rule, now: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.faults.around(DirectoryVerb::CountersSweep, Counters::sweep(&*self.inner, rule, now, most)).await
    }
}

#[async_trait]
impl<D: Invitations + ?Sized> Invitations for FailingDirectory<D> {
    async fn insert(&self, invitation: &Invitation) -> Result<bool, StoreError> {
        self.faults.around(DirectoryVerb::InvitationsInsert, Invitations::insert(&*self.inner, invitation)).await
    }

    async fn find(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        self.faults.around(DirectoryVerb::InvitationsFind, Invitations::find(&*self.inner, key, now)).await
    }

    async fn take(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Invitation>, StoreError> {
        self.faults.around(DirectoryVerb::InvitationsTake, Invitations::take(&*self.inner, key, now)).await
    }

    async fn list(&self, now: Timestamp, most: u32) -> Result<Vec<Invitation>, StoreError> {
        self.faults.around(DirectoryVerb::InvitationsList, Invitations::list(&*self.inner, now, most)).await
    }

    async fn withdraw(&self, key: [u8; 32]) -> Result<bool, StoreError> {
        self.faults.around(DirectoryVerb::InvitationsWithdraw, Invitations::withdraw(&*self.inner, key)).await
    }
}

#[async_trait]
impl<D: ServiceKeys + ?Sized> ServiceKeys for FailingDirectory<D> {
    async fn insert(&self, key: &ServiceKey) -> Result<InsertServiceKey, StoreError> {
        self.faults.around(DirectoryVerb::ServiceKeysInsert, ServiceKeys::insert(&*self.inner, key)).await
    }

    async fn by_key(&self, key: [u8; 32]) -> Result<Option<ServiceKey>, StoreError> {
        self.faults.around(DirectoryVerb::ServiceKeysByKey, ServiceKeys::by_key(&*self.inner, key)).await
    }

    async fn by_name(&self, name: &str) -> Result<Option<ServiceKey>, StoreError> {
        self.faults.around(DirectoryVerb::ServiceKeysByName, ServiceKeys::by_name(&*self.inner, name)).await
    }

    async fn list(&self, most: u32) -> Result<Vec<ServiceKey>, StoreError> {
        self.faults.around(DirectoryVerb::ServiceKeysList, ServiceKeys::list(&*self.inner, most)).await
    }

    async fn revoke(&self, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.faults.around(DirectoryVerb::ServiceKeysRevoke, ServiceKeys::revoke(&*self.inner, name, now)).await
    }
}

#[async_trait]
impl<D: Settings + ?Sized> Settings for FailingDirectory<D> {
    async fn get(&self, name: &str) -> Result<Option<Setting>, StoreError> {
        self.faults.around(DirectoryVerb::SettingsGet, Settings::get(&*self.inner, name)).await
    }

    async fn set(&self, name: &str, value: &[u8], expected: Option<Revision>) -> Result<SetSetting, StoreError> {
        self.faults.around(DirectoryVerb::SettingsSet, Settings::set(&*self.inner, name, value, expected)).await
    }
}

#[async_trait]
impl<D: AuditLog + ?Sized> AuditLog for FailingDirectory<D> {
    async fn append(&self, rows: &[AuditRow]) -> Result<(), StoreError> {
        self.faults.around(DirectoryVerb::AuditAppend, AuditLog::append(&*self.inner, rows)).await
    }

    async fn head(&self, node: &str) -> Result<Option<ChainLink>, StoreError> {
        self.faults.around(DirectoryVerb::AuditHead, AuditLog::head(&*self.inner, node)).await
    }

    async fn nodes(&self) -> Result<Vec<Box<str>>, StoreError> {
        self.faults.around(DirectoryVerb::AuditNodes, AuditLog::nodes(&*self.inner)).await
    }

    async fn chain(&self, node: &str, from: u64, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.faults.around(DirectoryVerb::AuditChain, AuditLog::chain(&*self.inner, node, from, most)).await
    }

    async fn query(&self, query: &AuditQuery) -> Result<(Vec<AuditRow>, Option<u64>), StoreError> {
        self.faults.around(DirectoryVerb::AuditQuery, AuditLog::query(&*self.inner, query)).await
    }
}

#[async_trait]
impl<D: Subjects + ?Sized> Subjects for FailingDirectory<D> {
    async fn standing(&self, subject: &Subject) -> Result<Standing, StoreError> {
        self.faults.around(DirectoryVerb::SubjectsStanding, Subjects::standing(&*self.inner, subject)).await
    }
}

#[cfg(test)]
mod tests;
