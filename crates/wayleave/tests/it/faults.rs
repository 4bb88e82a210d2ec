//! Faults: what cannot be answered is an error, never "valid" and never "absent", and what was not answered leaves no
//! two truths.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wayleave::core::ports::{EntropyFailure, StoreError};
use wayleave::core::record::{Client, Limit};
use wayleave::events::Cause;
use wayleave::{
    ExtendError, Freshness, Open, OpenError, Opened, Origin, RefreshError, Session, UpdateError, ValidateError,
};
use wayleave_testkit::{DirectoryVerb, Effect, Fault, StoreVerb, When};

use crate::fixture::{DAY, HOUR, MINUTE, RefreshVerdict, Verdict, World, is_down, open, refresh_token, shown};
use crate::parking::Spot;

/// What an operation came to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// As without faults.
    Fine,
    /// It says that the store did not answer.
    Failed,
    /// Anything else.
    Wrong,
}

impl Outcome {
    fn fine_if(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Wrong }
    }

    fn of<T>(result: Result<T, StoreError>, fine: impl FnOnce(T) -> bool) -> Self {
        match result {
            Ok(value) => Self::fine_if(fine(value)),
            Err(_) => Self::Failed,
        }
    }
}

struct Scene {
    world: World,
    plain: Opened,
    jwt: Opened,
    session: Session,
}

async fn scene() -> Scene {
    let world = World::new();
    let ada = world.person(1).await;
    let (plain, jwt) = (world.open(&ada, "plain").await, world.open(&ada, "jwt").await);
    let session = world.session(&plain).await;
    world.clock.advance(10 * MINUTE);
    // Activity that waits.
    world.session(&plain).await;
    world.manager.forget_everything();
    Scene { world, plain, jwt, session }
}

type Operation = for<'a> fn(&'a Scene) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

fn validated(result: Result<Session, ValidateError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Fine,
        Err(ValidateError::Store(_)) => Outcome::Failed,
        Err(ValidateError::Expired(_) | ValidateError::Invalid) => Outcome::Wrong,
    }
}

fn opened(result: Result<Opened, OpenError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Fine,
        Err(OpenError::Store(_)) => Outcome::Failed,
        Err(_) => Outcome::Wrong,
    }
}

