//! Lockout: how many guesses there are, who is kept out, and who is not.

use tokio::task::JoinSet;

use super::*;

/// R100, R099: five failures, then the lock whatever the password, without any hashing, until it ends by itself. An
/// address without an account locks exactly alike.
#[tokio::test]
async fn the_sixth_attempt_is_locked_whatever_the_password() {
    for email in [OWNER, DISABLED, BARE, UNKNOWN, "not an address"] {
        let world = World::new().await;
        for attempt in 1..=5 {
            let outcome = world.attempt(email, WRONG).await;
            assert!(matches!(&outcome, Outcome::Refused(refused) if refused.locks() == (attempt == 5)), "{outcome:?}");
        }
        let until = FakeClock::START.plus(Duration::from_secs(30 * 60));
        let hashes = world.password.load().hashes;
        for text in [RIGHT, WRONG, ""] {
            assert!(matches!(world.attempt(email, text).await, Outcome::Locked { until: found } if found == until));
        }
        assert_eq!(world.password.load().hashes, hashes);
        world.clock.set(until.minus(Duration::from_millis(1)));
        assert_eq!(word(&world.attempt(email, RIGHT).await), "locked");
        world.clock.set(until);
        assert_ne!(word(&world.attempt(email, RIGHT).await), "locked");
    }
}

/// R100: the last attempt allowed succeeds if it is right, and so opens what it had closed.
#[tokio::test]
async fn a_right_password_in_time_opens_the_lock() {
    let world = World::new().await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(word(&world.attempt(OWNER, WRONG).await), "wrong_password");
        }
        assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "verified");
    }
}

/// A53, R102: of 200 parallel guesses at most 5 are checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_guesses_do_not_pass_the_limit() {
    for email in [OWNER, UNKNOWN] {
        let world = Arc::new(World::new().await);
        let barrier = Arc::new(tokio::sync::Barrier::new(200));
        let mut guesses = JoinSet::new();
        for _ in 0..200 {
            let (world, barrier) = (Arc::clone(&world), Arc::clone(&barrier));
            guesses.spawn(async move {
                barrier.wait().await;
                matches!(world.attempt(email, WRONG).await, Outcome::Refused(_))
            });
        }
        let checked = guesses.join_all().await.into_iter().filter(|checked| *checked).count();
        assert_eq!(checked, 5);
        assert_eq!(world.password.load().hashes, 5);
    }
}

/// R102: right passwords at once are all let in, as many as wait; of the rest, who finds the limit taken up hears so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_passwords_at_once_are_all_let_in() {
    for (count, fewest) in [(6, 6), (20, 20), (100, 20)] {
        let world = Arc::new(World::new().await);
        let words = at_once(&world, vec![RIGHT; count]).await;
        let verified = words.iter().filter(|word| *word == "verified").count();
        assert!(verified >= fewest && words.iter().all(|word| word == "verified" || word == "locked"), "{words:?}");
        assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "verified");
        assert_eq!(world.password.lines.len(), 0);
    }
}

/// R102: wrong ones among them keep no right one out, since fewer than the limit are wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_passwords_at_the_same_time_keep_no_right_one_out() {
    for _ in 0..10 {
        let world = Arc::new(World::new().await);
        let texts = (0..14).map(|number| if number % 4 == 0 { WRONG } else { RIGHT }).collect();
        let words = at_once(&world, texts).await;
        let count = |wanted: &str| words.iter().filter(|word| *word == wanted).count();
        assert_eq!((count("verified"), count("wrong_password")), (10, 4), "{words:?}");
    }
}

/// R102: while some wait, what they wait for ends in failures, and then they are locked out without being checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_wait_for_wrong_ones_are_locked_out() {
    let world = Arc::new(World::new().await);
    let words = at_once(&world, vec![WRONG; 20]).await;
    assert_eq!(words.iter().filter(|word| *word == "wrong_password").count(), 5, "{words:?}");
    assert_eq!(world.password.load().hashes, 5);
    assert_eq!(world.password.lines.len(), 0);
}

async fn at_once(world: &Arc<World>, texts: Vec<&'static str>) -> Vec<String> {
    let barrier = Arc::new(tokio::sync::Barrier::new(texts.len()));
    let mut attempts = JoinSet::new();
    for text in texts {
        let (world, barrier) = (Arc::clone(world), Arc::clone(&barrier));
        attempts.spawn(async move {
            barrier.wait().await;
            word(&world.attempt(OWNER, text).await).to_owned()
        });
    }
    attempts.join_all().await
}

/// R101: while strangers are turned away nothing of theirs is checked or counted, whether or not there is an account,
/// and browsers that the account knows get in.
#[tokio::test]
async fn known_devices_get_in_while_strangers_are_turned_away() {
    let world = World::new().await;
    let attempt = async |email, known_device| {
        let sign_in = SignIn { email, password: password(RIGHT), known_device, strangers: Strangers::TurnedAway };
        world.password.sign_in(sign_in).await.unwrap()
    };
    for email in [OWNER, UNKNOWN, DISABLED, "not an address"] {
        for device in [None, Some([7; 32])] {
            assert!(matches!(attempt(email, device).await, Outcome::TurnedAway), "{email}");
        }
    }
    assert_eq!(world.password.load().hashes, 0);
    assert_eq!(world.directory.faults().calls_of(DirectoryVerb::CountersReserve), 0);
    assert_eq!(word(&attempt(OWNER, Some(DEVICE)).await), "verified");
}

