//! Data that cannot be read: of another version, or damaged.

use wayleave::kv::OnUndecodable;
use wayleave_core::ports::StoreError;

use super::Kv;
use super::saving::{data, is_there, load};
use crate::bench::Bench;

pub(super) async fn follows_the_policy(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let Some(damage) = kv.damage.clone() else { return };
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    (damage.damage)().await;
    kv.store.save("two", data(&[("a", "2")])).await.unwrap();
    match damage.policy {
        OnUndecodable::Refuse => {
            let refused = kv.store.load("one").await;
            assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
        }
        OnUndecodable::Drop => {
            assert!(!is_there(&kv, "one").await);
            // It is away, so the id is free for whoever knows it.
            kv.store.save("one", data(&[("a", "3")])).await.unwrap();
            assert_eq!(load(&kv, "one").await.get("a"), Some("3"));
        }
        OnUndecodable::KeepAside => {
            assert!(!is_there(&kv, "one").await);
            assert!(kv.store.save("one", data(&[("a", "3")])).await.is_err(), "what is kept aside is not overwritten");
        }
    }
    assert_eq!(load(&kv, "two").await.get("a"), Some("2"), "others are not touched");
    kv.store.delete("one").await.unwrap();
    assert!(!is_there(&kv, "one").await);
}
