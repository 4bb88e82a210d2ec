//! A name has one holder at a time.

use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
use wayleave_testkit::{DirectoryVerb, FailingDirectory, FakeClock, Fault, SeededEntropy};

use super::*;

type Store = Arc<FailingDirectory<MemoryDirectory>>;

fn store() -> Store {
    let memory = MemoryDirectory::new(DirectoryLimits::default(), Arc::new(FakeClock::default()));
    Arc::new(FailingDirectory::new(Arc::new(memory)))
}

async fn take(store: &Store, name: &str, seed: u64) -> Result<Claim, ClaimError> {
    Claim::take(Arc::clone(store) as _, name, [KeyId(1)].into_iter(), &SeededEntropy::new(seed)).await
}

async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

/// A holder that lives, and what stops it.
fn keep(claim: Claim) -> (tokio::task::JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(claim.keep(stop.clone())), stop)
}

#[tokio::test(start_paused = true)]
async fn a_name_is_held_once_until_it_is_given_back() {
    let store = store();
    let first = take(&store, "one", 1).await.unwrap();
    let lost = first.lost();
    let (kept, stop) = keep(first);
    assert!(matches!(take(&store, "one", 2).await, Err(ClaimError::Taken(name)) if &*name == "one"));
    assert!(take(&store, "two", 2).await.is_ok(), "another name");
    pass(10 * PATIENCE).await;
    assert!(matches!(take(&store, "one", 3).await, Err(ClaimError::Taken(_))));
    stop.cancel();
    kept.await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(take(&store, "one", 4).await.is_ok());
    assert_eq!(begun.elapsed(), Duration::ZERO, "it was given back");
    assert!(!lost.is_so());
}

#[tokio::test(start_paused = true)]
async fn of_several_at_once_one_gets_it() {
    let store = store();
    let all = (0..8).map(|seed| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let claim = take(&store, "one", seed).await;
            claim.map(keep).is_ok()
        })
    });
    let mut holders = 0;
    for one in all.collect::<Vec<_>>() {
        holders += u32::from(one.await.unwrap());
    }
    assert_eq!(holders, 1);
}

#[tokio::test(start_paused = true)]
async fn the_name_of_who_died_is_taken_after_a_while_and_who_merely_slept_is_told() {
    let store = store();
    let slept = take(&store, "one", 1).await.unwrap();
    let lost = slept.lost();
    let begun = tokio::time::Instant::now();
    let second = take(&store, "one", 2).await.unwrap();
    assert_eq!(begun.elapsed(), PATIENCE);
    let still = second.lost();
    let (_second, _stop) = keep(second);
    let (slept, _) = keep(slept);
    slept.await.unwrap();
    assert!(lost.is_so());
    pass(PATIENCE).await;
    assert!(!still.is_so());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_loses_no_name() {
    let store = store();
    let claim = take(&store, "one", 1).await.unwrap();
    let lost = claim.lost();
    let (_kept, _stop) = keep(claim);
    for fault in [Fault::DOWN, Fault::AFTER_COMMIT] {
        store.faults().fail(DirectoryVerb::SettingsSet, fault);
        pass(2 * PATIENCE).await;
        store.faults().heal(DirectoryVerb::SettingsSet);
        pass(2 * BEAT).await;
        assert!(!lost.is_so());
        assert!(matches!(take(&store, "one", 2).await, Err(ClaimError::Taken(_))));
    }
}

/// What a later version writes is not taken from it.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_held() {
    let store = store();
    let mut revision = match Settings::set(&*store, "node:one", b"?", None).await.unwrap() {
        SetSetting::Done(revision) => revision,
        SetSetting::Conflict => panic!(),
    };
    let writes = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            while let SetSetting::Done(next) = Settings::set(&*store, "node:one", b"?", Some(revision)).await.unwrap() {
                revision = next;
                pass(BEAT).await;
            }
        }
    });
    assert!(matches!(take(&store, "one", 1).await, Err(ClaimError::Taken(_))));
    writes.abort();
}

/// R155: a key is sealed with only when every server that lives knows it. Those that do not live read it at their start.
#[tokio::test(start_paused = true)]
async fn who_lives_and_does_not_know_a_key_is_named() {
    let store = store();
    let names = || ["one", "two", "dead", "gone", "never"].map(Box::from).to_vec();
    let one = take(&store, "one", 1).await.unwrap();
    let entropy = SeededEntropy::new(2);
    let two = Claim::take(Arc::clone(&store) as _, "two", [KeyId(2), KeyId(1)].into_iter(), &entropy).await.unwrap();
    let _dead = take(&store, "dead", 3).await.unwrap();
    let (gone, stop) = keep(take(&store, "gone", 4).await.unwrap());
    stop.cancel();
    gone.await.unwrap();
    let (_one, _two) = (keep(one), keep(two));
    assert_eq!(ignorant_of(&*store, names(), KeyId(2)).await.unwrap(), [Box::from("one")]);
    assert!(ignorant_of(&*store, names(), KeyId(1)).await.unwrap().is_empty());
}
