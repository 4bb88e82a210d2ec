//! `Settings`.

use std::sync::Arc;

use wayleave_core::ports::{SetSetting, Setting, Settings};
use wayleave_core::record::Revision;

use super::Directory;
use crate::bench::Bench;
use crate::together::together;

const CONTENDERS: u8 = 20;

async fn set(settings: &Arc<dyn Settings>, name: &str, value: &[u8], expected: Option<Revision>) -> SetSetting {
    settings.set(name, value, expected).await.unwrap()
}

/// Sets what is expected to go in.
async fn put(settings: &Arc<dyn Settings>, name: &str, value: &[u8], expected: Option<Revision>) -> Revision {
    let SetSetting::Done(revision) = set(settings, name, value, expected).await else {
        panic!("{name} was not set");
    };
    assert_eq!(settings.get(name).await.unwrap(), Some(Setting { value: value.into(), revision }));
    revision
}

pub(super) async fn are_set_by_revision(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let settings = &fresh.settings;
    assert_eq!(settings.get("timeout").await.unwrap(), None);
    for absent in [Revision(0), Revision(1)] {
        assert_eq!(set(settings, "timeout", b"5", Some(absent)).await, SetSetting::Conflict);
        assert_eq!(settings.get("timeout").await.unwrap(), None);
    }
    let first = put(settings, "timeout", b"30", None).await;
    assert_eq!(set(settings, "timeout", b"5", None).await, SetSetting::Conflict);
    let second = put(settings, "timeout", b"60", Some(first)).await;
    assert!(second > first, "the revision does not grow");
    for wrong in [None, Some(first), Some(second.next()), Some(Revision(0))] {
        assert_eq!(set(settings, "timeout", b"5", wrong).await, SetSetting::Conflict, "{wrong:?}");
    }
    let held = Setting { value: Box::new(*b"60"), revision: second };
    assert_eq!(settings.get("timeout").await.unwrap(), Some(held));
}

pub(super) async fn are_kept_apart(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let settings = &fresh.settings;
    let names = ["keys", "Keys", "keys ", "keys/1", "key%", "keys.signing"];
    for name in names {
        assert_eq!(settings.get(name).await.unwrap(), None, "{name:?}");
        put(settings, name, name.as_bytes(), None).await;
    }
    for name in names {
        let held = settings.get(name).await.unwrap().unwrap();
        assert_eq!(&*held.value, name.as_bytes());
    }
}

pub(super) async fn hold_any_bytes(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let settings = &fresh.settings;
    let mut revision = put(settings, "document", b"", None).await;
    for value in [(0..=255).collect(), vec![0; 16 * 1024], Vec::new(), vec![0xff, 0xfe, 0]] {
        revision = put(settings, "document", &value, Some(revision)).await;
    }
}

async fn set_together(settings: &Arc<dyn Settings>, name: &str, expected: Option<Revision>) -> (Vec<u8>, Revision) {
    let outcomes = together((0..CONTENDERS).map(|value| {
        let (settings, name) = (Arc::clone(settings), name.to_owned());
        async move { (value, set(&settings, &name, &[value], expected).await) }
    }))
    .await;
    let won: Vec<_> = outcomes
        .into_iter()
        .filter_map(|(value, outcome)| match outcome {
            SetSetting::Done(revision) => Some((vec![value], revision)),
            SetSetting::Conflict => None,
        })
        .collect();
    let [winner] = &won[..] else {
        panic!("{} of {CONTENDERS} changes of one revision were made", won.len());
    };
    winner.clone()
}

pub(super) async fn change_once_per_revision(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let settings = &fresh.settings;
    let mut held = put(settings, "contested", b"", None).await;
    for _ in bench.rounds() {
        let (value, revision) = set_together(settings, "contested", Some(held)).await;
        assert_eq!(settings.get("contested").await.unwrap(), Some(Setting { value: value.into(), revision }));
        held = revision;
    }
}

pub(super) async fn are_created_once(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let settings = &fresh.settings;
    for round in bench.rounds() {
        let name = format!("new {round}");
        let (value, revision) = set_together(settings, &name, None).await;
        assert_eq!(settings.get(&name).await.unwrap(), Some(Setting { value: value.into(), revision }));
    }
}
