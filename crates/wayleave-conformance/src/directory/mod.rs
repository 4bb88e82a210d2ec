//! What every directory must do: each sentence of the documentation of the directory ports as a case, races included.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use wayleave_core::ports::{
    Accounts, AuditLog, Clock, Counters, Credentials, Invitations, KnownDevices, ServiceKeys, Settings, Subjects,
};
use wayleave_core::time::Timestamp;

use crate::bench::{Bench, Case, Fresh, Races, run_all};
use crate::macros::case_table;

mod accounts;
mod audit_log;
mod counters;
mod credentials;
mod invitations;
mod known_devices;
mod service_keys;
mod settings;
mod subjects;

/// The directory ports under test, each fresh and empty.
///
/// An implementation of a few ports takes the others from somewhere else: [`crate::directory_suite!`] then tests both,
/// and [`suite_of`] tests one port alone. Cases of credentials, known devices, invitations and subjects put the
/// accounts and service keys that they refer to in first, so an implementation may insist that those exist.
#[derive(Clone)]
pub struct Directory {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Credentials of those accounts.
    pub credentials: Arc<dyn Credentials>,
    /// Devices that know those accounts.
    pub known_devices: Arc<dyn KnownDevices>,
    /// Settings.
    pub settings: Arc<dyn Settings>,
    /// Counters of failed attempts.
    pub counters: Arc<dyn Counters>,
    /// Invitations.
    pub invitations: Arc<dyn Invitations>,
    /// Service keys.
    pub service_keys: Arc<dyn ServiceKeys>,
    /// The audit log.
    pub audit_log: Arc<dyn AuditLog>,
    /// How the subjects of those accounts and service keys stand.
    pub subjects: Arc<dyn Subjects>,
    /// The clock that `subjects` goes by.
    pub clock: Arc<ManualClock>,
}

impl Directory {
    /// One implementation of all ports, which goes by `clock`.
    #[must_use]
    pub fn of<D>(directory: Arc<D>, clock: Arc<ManualClock>) -> Self
    where
        D: Accounts
            + Credentials
            + KnownDevices
            + Settings
            + Counters
            + Invitations
            + ServiceKeys
            + AuditLog
            + Subjects
            + 'static,
    {
        Self {
            accounts: directory.clone(),
            credentials: directory.clone(),
            known_devices: directory.clone(),
            settings: directory.clone(),
            counters: directory.clone(),
            invitations: directory.clone(),
            service_keys: directory.clone(),
            audit_log: directory.clone(),
            subjects: directory,
            clock,
        }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_millis()))
    }

    /// Sets it.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A directory port.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// [`Accounts`].
    Accounts,
    /// [`Credentials`].
    Credentials,
    /// [`KnownDevices`].
    KnownDevices,
    /// [`Settings`].
    Settings,
    /// [`Counters`].
    Counters,
    /// [`Invitations`].
    Invitations,
    /// [`ServiceKeys`].
    ServiceKeys,
    /// [`AuditLog`].
    AuditLog,
    /// [`Subjects`].
    Subjects,
}

impl Port {
    /// The group of its cases.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Credentials => "credentials",
            Self::KnownDevices => "known_devices",
            Self::Settings => "settings",
            Self::Counters => "counters",
            Self::Invitations => "invitations",
            Self::ServiceKeys => "service_keys",
            Self::AuditLog => "audit_log",
            Self::Subjects => "subjects",
        }
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __directory_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            accounts {
                are_found_by_id_and_address,
                are_never_overwritten,
                change_by_revision,
                keep_id_birth_and_epoch,
                move_to_a_free_address,
                are_listed_in_the_order_of_their_ids,
                are_searched_by_address_and_name,
                are_searched_literally,
                hold_permissions_while_they_are_enabled,
                are_counted,
                of_one_address_are_inserted_once,
                of_one_id_are_inserted_once,
                change_once_per_revision,
                take_one_address_once,
            }
            credentials {
                are_set_replaced_and_removed,
                are_kept_apart,
                hold_any_bytes,
                are_rewritten_as_long_as_nobody_sets_them,
                are_rewritten_under_account_and_method,
                set_meanwhile_are_not_rewritten,
                are_rewritten_or_removed,
                are_exchanged_for_the_one_in_force,
                are_exchanged_by_one_of_many,
                supersede_those_of_another_method,
                are_superseded_in_one_step,
                keep_a_wrapped_key_beside_them,
                are_exchanged_with_the_key_beside_them,
                are_wrapped_beside_by_one_of_many,
            }
            known_devices {
                are_remembered,
                expire,
                are_replaced,
                drop_the_oldest,
                drop_expired_ones_first,
                are_forgotten_all_at_once,
                stay_within_their_limit,
            }
            settings {
                are_set_by_revision,
                are_kept_apart,
                hold_any_bytes,
                change_once_per_revision,
                are_created_once,
            }
            counters {
                count_as_the_rule_says,
                are_kept_apart,
                are_cleared,
                are_swept_when_they_say_nothing,
                grant_no_more_than_the_limit,
            }
            invitations {
                are_taken_once,
                are_void_from_their_expiry_on,
                are_never_overwritten,
                are_listed_newest_first,
                are_withdrawn,
                are_taken_by_one_of_many,
                are_taken_or_withdrawn,
            }
            service_keys {
                are_found_by_secret_and_name,
                never_share_a_name_or_secret,
                are_listed_by_name,
                are_revoked_once,
                of_one_name_are_inserted_once,
                are_revoked_by_one_of_many,
            }
            audit_log {
                gives_back_what_was_appended,
                appends_all_or_none,
                refuses_a_detail_that_is_too_long,
                keeps_a_chain_for_each_node,
                reads_chains_in_pieces,
                gives_the_newest_rows_first,
                filters_rows,
                pages_over_filtered_rows,
                is_appended_to_once_per_sequence,
            }
            subjects {
                of_accounts_stand_as_their_account,
                of_services_stand_as_their_key,
                of_services_end_with_their_key,
                that_do_not_exist_are_not_active,
                of_wallets_and_proofs_are_active,
            }
        }
    };
}

const CASES: &[Case<Directory>] = crate::__directory_cases!([case_table]);

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Directory>] {
    CASES
}

/// Runs every case of every port, each on a fresh directory.
///
/// # Panics
/// When any fails, naming those that failed.
pub async fn suite<M, F, R>(make: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Directory>>,
{
    run_all(CASES.iter(), Bench::new(make, Races::QUICK)).await;
}

/// Runs every case of one port, its races as often as `races` says.
///
/// # Panics
/// When any fails, naming those that failed.
pub async fn suite_of<M, F, R>(port: Port, make: M, races: Races)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Directory>>,
{
    run_all(CASES.iter().filter(|case| case.group == port.group()), Bench::new(make, races)).await;
}
