//! How much memory a session takes in the server.

use std::sync::Arc;

use tokio::task::JoinSet;
use wayleave_conformance::fixtures::{BASE, DAY, at, fingerprint, permissions, person, record, refresh_key, rotation};
use wayleave_core::ports::{Insert, Rotate, SessionStore};
use wayleave_core::record::{Client, Record};
use wayleave_redis::{RedisStore, Servers};
use wayleave_testkit::servers::redis::Redis;

use crate::options;

const SESSIONS: u32 = 100_000;

/// A cookie session as a browser's sign-in makes it.
fn realistic(number: u32) -> Record {
    Record {
        permissions: permissions(&["read:profile", "write:profile", "read:messages", "write:messages", "read:files"]),
        idle_expires_at: Some(BASE.plus(DAY)),
        client: Client {
            label: Some("Firefox 139 on Linux".into()),
            network: Some("203.0.113.0/24".into()),
            fingerprint: Some(fingerprint(number)),
        },
        ..record(number).of(&person(number)).kind("web").build()
    }
}

fn used(server: &Redis) -> u64 {
    let info = server.node().cli(&["INFO", "memory"]).unwrap();
    let used = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    used.unwrap().parse().unwrap()
}

/// With a refresh token, one session each of so many people: as it is opened, and after its first exchange, whose pair is
/// erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: run by `cargo xtask test --deep`"]
async fn a_session_takes_so_much_memory() {
    let server = Redis::private(&[]).unwrap();
    let store = Arc::new(RedisStore::open(options(Servers::single(server.url()))).await.unwrap());
    let before = used(&server);
    let mut tasks = JoinSet::new();
    for worker in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in (worker..SESSIONS).step_by(50) {
                let outcome = store.insert(&realistic(number), None, None, BASE).await.unwrap();
                assert!(matches!(outcome, Insert::Done { .. }));
            }
        });
    }
    tasks.join_all().await;
    let opened = used(&server);
    let mut tasks = JoinSet::new();
    for worker in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for number in (worker..SESSIONS).step_by(50) {
                let exchange = rotation(refresh_key(&realistic(number)), SESSIONS + number, at(60));
                assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
            }
        });
    }
    tasks.join_all().await;
    while store.erase_pairs(at(120), 1_000).await.unwrap() > 0 {}
    let per_session = |bytes: u64| bytes / u64::from(SESSIONS);
    let (opened, spent) = (per_session(opened - before), per_session(used(&server) - opened));
    eprintln!("bytes of a session: {opened}; of its first exchange: {spent}");
    assert!(opened < 2_500 && spent < 800, "{opened} {spent}");
}