const OPERATIONS: [(&str, Operation); 19] = [
    ("validate", |s| Box::pin(async { validated(s.world.validate(&s.plain.issued.access).await) })),
    ("validate jwt", |s| Box::pin(async { validated(s.world.validate(&s.jwt.issued.access).await) })),
    ("validate expired", |s| {
        Box::pin(async {
            s.world.clock.advance(8 * DAY);
            match s.world.validate(&s.plain.issued.access).await {
                Err(ValidateError::Expired(Limit::Absolute | Limit::Idle)) => Outcome::Fine,
                Err(ValidateError::Store(_)) => Outcome::Failed,
                Ok(_) | Err(ValidateError::Expired(_) | ValidateError::Invalid) => Outcome::Wrong,
            }
        })
    }),
    ("refresh", |s| {
        Box::pin(async {
            match s.world.refresh(refresh_token(&s.plain.issued)).await {
                Ok(_) => Outcome::Fine,
                Err(RefreshError::Store(_)) => Outcome::Failed,
                Err(_) => Outcome::Wrong,
            }
        })
    }),
    ("open", |s| {
        Box::pin(async { opened(s.world.try_open(s.plain.record.subject.as_ref().unwrap(), open("plain")).await) })
    }),
    ("open in place of another", |s| {
        Box::pin(async {
            let open = Open { replaces: Some(s.plain.record.id), ..open("refusing") };
            opened(s.world.try_open(s.plain.record.subject.as_ref().unwrap(), open).await)
        })
    }),
    ("reauthenticate", |s| {
        Box::pin(async {
            // Whichever session of it there is now.
            let evidence = s.world.evidence(s.plain.record.subject.as_ref().unwrap()).await;
            let freshness = Freshness { refreshable: true, client: Client::default() };
            opened(s.world.manager.reauthenticate(&s.session, evidence, freshness, &Origin::default()).await)
        })
    }),
    ("extend", |s| {
        Box::pin(async {
            match s.world.manager.extend(&s.session, None, &Origin::default()).await {
                Ok(_) => Outcome::Fine,
                Err(ExtendError::Store(_)) => Outcome::Failed,
                Err(ExtendError::Gone) => Outcome::Wrong,
            }
        })
    }),
    ("change", |s| {
        Box::pin(async {
            match s.world.manager.change(s.session.record(), |_| Ok::<_, ()>(())).await {
                Ok(_) => Outcome::Fine,
                Err(UpdateError::Store(_)) => Outcome::Failed,
                Err(_) => Outcome::Wrong,
            }
        })
    }),
    ("end one", |s| {
        Box::pin(async {
            let id = s.plain.record.id;
            Outcome::of(s.world.manager.end_one(&id, Cause::Administrator, &Origin::default()).await, |gone| {
                gone.is_some()
            })
        })
    }),
    ("end own", |s| {
        Box::pin(async {
            let (owner, id) = (s.plain.record.subject.clone().unwrap(), s.plain.record.id);
            let ended = s.world.manager.end_own(&owner, &id, Cause::Owner, &Origin::default()).await;
            Outcome::of(ended, |gone| gone.is_some())
        })
    }),
    ("end all", |s| {
        Box::pin(async {
            let subject = s.plain.record.subject.clone().unwrap();
            let ended = s.world.manager.end_all(&subject, None, Cause::Owner, &Origin::default()).await;
            Outcome::of(ended, |ended| ended.0.len() == 2)
        })
    }),
    ("sign out", |s| {
        Box::pin(async {
            Outcome::of(s.world.manager.sign_out(&s.session, &Origin::default()).await, |ended| ended.0.len() == 1)
        })
    }),
    ("revoke token", |s| {
        Box::pin(async {
            let ended = s.world.manager.revoke_token(&s.jwt.issued.access, Cause::SignOut, &shown()).await;
            Outcome::of(ended, |ended| ended.0.len() == 1)
        })
    }),
    ("list", |s| {
        Box::pin(async { Outcome::of(s.world.manager.list(None, None, 10).await, |page| page.records.len() == 2) })
    }),
    ("census", |s| Box::pin(async { Outcome::of(s.world.manager.census().await, |census| census.live.len() == 2) })),
    ("ping", |s| Box::pin(async { Outcome::of(s.world.manager.ping().await, |()| true) })),
    ("flush", |s| Box::pin(async { Outcome::of(s.world.manager.flush(10).await, |written| written == 1) })),
    ("sweep", |s| {
        Box::pin(async {
            s.world.clock.advance(8 * DAY);
            Outcome::of(s.world.manager.sweep(HOUR, 10).await, |swept| swept.records == 2)
        })
    }),
];

/// R168, A77: with any verb of the store or the directory down, an operation that needs it says so, and one that does
/// not need it does as always. When the fault is over, everything works.
#[tokio::test]
async fn what_cannot_be_answered_is_an_error() {
    for (what, operation) in OPERATIONS {
        assert_eq!(operation(&scene().await).await, Outcome::Fine, "{what}");
        let mut failed = 0;
        for verb in StoreVerb::ALL {
            let scene = scene().await;
            scene.world.store.faults().reset();
            scene.world.store.faults().fail(verb, Fault::DOWN);
            let outcome = operation(&scene).await;
            let needed = scene.world.store.faults().calls_of(verb) > 0;
            let expected = if needed { Outcome::Failed } else { Outcome::Fine };
            assert_eq!(outcome, expected, "{what} without {verb:?}");
            failed += usize::from(needed);
            scene.world.store.faults().heal(verb);
            assert_eq!(operation(&scene).await, expected_again(what, outcome), "{what} after {verb:?}");
        }
        assert!(failed > 0, "{what} needs the store");

        let scene = scene().await;
        scene.world.directory.faults().reset();
        scene.world.directory.faults().fail(DirectoryVerb::SubjectsStanding, Fault::DOWN);
        let outcome = operation(&scene).await;
        let needed = scene.world.directory.faults().calls_of(DirectoryVerb::SubjectsStanding) > 0;
        assert_eq!(outcome, if needed { Outcome::Failed } else { Outcome::Fine }, "{what} without a directory");
        let asks = [
            "validate",
            "validate jwt",
            "validate expired",
            "refresh",
            "open",
            "open in place of another",
            "reauthenticate",
        ];
        assert_eq!(needed, asks.contains(&what), "{what}");
    }
}

/// What the same operation comes to once more. Most can be repeated after a failure and not after a success.
fn expected_again(what: &str, first: Outcome) -> Outcome {
    let once_only = [
        "refresh",
        "open in place of another",
        "reauthenticate",
        "end one",
        "end own",
        "end all",
        "sign out",
        "revoke token",
        "flush",
        "sweep",
    ];
    match first {
        Outcome::Fine if what == "refresh" || what == "open in place of another" => Outcome::Fine,
        Outcome::Fine if once_only.contains(&what) => Outcome::Wrong,
        Outcome::Fine | Outcome::Failed => Outcome::Fine,
        Outcome::Wrong => Outcome::Wrong,
    }
}

