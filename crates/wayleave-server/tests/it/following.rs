//! What other processes write to the store, and what memory does when the store does not say.

use std::sync::Arc;

use wayleave::{SystemClock, SystemEntropy};
use wayleave_server::assembly::{Ambient, Backend};
use wayleave_server::changes::{Watch, follow};
use wayleave_server::config::Config;
use wayleave_server::secrets;
use wayleave_testkit::StoreVerb;

use crate::people::ANN;
use crate::world::World;

async fn backend(folder: &std::path::Path) -> Backend {
    let config = Config::with_defaults(folder.to_owned());
    let ambient = Ambient { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) };
    let keys = secrets::open(&config, &*ambient.entropy).unwrap().keys;
    Backend::open(&config, &keys, &ambient).await.unwrap()
}

/// A77: memory answers while the store says that nobody else wrote to it. When the store does not say, memory answers
/// nothing: somebody may have ended what it holds.
#[tokio::test]
async fn memory_stands_aside_while_the_store_is_silent() {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    let mut ann = world.signed_in(ANN).await;
    let folder = tempfile::tempdir().unwrap();
    let (watched, other) = (backend(folder.path()).await, backend(folder.path()).await);
    let mut watch = Watch::start(watched.clone()).await.unwrap();
    let asked = async |ann: &mut crate::world::Client<'_>| {
        let store = world.store.as_ref().unwrap().faults();
        store.reset();
        ann.get("/api/auth/session").await.assert_status(200);
        store.calls_of(StoreVerb::Find)
    };
    follow(&world.app, &mut watch).await.unwrap();
    assert_eq!(asked(&mut ann).await, 0, "nobody wrote");
    let _ = other.directory.settings.set("written-elsewhere", b"{}", None).await.unwrap();
    follow(&world.app, &mut watch).await.unwrap();
    assert_eq!(asked(&mut ann).await, 1, "somebody wrote");
    follow(&world.app, &mut watch).await.unwrap();
    assert_eq!(asked(&mut ann).await, 0);
    watched.close().await;
    for _ in 0..2 {
        assert!(follow(&world.app, &mut watch).await.is_err());
        assert_eq!(asked(&mut ann).await, 1, "it does not say");
    }
}
