//! Ends: by deletion and by time, and that nothing comes back from either.

use std::time::Duration;

use wayleave::kv::{SaveError, SessionData};

use super::Kv;
use super::saving::{HOUR, data, is_there, load};
use crate::bench::Bench;

pub(super) async fn deletes(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    kv.store.save("two", data(&[("a", "2")])).await.unwrap();
    kv.store.delete("one").await.unwrap();
    assert!(!is_there(&kv, "one").await);
    kv.store.delete("one").await.unwrap();
    assert_eq!(load(&kv, "two").await.get("a"), Some("2"));
}

/// A request that was under way when its session was deleted saves in vain.
pub(super) async fn a_save_after_a_delete_brings_nothing_back(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    let mut held = load(&kv, "one").await;
    kv.store.delete("one").await.unwrap();
    held.set("a", "2");
    let late = kv.store.save("one", held).await;
    assert!(matches!(late, Err(SaveError::Gone)), "{late:?}");
    assert!(!is_there(&kv, "one").await);
}

/// Nor does one whose interface knows no revisions, and for which everything that it saves is new.
pub(super) async fn new_data_under_a_deleted_id_is_refused(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    kv.store.delete("one").await.unwrap();
    let late = kv.store.save("one", data(&[("a", "2")])).await;
    assert!(matches!(late, Err(SaveError::Gone)), "{late:?}");
    assert!(!is_there(&kv, "one").await);
}

/// R013: by the store's own reckoning, whether or not anybody cleaned up.
pub(super) async fn an_expired_one_is_gone(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let short = SessionData::new(Duration::from_millis(150));
    kv.store.save("one", short.clone()).await.unwrap();
    while !short.is_expired() {
        tokio::task::yield_now().await;
    }
    assert!(!is_there(&kv, "one").await);
}

pub(super) async fn saving_expired_data_deletes(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    let mut held = load(&kv, "one").await;
    held.extend_at(Duration::ZERO, held.created_at());
    kv.store.save("one", held).await.unwrap();
    assert!(!is_there(&kv, "one").await);
    kv.store.save("two", SessionData::new(Duration::ZERO)).await.unwrap();
    assert!(!is_there(&kv, "two").await);
}

pub(super) async fn a_longer_life_lasts(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let mut short = SessionData::new(Duration::from_millis(200));
    kv.store.save("one", short.clone()).await.unwrap();
    let mut held = load(&kv, "one").await;
    held.extend(HOUR);
    let end = held.expires_at();
    kv.store.save("one", held).await.unwrap();
    short.extend_at(Duration::from_millis(250), short.created_at());
    while !short.is_expired() {
        tokio::task::yield_now().await;
    }
    assert_eq!(load(&kv, "one").await.expires_at(), end);
}

pub(super) async fn cleaning_up_spares_the_living(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    kv.store.save("two", data(&[])).await.unwrap();
    kv.store.delete("two").await.unwrap();
    kv.store.cleanup_expired().await.unwrap();
    assert!(is_there(&kv, "one").await);
    assert!(!is_there(&kv, "two").await);
}