/// A53: signing in to one's own account gives no more guesses at another's.
#[tokio::test]
async fn a_success_elsewhere_resets_nothing() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(word(&world.attempt(OWNER, WRONG).await), "wrong_password");
        assert_eq!(word(&world.attempt(OUTDATED, RIGHT).await), "verified");
    }
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "locked");
}

/// A52, R101: a stranger's thousand guesses do not keep the owner out of a known browser, and its success gives the
/// stranger none.
#[tokio::test]
async fn the_owner_signs_in_from_a_known_device() {
    let world = World::new().await;
    for _ in 0..1000 {
        let _ = world.attempt(OWNER, WRONG).await;
    }
    assert_eq!(world.password.load().hashes, 5);
    assert_eq!(word(&world.attempt_from_device(OWNER, RIGHT).await), "verified");
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "locked");
}

/// R101: a known browser has a limit of its own, which does not touch strangers' attempts.
#[tokio::test]
async fn a_known_device_is_limited_too() {
    let world = World::new().await;
    for _ in 0..5 {
        assert_eq!(word(&world.attempt_from_device(OWNER, WRONG).await), "wrong_password");
    }
    assert_eq!(word(&world.attempt_from_device(OWNER, RIGHT).await), "locked");
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "verified");
    assert_eq!(word(&world.attempt_from_device(OWNER, RIGHT).await), "locked");
}

/// R101: made-up device keys, expired ones, and ones of another account open no counter of their own.
#[tokio::test]
async fn foreign_devices_count_as_strangers() {
    let world = World::new().await;
    let owner = world.account(OWNER).await.id;
    let expired = KnownDevice { key: [0xE0; 32], expires_at: FakeClock::START.plus(Duration::from_secs(1)) };
    world.directory.remember(&owner, &expired, None, 10, world.clock.now()).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let attempt = async |email, device| word(&world.try_attempt(email, WRONG, Some(device)).await.unwrap());
    for number in 0..4 {
        assert_eq!(attempt(OWNER, [number; 32]).await, "wrong_password");
    }
    assert_eq!(attempt(OWNER, expired.key).await, "wrong_password");
    assert_eq!(attempt(OWNER, [4; 32]).await, "locked");
    for _ in 0..5 {
        assert_eq!(attempt(OUTDATED, DEVICE).await, "wrong_password");
    }
    assert_eq!(word(&world.attempt(OUTDATED, RIGHT).await), "locked");
}

/// R102: whoever hangs up before the answer has used up an attempt all the same.
#[tokio::test]
async fn hanging_up_saves_no_attempt() {
    let world = Arc::new(World::new().await);
    // Both threads are taken, so that every attempt is still waiting when its caller leaves.
    let mut threads = JoinSet::new();
    let releases: Vec<_> = (0..2)
        .map(|_| {
            let (release, released) = std::sync::mpsc::channel::<()>();
            let hasher = Arc::clone(&world.password.hasher);
            threads.spawn(async move {
                let wait = move || released.recv().is_ok();
                hasher.run(hasher.admit().unwrap(), hasher.parameters(), wait).await
            });
            release
        })
        .collect();
    while world.password.load().running < 2 {
        tokio::task::yield_now().await;
    }
    for attempts in 1..=5 {
        let mut attempt = Box::pin(world.attempt(OWNER, WRONG));
        while world.directory.faults().calls_of(DirectoryVerb::CredentialsFind) < attempts {
            let polled = std::future::poll_fn(|context| std::task::Poll::Ready(attempt.as_mut().poll(context)));
            assert!(polled.await.is_pending());
        }
    }
    drop(releases);
    threads.join_all().await;
    assert_eq!(world.password.load().hashes, 0);
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "locked");
}

/// R103: an attempt that finds no place is not counted, and is told when to come back.
#[tokio::test]
async fn a_busy_hasher_costs_no_attempt() {
    let world = World::with(WorldOptions { queue: 0, ..WorldOptions::default() }).await;
    let places = (world.password.hasher.admit().unwrap(), world.password.hasher.admit().unwrap());
    for _ in 0..20 {
        let outcome = world.attempt(OWNER, WRONG).await;
        assert!(matches!(outcome, Outcome::Busy(Busy { retry_after }) if retry_after == Duration::from_secs(2)));
    }
    let new = world.password.prepare(&world.account(OWNER).await, password("vier rote Fahrräder")).await;
    assert!(matches!(new, Err(SetPasswordError::Busy(_))));
    assert_eq!(world.directory.faults().calls_of(DirectoryVerb::CountersReserve), 0);
    drop(places);
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "verified");
}

/// R100: a rule that administrators change holds from the next attempt on, and opens no lock that it finds.
#[tokio::test]
async fn a_new_rule_holds_from_the_next_attempt_on() {
    let world = World::new().await;
    for _ in 0..2 {
        assert_eq!(word(&world.attempt(OWNER, WRONG).await), "wrong_password");
    }
    world.password.set_rule(Rule { attempts: 3, lock: Duration::from_secs(60), ..Rule::DEFAULT });
    assert!(matches!(world.attempt(OWNER, WRONG).await, Outcome::Refused(refused) if refused.locks()));
    let until = FakeClock::START.plus(Duration::from_secs(60));
    assert!(matches!(world.attempt(OWNER, RIGHT).await, Outcome::Locked { until: found } if found == until));
    world.password.set_rule(Rule { attempts: 100, ..Rule::DEFAULT });
    assert!(matches!(world.attempt(OWNER, RIGHT).await, Outcome::Locked { until: found } if found == until));
    world.clock.set(until);
    assert_eq!(word(&world.attempt(OWNER, RIGHT).await), "verified");
}
