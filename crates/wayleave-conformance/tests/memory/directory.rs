//! `MemoryDirectory` passes every case, and refuses what would pass its limits.

use std::sync::Arc;
use std::time::Duration;

use wayleave_conformance::directory::{Directory, ManualClock, Port, suite_of};
use wayleave_conformance::fixtures::{BASE, account, account_id, at, audit_row, bytes, permissions, service_key};
use wayleave_conformance::{Races, directory_suite};
use wayleave_core::authentication::Method;
use wayleave_core::lockout::Rule;
use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
use wayleave_core::ports::{
    AuditRow, CounterKey, Credential, InsertAccount, InsertServiceKey, Invitation, KnownDevice, MAX_AUDIT_DETAIL,
    SetSetting, StoreError,
};

fn with_limits(limits: DirectoryLimits) -> Directory {
    let clock = Arc::new(ManualClock::new(BASE));
    Directory::of(Arc::new(MemoryDirectory::new(limits, clock.clone())), clock)
}

async fn fresh() -> Directory {
    with_limits(DirectoryLimits::default())
}

mod conformance {
    use super::{directory_suite, fresh};

    directory_suite!(fresh);
}

/// R102: at length, what every run does briefly.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_grant_no_more_than_the_limit_at_length() {
    suite_of(Port::Counters, fresh, Races::DEEP).await;
}

fn smallest() -> Directory {
    with_limits(DirectoryLimits {
        accounts: 1,
        devices_per_account: 1,
        settings: 1,
        setting_bytes: 8,
        counters: 1,
        invitations: 1,
        service_keys: 1,
        audit_rows: 2,
    })
}

fn assert_full<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Full)), "{outcome:?}");
}

#[tokio::test]
async fn accounts_and_what_belongs_to_them_are_bounded() {
    let directory = smallest();
    assert_eq!(directory.accounts.insert(&account(1)).await.unwrap(), InsertAccount::Done);
    assert_full(directory.accounts.insert(&account(2)).await);
    assert_eq!(directory.accounts.insert(&account(1)).await.unwrap(), InsertAccount::Exists);
    let credential = Credential { secret: Box::new(*b"secret"), changed_at: BASE };
    for method in Method::ALL {
        directory.credentials.set(&account_id(1), method, &credential).await.unwrap();
    }
    assert_full(directory.credentials.set(&account_id(2), Method::Password, &credential).await);
    directory.credentials.set(&account_id(1), Method::Password, &credential).await.unwrap();
    let device = |number| KnownDevice { key: bytes("device", number), expires_at: at(100) };
    for number in 1..=2 {
        directory.known_devices.remember(&account_id(1), &device(number), None, 10, BASE).await.unwrap();
    }
    assert!(!directory.known_devices.knows(&account_id(1), device(1).key, BASE).await.unwrap());
    assert!(directory.known_devices.knows(&account_id(1), device(2).key, BASE).await.unwrap());
    assert_full(directory.known_devices.remember(&account_id(2), &device(3), None, 10, BASE).await);
}

#[tokio::test]
async fn settings_are_bounded_in_number_and_size() {
    let settings = smallest().settings;
    assert_full(settings.set("name", b"12345", None).await);
    let SetSetting::Done(revision) = settings.set("name", b"1234", None).await.unwrap() else {
        panic!("not set");
    };
    assert_full(settings.set("more", b"1", None).await);
    assert!(matches!(settings.set("name", b"4321", Some(revision)).await.unwrap(), SetSetting::Done(_)));
}

/// A flood of identifiers fills the counters and opens nothing: whoever is not counted is not let in.
#[tokio::test]
async fn counters_are_bounded_and_fail_closed() {
    let counters = smallest().counters;
    let rule = Rule { attempts: 5, window: Duration::from_secs(60), lock: Duration::from_secs(60) };
    let key = |number| CounterKey(bytes("counter", number));
    counters.reserve(key(1), rule, at(0)).await.unwrap();
    assert_full(counters.reserve(key(2), rule, at(59)).await);
    counters.reserve(key(1), rule, at(59)).await.unwrap();
    // What says nothing any more makes room.
    counters.reserve(key(2), rule, at(60)).await.unwrap();
    assert_eq!(counters.read(key(1)).await.unwrap().count, 0);
}

/// Who finds the table full looks at a part of it, so that a flood does not make every sign-in go through all of
/// it; the sweep goes through the rest.
#[tokio::test]
async fn a_full_table_of_counters_is_looked_at_in_parts() {
    const HELD: u32 = 10_000;
    let limits = DirectoryLimits { counters: usize::try_from(HELD).unwrap(), ..DirectoryLimits::default() };
    let counters = with_limits(limits).counters;
    let rule = Rule { attempts: 5, window: Duration::from_secs(60), lock: Duration::from_secs(60) };
    let key = |number| CounterKey(bytes("counter", number));
    for number in 0..HELD {
        counters.reserve(key(number), rule, at(0)).await.unwrap();
    }
    counters.reserve(key(HELD), rule, at(60)).await.unwrap();
    assert_eq!(counters.sweep(rule, at(60), 100).await.unwrap(), 100);
    let left = counters.sweep(rule, at(60), u32::MAX).await.unwrap();
    assert!((HELD - 2000..HELD).contains(&left), "{left}");
    assert_eq!(counters.sweep(rule, at(60), u32::MAX).await.unwrap(), 0);
    assert_eq!(counters.read(key(HELD)).await.unwrap().count, 1);
}

#[tokio::test]
async fn invitations_and_service_keys_are_bounded() {
    let directory = smallest();
    let invitation = |number, created| Invitation {
        key: bytes("invitation", number),
        email: None,
        permissions: permissions(&[]),
        created_by: None,
        created_at: at(created),
        expires_at: at(created + 60),
    };
    assert!(directory.invitations.insert(&invitation(1, 0)).await.unwrap());
    assert_full(directory.invitations.insert(&invitation(2, 59)).await);
    assert!(directory.invitations.insert(&invitation(2, 60)).await.unwrap());
    assert_eq!(directory.service_keys.insert(&service_key("a")).await.unwrap(), InsertServiceKey::Done);
    assert_full(directory.service_keys.insert(&service_key("b")).await);
}

/// Nothing is dropped to make room for a row.
#[tokio::test]
async fn the_audit_log_is_bounded_and_drops_nothing() {
    let log = smallest().audit_log;
    log.append(&[audit_row("a", 1)]).await.unwrap();
    assert_full(log.append(&[audit_row("a", 2), audit_row("a", 3)]).await);
    let long = AuditRow { detail: Some("x".repeat(MAX_AUDIT_DETAIL + 1).into()), ..audit_row("a", 2) };
    assert!(log.append(&[long]).await.is_err());
    assert!(log.append(&[audit_row("b", 1), audit_row("c", 1)]).await.is_err(), "of two nodes, and too many");
    assert_eq!(log.chain("a", 1, 10).await.unwrap(), [audit_row("a", 1)]);
    log.append(&[audit_row("b", 1)]).await.unwrap();
    assert_full(log.append(&[audit_row("a", 2)]).await);
    assert_eq!(log.chain("a", 1, 10).await.unwrap(), [audit_row("a", 1)]);
}

#[tokio::test]
async fn one_append_is_of_one_node() {
    let log = fresh().await.audit_log;
    assert!(log.append(&[audit_row("a", 1), audit_row("b", 1)]).await.is_err());
    assert_eq!(log.nodes().await.unwrap(), []);
}
