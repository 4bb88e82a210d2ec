//! `KnownDevices` (R101).

use std::sync::Arc;

use wayleave_core::ports::{InsertAccount, KnownDevice, KnownDevices};
use wayleave_core::time::Timestamp;

use super::Directory;
use crate::bench::{Bench, Fresh};
use crate::fixtures::{TICK, account, account_id, at, bytes};
use crate::together::together;

fn key(number: u32) -> [u8; 32] {
    bytes("device", number)
}

/// A device that is known until `until`.
fn device(number: u32, until: Timestamp) -> KnownDevice {
    KnownDevice { key: key(number), expires_at: until }
}

async fn with_accounts(bench: &Bench<Directory>) -> Fresh<Directory> {
    let directory = bench.fresh().await;
    for number in 1..=2 {
        assert_eq!(directory.accounts.insert(&account(number)).await.unwrap(), InsertAccount::Done);
    }
    directory
}

/// Remembers a device of account 1.
async fn remember(
    devices: &Arc<dyn KnownDevices>,
    device: KnownDevice,
    replaces: Option<u32>,
    most: u32,
    now: Timestamp,
) {
    devices.remember(&account_id(1), &device, replaces.map(key), most, now).await.unwrap();
}

/// Which of the devices 0 to 9 account 1 knows.
async fn known(devices: &Arc<dyn KnownDevices>, now: Timestamp) -> Vec<u32> {
    let mut known = Vec::new();
    for number in 0..10 {
        if devices.knows(&account_id(1), key(number), now).await.unwrap() {
            known.push(number);
        }
    }
    known
}

pub(super) async fn are_remembered(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let devices = &directory.known_devices;
    assert!(known(devices, at(0)).await.is_empty());
    remember(devices, device(1, at(100)), None, 5, at(0)).await;
    remember(devices, device(2, at(100)), None, 5, at(0)).await;
    assert_eq!(known(devices, at(1)).await, [1, 2]);
    assert!(!devices.knows(&account_id(2), key(1), at(1)).await.unwrap());
}

pub(super) async fn expire(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let devices = &directory.known_devices;
    remember(devices, device(1, at(100)), None, 5, at(0)).await;
    assert_eq!(known(devices, at(100).minus(TICK)).await, [1]);
    assert!(known(devices, at(100)).await.is_empty());
}

pub(super) async fn are_replaced(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let devices = &directory.known_devices;
    remember(devices, device(1, at(100)), None, 5, at(0)).await;
    remember(devices, device(2, at(100)), None, 5, at(1)).await;
    remember(devices, device(3, at(100)), Some(1), 5, at(2)).await;
    assert_eq!(known(devices, at(3)).await, [2, 3]);
    // One to replace that nobody knows.
    remember(devices, device(4, at(100)), Some(1), 5, at(3)).await;
    assert_eq!(known(devices, at(4)).await, [2, 3, 4]);
    // Another account's device is not ours to replace.
    devices.remember(&account_id(2), &device(5, at(100)), Some(key(2)), 5, at(4)).await.unwrap();
    assert_eq!(known(devices, at(5)).await, [2, 3, 4]);
}

pub(super) async fn drop_the_oldest(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let devices = &directory.known_devices;
    devices.remember(&account_id(2), &device(0, at(100)), None, 3, at(0)).await.unwrap();
    for number in 1..=5 {
        remember(devices, device(number, at(100 + i64::from(number))), None, 3, at(number.into())).await;
    }
    assert_eq!(known(devices, at(9)).await, [3, 4, 5]);
    // The replaced one makes room.
    remember(devices, device(6, at(200)), Some(5), 3, at(9)).await;
    assert_eq!(known(devices, at(10)).await, [3, 4, 6]);
    // A limit that was lowered holds at once.
    remember(devices, device(7, at(200)), None, 2, at(10)).await;
    assert_eq!(known(devices, at(11)).await, [6, 7]);
    assert!(devices.knows(&account_id(2), key(0), at(11)).await.unwrap());
}

pub(super) async fn drop_expired_ones_first(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let devices = &directory.known_devices;
    remember(devices, device(1, at(500)), None, 2, at(0)).await;
    remember(devices, device(2, at(50)), None, 2, at(1)).await;
    remember(devices, device(3, at(500)), None, 2, at(50)).await;
    assert_eq!(known(devices, at(51)).await, [1, 3]);
    // Dropped for good: a clock that stepped back does not know it either.
    assert_eq!(known(devices, at(2)).await, [1, 3]);
}

pub(super) async fn are_forgotten_all_at_once(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let devices = &directory.known_devices;
    for number in 1..=3 {
        remember(devices, device(number, at(100)), None, 5, at(0)).await;
    }
    devices.remember(&account_id(2), &device(4, at(100)), None, 5, at(0)).await.unwrap();
    devices.forget_all(&account_id(1)).await.unwrap();
    assert!(known(devices, at(1)).await.is_empty());
    assert!(devices.knows(&account_id(2), key(4), at(1)).await.unwrap());
    devices.forget_all(&account_id(1)).await.unwrap();
}

/// Of ten browsers that sign in at once, as many are known as may be.
pub(super) async fn stay_within_their_limit(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    for _ in bench.rounds() {
        together((0..10).map(|number| {
            let devices = Arc::clone(&directory.known_devices);
            async move { remember(&devices, device(number, at(100)), None, 4, at(0)).await }
        }))
        .await;
        assert_eq!(known(&directory.known_devices, at(1)).await.len(), 4);
        directory.known_devices.forget_all(&account_id(1)).await.unwrap();
    }
}
