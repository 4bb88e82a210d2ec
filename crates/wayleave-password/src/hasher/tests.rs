//! Tests of the hasher: bounded, fair to whoever is cancelled, equal in work for every refusal.

use std::sync::mpsc;

use tokio::task::JoinSet;
use wayleave_testkit::SeededEntropy;

use super::*;
use crate::parameters::Cost;

const CHEAP: Parameters = Parameters::dangerous_cheap_for_tests();

fn hasher(concurrency: u32, queue: u32) -> Arc<Hasher> {
    let options = HasherOptions {
        parameters: CHEAP,
        concurrency: NonZeroU32::new(concurrency).unwrap(),
        queue,
        retry_after: Duration::from_secs(3),
    };
    Arc::new(Hasher::new(options, Arc::new(SeededEntropy::new(1))))
}

/// A job that waits until it is let go, and says when it has begun.
struct Gate {
    begun: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn gate() -> (Gate, impl FnOnce() + Send + 'static) {
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let work = move || {
        begin.send(()).unwrap();
        let _ = released.recv();
    };
    (Gate { begun, release }, work)
}

/// R103, A54: of 500 parallel calls no more run at once than may, no more wait than may, and the rest hear it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hundred_parallel_calls_stay_within_bounds() {
    let hasher = hasher(3, 20);
    let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (gate, hold) = gate();
    let holder = tokio::spawn({
        let hasher = Arc::clone(&hasher);
        async move { hasher.run(hasher.admit().unwrap(), CHEAP, hold).await }
    });
    let gate = tokio::task::spawn_blocking(move || gate.begun.recv().map(|()| gate.release)).await.unwrap().unwrap();

    let mut calls = JoinSet::new();
    for _ in 0..500 {
        let (hasher, now, most) = (Arc::clone(&hasher), Arc::clone(&now), Arc::clone(&most));
        calls.spawn(async move {
            let Ok(place) = hasher.admit() else {
                return false;
            };
            let work = move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            };
            hasher.run(place, CHEAP, work).await.is_ok()
        });
    }
    let mut served = 0;
    while let Some(done) = calls.join_next().await {
        served += u64::from(done.unwrap());
    }
    gate.send(()).unwrap();
    holder.await.unwrap().unwrap();
    assert!(served >= 22, "the queue alone holds 22 beside the one that is held: {served}");
    assert_eq!(hasher.load().turned_away, 500 - served);
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)), "two of three threads are free: {most:?}");
    assert_eq!(hasher.load().admitted, 0);
}

/// R103: a full house is told so at once, with a time to come back.
#[tokio::test]
async fn the_first_past_the_queue_is_turned_away() {
    let hasher = hasher(1, 1);
    let places = (hasher.admit().unwrap(), hasher.admit().unwrap());
    assert_eq!(hasher.admit().err(), Some(Busy { retry_after: Duration::from_secs(3) }));
    drop(places);
    assert!(hasher.admit().is_ok());
    assert_eq!(hasher.load(), Load { admitted: 0, running: 0, hashes: 0, turned_away: 1 });
}

/// R103: whoever hangs up does not free a thread that is still at work, so hanging up cannot multiply the work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_keeps_its_place_until_its_work_ends() {
    let hasher = hasher(1, 1);
    let (gate, work) = gate();
    let call = tokio::spawn({
        let hasher = Arc::clone(&hasher);
        async move { hasher.run(hasher.admit().unwrap(), CHEAP, work).await }
    });
    let release = tokio::task::spawn_blocking(move || gate.begun.recv().map(|()| gate.release)).await.unwrap().unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let load = hasher.load();
    assert_eq!((load.admitted, load.running), (1, 1));

    // One that waits gives its place back at once.
    let waiting = tokio::spawn({
        let hasher = Arc::clone(&hasher);
        async move { hasher.run(hasher.admit().unwrap(), CHEAP, || ()).await }
    });
    while hasher.load().admitted < 2 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(hasher.load().admitted, 1);

    release.send(()).unwrap();
    hasher.run(hasher.admit().unwrap(), CHEAP, || ()).await.unwrap();
    while hasher.load().admitted > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(hasher.load().running, 0);
}

#[tokio::test]
async fn a_panic_gives_the_place_back() {
    let hasher = hasher(1, 0);
    let failed = hasher.run(hasher.admit().unwrap(), CHEAP, || panic!("on purpose")).await;
    assert_eq!(failed.unwrap_err(), HashError::Hash(HashFailure));
    assert_eq!((hasher.load().admitted, hasher.load().running), (0, 0));
}

/// R103: a stored hash that takes more memory than the current parameters takes the place of several.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn larger_hashes_weigh_more() {
    let hasher = hasher(4, 4);
    let larger = Parameters::bounded(Cost { memory_kib: 3 * CHEAP.cost().memory_kib, ..CHEAP.cost() }).unwrap();
    let (gate, work) = gate();
    let call = tokio::spawn({
        let hasher = Arc::clone(&hasher);
        async move { hasher.run(hasher.admit().unwrap(), larger, work).await }
    });
    let release = tokio::task::spawn_blocking(move || gate.begun.recv().map(|()| gate.release)).await.unwrap().unwrap();
    assert_eq!(hasher.running.available_permits(), 1);
    release.send(()).unwrap();
    call.await.unwrap().unwrap();

    let enormous = Parameters::bounded(Cost { memory_kib: 1 << 20, passes: 1, lanes: 1 }).unwrap();
    hasher.run(hasher.admit().unwrap(), enormous, || ()).await.unwrap();
    assert_eq!(hasher.running.available_permits(), 4);
}

/// R001: without entropy no hash is made.
#[tokio::test]
async fn no_entropy_makes_no_hash() {
    let entropy = Arc::new(SeededEntropy::new(1));
    let hasher = Hasher::new(HasherOptions::new(CHEAP), Arc::clone(&entropy) as Arc<dyn Entropy>);
    entropy.fail_after(0);
    let new = Password::new("x7#kQ2!m".to_owned()).unwrap();
    let made = hasher.hash(hasher.admit().unwrap(), CHEAP, new, |_| Ok::<(), HashFailure>(())).await;
    assert_eq!(made.unwrap_err(), HashError::Entropy(EntropyFailure));
    assert_eq!(hasher.load().hashes, 0);
}