/// A77: a session that memory does not hold is not valid while the store is down, nor is one that was to be ended.
#[tokio::test]
async fn nothing_is_valid_on_a_guess() {
    let scene = scene().await;
    let world = &scene.world;
    assert_eq!(world.verdict(&scene.plain.issued.access).await, Verdict::Valid);
    world.store.take_down();
    assert_eq!(world.verdict(&scene.jwt.issued.access).await, Verdict::StoreDown);
    assert!(world.manager.sign_out(&scene.session, &Origin::default()).await.is_err());
    assert_eq!(world.verdict(&scene.plain.issued.access).await, Verdict::StoreDown);
    assert!(is_down(&world.manager.ping().await));
    world.store.bring_up();
    assert_eq!(world.verdict(&scene.plain.issued.access).await, Verdict::Valid, "it was not ended");
    assert_eq!(world.verdict(&scene.jwt.issued.access).await, Verdict::Valid, "a failure is not remembered");
}

/// A41: the store ended sessions and its answer was lost. Whoever asked got an error, and nothing validates.
#[tokio::test]
async fn a_lost_answer_of_an_end_is_an_end() {
    for name in ["plain", "jwt"] {
        for all in [false, true] {
            let world = World::new();
            let ada = world.person(1).await;
            let opened = world.open(&ada, name).await;
            let session = world.session(&opened).await;
            world.store.faults().fail(StoreVerb::Revoke, Fault::AFTER_COMMIT);
            for _ in 0..2 {
                let ended = if all {
                    world.manager.end_all(&ada, None, Cause::Owner, &Origin::default()).await
                } else {
                    world.manager.sign_out(&session, &Origin::default()).await
                };
                assert!(ended.is_err());
                assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{name}, {all}");
            }
        }
    }
}

/// A41: an exchange whose answer was lost, or that never reached the store: the old pair or the new one is good, never
/// both; and with a window the retry gets the pair.
#[tokio::test]
async fn a_lost_answer_of_an_exchange_leaves_one_pair() {
    let once = |effect| Fault { when: When::Call(1), effect };
    for name in ["plain", "idle"] {
        for (effect, window, retry) in [
            (Effect::Unreached, Duration::from_secs(10), RefreshVerdict::Minted),
            (Effect::Unreached, Duration::ZERO, RefreshVerdict::Minted),
            (Effect::AnswerLost, Duration::from_secs(10), RefreshVerdict::Repeated),
            (Effect::AnswerLost, Duration::ZERO, RefreshVerdict::Reused),
        ] {
            let world = World::new();
            world.change_rules(|_, rules| rules.refresh_window = window);
            let ada = world.person(1).await;
            let opened = world.open(&ada, name).await;
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
            world.store.faults().fail(StoreVerb::Rotate, once(effect));
            assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Failed);
            let old = if effect == Effect::Unreached { Verdict::Valid } else { Verdict::Invalid };
            assert_eq!(world.verdict(&opened.issued.access).await, old, "{effect:?}");
            let again = world.refresh(refresh_token(&opened.issued)).await;
            assert_eq!(crate::fixture::refresh_verdict(&again), retry, "{effect:?}");
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{effect:?}");
            if let Ok(refreshed) = again {
                assert_eq!(world.verdict(&refreshed.issued.access).await, Verdict::Valid, "{effect:?}");
            }
            assert_eq!(world.live().await, u64::from(retry != RefreshVerdict::Reused), "{effect:?}");
        }
    }
}

/// A41: a sign-in whose answer was lost gave nobody a token; what it replaced is dead if the store did it, and lives if
/// not.
#[tokio::test]
async fn a_lost_answer_of_a_sign_in_gives_nothing() {
    for (effect, replaced) in [(Effect::Unreached, Verdict::Valid), (Effect::AnswerLost, Verdict::Invalid)] {
        for proof in [false, true] {
            let world = World::new();
            let ada = world.person(1).await;
            let opened = world.open(&ada, "plain").await;
            let session = world.session(&opened).await;
            world.store.faults().fail(StoreVerb::Insert, Fault { when: When::Call(1), effect });
            let result = if proof {
                let evidence = world.evidence(&ada).await;
                let freshness = Freshness { refreshable: true, client: Client::default() };
                world.manager.reauthenticate(&session, evidence, freshness, &Origin::default()).await
            } else {
                world.try_open(&ada, Open { replaces: Some(opened.record.id), ..open("plain") }).await
            };
            assert!(matches!(result, Err(OpenError::Store(_))));
            assert_eq!(world.verdict(&opened.issued.access).await, replaced, "{effect:?}, {proof}");
            assert_eq!(world.live().await, 1);
        }
    }
}

