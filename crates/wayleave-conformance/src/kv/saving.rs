//! `load`, `save` and `update`: what is kept is what was given, and nothing is overwritten unseen.

use std::convert::Infallible;
use std::time::Duration;

use wayleave::kv::{SaveError, SessionData, TooLarge, update};
use wayleave_core::authentication::{Authentication, Level, Method, Methods};

use super::Kv;
use crate::bench::Bench;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn data(pairs: &[(&str, &str)]) -> SessionData {
    let mut data = SessionData::new(HOUR);
    for (key, value) in pairs {
        data.set(*key, *value);
    }
    data
}

pub(super) async fn load(kv: &Kv, id: &str) -> SessionData {
    kv.store.load(id).await.unwrap().expect("a session")
}

pub(super) async fn is_there(kv: &Kv, id: &str) -> bool {
    kv.store.load(id).await.unwrap().is_some()
}

pub(super) async fn gives_back_what_was_saved(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let mut saved =
        data(&[("user_id", "123"), ("role", "admin"), ("empty", ""), ("text", "gr\u{fc}n \u{2603} \"\\ \0")]);
    saved.set_schema(7);
    saved.set_principal(Some(wayleave::kv::Principal {
        subject: "user:123".parse().unwrap(),
        permissions: wayleave_core::permission::Permissions::new(["read:profile"]).unwrap(),
        authentication: Authentication {
            methods: Methods::only(Method::Password),
            at: saved.created_at(),
            level: Level::ONE,
        },
        epoch: 1,
        generation: 2,
        remembered: true,
    }));
    kv.store.save("one", saved.clone()).await.unwrap();
    let held = load(&kv, "one").await;
    assert!(held.revision().is_some(), "what is in a store has a revision");
    assert_eq!(held.at_revision(None), saved);
}

pub(super) async fn knows_no_other_id(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    for other in ["", "One", "one ", "on", "one\0", "two"] {
        assert!(!is_there(&kv, other).await, "{other:?}");
        kv.store.delete(other).await.unwrap();
    }
    assert!(is_there(&kv, "one").await);
}

pub(super) async fn new_data_replaces_nothing(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    let second = kv.store.save("one", data(&[("a", "2")])).await;
    assert!(matches!(second, Err(SaveError::Conflict)), "{second:?}");
    assert_eq!(load(&kv, "one").await.get("a"), Some("1"));
}

pub(super) async fn what_was_read_replaces_what_it_was_read_from(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1"), ("b", "2")])).await.unwrap();
    for round in 0..3 {
        let mut held = load(&kv, "one").await;
        held.remove("b");
        held.set("a", format!("round {round}"));
        kv.store.save("one", held).await.unwrap();
    }
    let held = load(&kv, "one").await;
    assert_eq!(held.iter().collect::<Vec<_>>(), [("a", "round 2")]);
}

pub(super) async fn an_older_state_replaces_nothing(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    let (mine, theirs) = (load(&kv, "one").await, load(&kv, "one").await);
    kv.store.save("one", theirs).await.unwrap();
    let late = kv.store.save("one", mine).await;
    assert!(matches!(late, Err(SaveError::Conflict)), "{late:?}");
}

pub(super) async fn when_it_was_made_never_changes(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let first = data(&[]);
    kv.store.save("one", first.clone()).await.unwrap();
    let held = load(&kv, "one").await;
    let later = SessionData::new_at(HOUR, first.created_at().plus(HOUR)).at_revision(held.revision());
    kv.store.save("one", later).await.unwrap();
    assert_eq!(load(&kv, "one").await.created_at(), first.created_at());
}

pub(super) async fn holds_the_largest_data(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let mut largest = data(&[]);
    for n in 0..64 {
        largest.set(format!("key{n:02}"), "v".repeat(251));
    }
    largest.check().unwrap();
    kv.store.save("one", largest.clone()).await.unwrap();
    assert_eq!(load(&kv, "one").await.at_revision(None), largest);
}

pub(super) async fn refuses_data_that_is_too_large(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let large = data(&[("a", &"v".repeat(16 * 1024))]);
    let refused = kv.store.save("one", large).await;
    assert!(matches!(refused, Err(SaveError::TooLarge(TooLarge::Bytes { by: 1 }))), "{refused:?}");
    assert!(!is_there(&kv, "one").await);
}

pub(super) async fn update_changes_what_is_there(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[("a", "1")])).await.unwrap();
    let change = |data: &mut SessionData| -> Result<(), Infallible> {
        data.set("b", "2");
        Ok(())
    };
    assert!(update(&*kv.store, "one", change).await.unwrap().is_some());
    let held = load(&kv, "one").await;
    assert_eq!((held.get("a"), held.get("b")), (Some("1"), Some("2")));
}

pub(super) async fn update_creates_nothing(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    let change = |data: &mut SessionData| -> Result<(), Infallible> {
        data.set("b", "2");
        Ok(())
    };
    assert!(update(&*kv.store, "one", change).await.unwrap().is_none());
    assert!(!is_there(&kv, "one").await);
}

pub(super) async fn says_that_it_is_healthy(bench: Bench<Kv>) {
    let kv = bench.fresh().await;
    kv.store.save("one", data(&[])).await.unwrap();
    assert!(kv.store.is_healthy());
    assert!(kv.store.supports_revocation(), "a store that keeps sessions can end them");
}
