//! All directory ports in process memory: for tests, examples and deployments that keep nothing across a restart.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::authentication::Method;
use crate::lockout::Counter;
use crate::ports::{
    Account, AccountId, AuditRow, Clock, CounterKey, Credential, EmailAddress, Invitation, KnownDevice, ServiceKey,
    Setting, StoreError, WrappedKey,
};

mod access;
mod accounts;
mod audit;
mod settings;
mod subjects;

/// How much a [`MemoryDirectory`] holds at most. What would pass a limit is answered with [`StoreError::Full`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DirectoryLimits {
    /// Accounts; also accounts with known devices, and accounts with credentials for each method.
    pub accounts: usize,
    /// Known devices of one account, whatever a caller asks for.
    pub devices_per_account: usize,
    /// Settings.
    pub settings: usize,
    /// Bytes of one setting's name and value together.
    pub setting_bytes: usize,
    /// Counters. When they are full, one more makes room only if it finds some that say nothing any more among a
    /// thousand or so; [`Counters::sweep`](crate::ports::Counters::sweep) finds all of them.
    pub counters: usize,
    /// Invitations. Expired ones are dropped before this is reached.
    pub invitations: usize,
    /// Service keys, revoked ones included.
    pub service_keys: usize,
    /// Audit rows of all nodes together.
    pub audit_rows: usize,
}

impl Default for DirectoryLimits {
    fn default() -> Self {
        Self {
            accounts: 100_000,
            devices_per_account: 100,
            settings: 1_000,
            setting_bytes: 64 * 1024,
            counters: 1_000_000,
            invitations: 10_000,
            service_keys: 1_000,
            audit_rows: 1_000_000,
        }
    }
}

/// Accounts, credentials, known devices, settings, counters, invitations, service keys and audit rows behind one lock.
///
/// Implements every directory port of [`crate::ports`]. Each operation is one critical section, so all of them are
/// atomic; none of them waits for anything but that lock.
pub struct MemoryDirectory {
    state: Mutex<State>,
    limits: DirectoryLimits,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<AccountId, Account>,
    emails: BTreeMap<EmailAddress, AccountId>,
    credentials: BTreeMap<(AccountId, &'static str), (Credential, Option<WrappedKey>)>,
    // In the order in which they were remembered.
    devices: BTreeMap<AccountId, Vec<KnownDevice>>,
    settings: BTreeMap<Box<str>, Setting>,
    counters: BTreeMap<CounterKey, Counter>,
    /// Where the next look for counters that can go begins.
    counters_from: CounterKey,
    invitations: BTreeMap<[u8; 32], Invitation>,
    service_keys: BTreeMap<Box<str>, ServiceKey>,
    service_names: BTreeMap<[u8; 32], Box<str>>,
    // In the order in which they were appended; `chains` leads from node and sequence to the index.
    audit: Vec<AuditRow>,
    chains: BTreeMap<Box<str>, BTreeMap<u64, usize>>,
}

impl MemoryDirectory {
    /// An empty directory. `clock` judges only whether service keys have expired.
    #[must_use]
    pub fn new(limits: DirectoryLimits, clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::new(State::default()), limits, clock }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl fmt::Debug for MemoryDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDirectory").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Most credentials that `accounts` accounts can have.
fn most_credentials(accounts: usize) -> usize {
    accounts.saturating_mul(Method::ALL.len())
}

/// Refuses one more where there are `held` already.
fn room(held: usize, most: usize) -> Result<(), StoreError> {
    if held < most { Ok(()) } else { Err(StoreError::Full) }
}

/// The page size that a caller asked for, within 1 to 1000.
fn page(most: u32) -> usize {
    usize::try_from(most.clamp(1, 1000)).unwrap_or(1000)
}