/// A41: a change whose answer was lost is seen, made or not, as the store has it.
#[tokio::test]
async fn a_lost_answer_of_a_change_is_looked_up() {
    for (effect, moved) in [(Effect::Unreached, false), (Effect::AnswerLost, true)] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, "plain").await;
        let session = world.session(&opened).await;
        world.clock.advance(HOUR);
        world.store.faults().fail(StoreVerb::Update, Fault { when: When::Call(1), effect });
        assert!(world.manager.extend(&session, None, &Origin::default()).await.is_err());
        let end = world.session(&opened).await.expires_at();
        assert_eq!(end > session.expires_at(), moved, "{effect:?}");
    }
}

/// R017: that a session expired is not answered before it is written down.
#[tokio::test]
async fn an_expiry_that_cannot_be_written_is_not_answered() {
    let world = World::new();
    let ada = world.person(1).await;
    let token = world.open(&ada, "web").await.issued.access;
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    world.clock.advance(HOUR);
    world.store.faults().fail(StoreVerb::Update, Fault::nth(1));
    assert_eq!(world.verdict(&token).await, Verdict::StoreDown);
    assert_eq!(world.verdict(&token).await, Verdict::Expired(Limit::Idle));
    world.clock.rewind(HOUR);
    assert_eq!(world.verdict(&token).await, Verdict::Expired(Limit::Idle));
}

/// R001: when entropy fails, at whichever draw of an exchange, nothing is spent.
#[tokio::test]
async fn without_entropy_nothing_is_exchanged() {
    for name in ["plain", "jwt"] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, name).await;
        let token = refresh_token(&opened.issued);
        let mut draws = 0;
        loop {
            world.entropy.fail_after(draws);
            match world.refresh(token).await {
                Err(RefreshError::Issue(OpenError::Entropy(EntropyFailure))) => {
                    assert_eq!(world.store.faults().calls_of(StoreVerb::Rotate), 0);
                    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
                }
                Err(error) => panic!("{name}: {error}"),
                Ok(refreshed) => break assert!(!refreshed.repeated),
            }
            draws += 1;
        }
        assert!(draws >= 3, "{name}: two tokens and a salt are drawn");
    }
}

/// A store that panics in the middle is a store that did not answer.
#[tokio::test]
async fn a_store_that_panics_leaves_nothing_valid() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let session = world.session(&opened).await;
    world.gate.panic_at(Spot::Revoke);
    assert!(world.manager.sign_out(&session, &Origin::default()).await.is_err());
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid);
    // And the next change of the same person goes on.
    let next = world.open(&ada, "plain").await;
    assert_eq!(world.verdict(&next.issued.access).await, Verdict::Valid);
}

/// R168: a store that hangs does not fill the memory with whoever waits for it. What is too much is refused at once, and
/// nothing of it is begun.
#[tokio::test]
async fn waiting_changes_are_bounded() {
    const MOST: usize = 10_000;
    let world = Arc::new(World::new());
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let session = world.session(&opened).await;
    let mut held = world.gate.hold(Spot::Revoke);
    let begun = Arc::new(AtomicUsize::new(0));
    let end = || {
        let (world, begun, id) = (Arc::clone(&world), Arc::clone(&begun), session.id());
        async move {
            begun.fetch_add(1, Ordering::Relaxed);
            world.manager.end_one(&id, Cause::Owner, &Origin::default()).await
        }
    };
    let first = tokio::spawn(end());
    held.arrived().await;
    let waiting: Vec<_> = (1..MOST).map(|_| tokio::spawn(end())).collect();
    while begun.load(Ordering::Relaxed) < MOST {
        tokio::task::yield_now().await;
    }
    let one_more = end().await;
    assert!(is_down(&one_more), "{one_more:?}");
    held.release();
    assert!(first.await.unwrap().unwrap().is_some());
    for one in waiting {
        assert!(one.await.unwrap().unwrap().is_none());
    }
    assert!(end().await.unwrap().is_none());
}
