//! The key-value suite over every store that keeps sessions.

use std::sync::Arc;
use std::time::Duration;

use wayleave::kv::{
    InMemorySessionStore, OnUndecodable, RecordRevocations, RecordSessions, RecordSessionsOptions, Revocations,
};
use wayleave::{SystemClock, SystemEntropy};
use wayleave_conformance::Races;
use wayleave_conformance::kv::{self, Damage, Kv, Stateless};
use wayleave_core::entries::Entries;
use wayleave_core::memory::MemoryStore;
use wayleave_core::ports::{Listing, SessionStore as Records, Update};
use wayleave_core::record::Record;
use wayleave_core::routing::RoutingKey;
use wayleave_core::seal::{KeyId, KeyRing, SealingKey};
use wayleave_sqlite::{Options, SqliteStore};
use wayleave_web::{CookieSessionStore, SessionConfig};

fn over(records: Arc<dyn Records>, policy: OnUndecodable) -> Kv {
    let options = RecordSessionsOptions { on_undecodable: policy, ..RecordSessionsOptions::default() };
    let clock = Arc::new(SystemClock);
    let store = RecordSessions::new(Arc::clone(&records), clock, RoutingKey::new([7; 16]), options);
    let damage = Arc::new(move || -> wayleave_conformance::Running<()> {
        let records = Arc::clone(&records);
        Box::pin(async move { damage(&*records).await })
    });
    Kv { store: Arc::new(store), damage: Some(Damage { policy, damage }) }
}

/// Writes what no version of ours wrote.
async fn damage(records: &dyn Records) {
    let page = records.list(&Listing { subject: None, after: None, most: 100 }).await.unwrap();
    for record in page.records {
        let mut context = Entries::new();
        context.set("kv", b"\x63nothing of ours").unwrap();
        let damaged = Record { context, ..(*record).clone() };
        assert!(matches!(records.update(&damaged, record.revision).await.unwrap(), Update::Done(_)));
    }
}

async fn sqlite(policy: OnUndecodable) -> (Kv, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ring = KeyRing::new(SealingKey::new(KeyId(1), [7; 32]), []).unwrap();
    let options = Options::new(Arc::new(ring), Arc::new(SystemEntropy), Arc::new(SystemClock));
    let records = SqliteStore::open(folder.path().join("sessions.db"), options).await.unwrap();
    (over(Arc::new(records), policy), folder)
}

async fn in_memory() -> Kv {
    Kv::of(InMemorySessionStore::new(Duration::from_secs(3600)))
}

mod memory {
    use super::in_memory;

    wayleave_conformance::kv_suite!(in_memory);
}

mod memory_that_refuses {
    use super::*;

    async fn fresh() -> Kv {
        over(Arc::new(MemoryStore::default()), OnUndecodable::Refuse)
    }

    wayleave_conformance::kv_suite!(fresh);
}

mod sqlite_that_drops {
    use super::*;

    async fn fresh() -> (Kv, tempfile::TempDir) {
        sqlite(OnUndecodable::Drop).await
    }

    wayleave_conformance::kv_suite!(fresh);
}

mod sqlite_that_keeps_aside {
    use super::*;

    async fn fresh() -> (Kv, tempfile::TempDir) {
        sqlite(OnUndecodable::KeepAside).await
    }

    wayleave_conformance::kv_suite!(fresh);
}

mod sealed {
    use super::*;

    async fn fresh() -> Stateless {
        sealing(None)
    }

    wayleave_conformance::stateless_suite!(fresh);
}

mod sealed_and_revocable {
    use super::*;

    async fn fresh() -> Stateless {
        let records = Arc::new(MemoryStore::default());
        let (clock, options) = (Arc::new(SystemClock), RecordSessionsOptions::default());
        let records = RecordSessions::new(records, clock.clone(), RoutingKey::new([7; 16]), options);
        sealing(Some(Arc::new(RecordRevocations::new(records, clock))))
    }

    wayleave_conformance::stateless_suite!(fresh);
}

fn sealing(revocations: Option<Arc<dyn Revocations>>) -> Stateless {
    let cookie = SessionConfig::default().cookie().unwrap();
    let store = CookieSessionStore::with_keys(&crate::client::keys(&[1]), cookie).unwrap();
    let store = Arc::new(match revocations {
        Some(revocations) => store.with_revocations(revocations),
        None => store,
    });
    let sealing = Arc::clone(&store);
    Stateless { seal: Arc::new(move |data| sealing.encrypt(data)), store }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn races_at_length() {
    kv::race(in_memory, Races::DEEP).await;
    kv::race(|| sqlite(OnUndecodable::Drop), Races::DEEP).await;
}

/// R002: ids are kept as hashes; neither they nor any value can be read out of the file.
#[tokio::test]
async fn the_file_shows_neither_ids_nor_values() {
    let (kv, folder) = sqlite(OnUndecodable::Drop).await;
    let mut data = wayleave::kv::SessionData::new(Duration::from_secs(60));
    data.set("canary-key", "canary-value");
    kv.store.save("canary-id", data).await.unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        seen += bytes.len();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
    assert!(seen > 4096, "nothing was written");
}
