//! Opening: what evidence is good for, what is granted, and how many sessions there may be.

use std::sync::Arc;

use tokio::sync::Barrier;
use wayleave::core::authentication::{Authority, Level, Method};
use wayleave::core::permission::Ceiling;
use wayleave::core::ports::{EntropyFailure, Subjects as _};
use wayleave::core::subject::{Namespace, Subject};
use wayleave::core::token::SessionToken;
use wayleave::events::{Cause, What};
use wayleave::{Open, OpenError, Origin};
use wayleave_testkit::StoreVerb;

use crate::fixture::{DAY, HOUR, MINUTE, USUAL, Verdict, World, authority, drain, entries, open, permissions, routing};

/// R005, A02: a token that is well formed and unknown is never adopted. It is told of once, and costs the store one
/// question.
#[tokio::test]
async fn an_unknown_token_opens_nothing() {
    let world = World::new();
    let mut events = world.manager.subscribe(10);
    let slot = routing().slot_of(&"user:nobody".parse().unwrap());
    let token = SessionToken::new([9; 32], slot, &routing()).reveal();
    for _ in 0..3 {
        assert_eq!(world.verdict(&token).await, Verdict::Invalid);
    }
    assert!(world.records().await.is_empty());
    assert_eq!(drain(&mut events), [What::UnknownToken]);
    assert_eq!(world.store.faults().calls_of(StoreVerb::Find), 1);
}

/// R011, A01: a sign-in gets a new id and a new token, and the session that it replaces is dead in the same step.
#[tokio::test]
async fn a_sign_in_ends_what_it_replaces() {
    for name in ["web", "plain", "jwt", "refusing"] {
        let world = World::new();
        let ada = world.person(1).await;
        let planted = world.open(&ada, name).await;
        assert_eq!(world.verdict(&planted.issued.access).await, Verdict::Valid, "{name}");
        let mut events = world.manager.subscribe(10);
        let next = world.open_as(&ada, Open { replaces: Some(planted.record.id), ..open(name) }).await;
        assert_ne!(next.record.id, planted.record.id);
        assert_ne!(next.record.token, planted.record.token);
        assert_ne!(next.record.family, planted.record.family);
        assert_ne!(*next.issued.access, *planted.issued.access);
        assert_eq!(world.verdict(&planted.issued.access).await, Verdict::Invalid, "{name}");
        assert_eq!(world.verdict(&next.issued.access).await, Verdict::Valid, "{name}");
        assert_eq!(drain(&mut events)[..2], [What::Revoked(Cause::Replaced), What::Created]);
        assert_eq!(world.live().await, 1);
    }
}

/// R012, A18: of the session that is replaced nothing goes over but what the caller hands in.
#[tokio::test]
async fn nothing_is_carried_over_but_what_is_handed_in() {
    let world = World::new();
    let (ada, bob) = (world.person(1).await, world.person(2).await);
    let before =
        Open { data: entries(&[("cart", "7"), ("admin", "1")]), context: entries(&[("vault", "v")]), ..open("web") };
    let before = world.open_as(&ada, before).await;
    let next = Open { replaces: Some(before.record.id), data: entries(&[("cart", "7")]), ..open("web") };
    let next = world.open_as(&bob, next).await.record;
    assert_eq!(next.data, entries(&[("cart", "7")]));
    assert!(next.context.is_empty());
    assert_eq!(next.subject.as_ref(), Some(&bob));
}

/// R020, R026, R106: evidence opens what its subject may have at this moment, and nothing else.
#[tokio::test]
async fn evidence_is_judged_at_the_door() {
    let world = World::new();
    let ada = world.person(1).await;
    let origin = Origin::default();

    let foreign = Authority::new([4; 16]).prover(Method::Password, Level::ONE, Namespace::User);
    let foreign = foreign.testify(ada.clone(), 0, world.manager.now()).unwrap();
    assert!(matches!(world.manager.open(foreign, open("web"), &origin).await, Err(OpenError::ForeignEvidence)));
    assert!(matches!(world.try_open(&ada, open("nothing")).await, Err(OpenError::UnknownKind)));
    assert!(matches!(world.try_open(&ada, open("strong")).await, Err(OpenError::TooWeak)));
    assert!(matches!(world.try_open(&ada, open("professional")).await, Err(OpenError::Unlicensed)));
    let nobody: Subject = "user:nobody".parse().unwrap();
    assert!(matches!(world.try_open(&nobody, open("web")).await, Err(OpenError::Refused)));

    // The password was changed after it was checked.
    let stale = world.evidence(&ada).await;
    world.edit_and_tell(&ada, |account| account.epoch += 1).await;
    assert!(matches!(world.manager.open(stale, open("web"), &origin).await, Err(OpenError::Refused)));
    // Disabled behind the back of a warm node: signing in asks the directory itself.
    world.open(&ada, "web").await;
    let kept = world.evidence(&ada).await;
    world.edit(&ada, |account| account.disabled = true).await;
    assert!(matches!(world.manager.open(kept, open("web"), &origin).await, Err(OpenError::Refused)));
    assert_eq!(world.live().await, 1);

    let strong = authority().prover(Method::Password, Level::THREE, Namespace::User);
    world.edit_and_tell(&ada, |account| account.disabled = false).await;
    let strong = strong.testify(ada, 1, world.manager.now()).unwrap();
    let opened = world.manager.open(strong, open("strong"), &origin).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opened.record.authentication.unwrap().level, Level::THREE);
}

/// R069: granted is what account, evidence and kind allow, whatever was asked for.
#[tokio::test]
async fn grants_are_cut_by_every_ceiling() {
    let world = World::new();
    let ada = world.person(1).await;
    let wallet: Subject = "eip155:1:0x00000000000000000000000000000000000000aa".parse().unwrap();
    let all = Ceiling::Any;
    let reading = Ceiling::Only(permissions(&["read:profile", "admin:users"]));
    type Names<'a> = &'a [&'a str];
    type Case<'a> = (&'a Subject, &'a str, Option<Names<'a>>, &'a Ceiling, Names<'a>);
    let cases: [Case<'_>; 8] = [
        (&ada, "plain", None, &all, &USUAL),
        (&ada, "plain", Some(&["read:profile"]), &all, &["read:profile"]),
        (&ada, "plain", Some(&["read:profile", "admin:users"]), &all, &["read:profile"]),
        (&ada, "plain", None, &reading, &["read:profile"]),
        (&ada, "standard", None, &all, &["read:profile", "write:messages"]),
        (&ada, "standard", Some(&[]), &all, &[]),
        (&wallet, "standard", None, &all, &["read:profile", "write:messages", "join:groups", "book:sessions"]),
        (&wallet, "plain", None, &all, &[]),
    ];
    for (number, (subject, name, asked, ceiling, expected)) in cases.into_iter().enumerate() {
        let evidence = world.evidence(subject).await.limited_to(ceiling);
        let open = Open { permissions: asked.map(permissions), ..open(name) };
        let opened = world.manager.open(evidence, open, &Origin::default()).await;
        let opened = opened.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.record.permissions, permissions(expected), "case {number}");
        assert_eq!(*world.session(&opened).await.permissions(), permissions(expected), "case {number}");
    }
}

/// A session lives as long as its kind says, or less when less was asked for.
#[tokio::test]
async fn lifetimes_are_those_of_the_kind() {
    let world = World::new();
    let ada = world.person(1).await;
    let now = world.manager.now();
    let cases = [
        (open("web"), DAY, DAY, Some(30 * MINUTE)),
        (Open { remember: true, ..open("web") }, 30 * DAY, 30 * DAY, Some(30 * DAY)),
        (open("standard"), 12 * HOUR, 7 * DAY, None),
        (Open { duration: Some(HOUR), ..open("standard") }, HOUR, 7 * DAY, None),
        (Open { duration: Some(300 * DAY), ..open("standard") }, 12 * HOUR, 7 * DAY, None),
        (open("jwt"), 15 * MINUTE, 7 * DAY, None),
        // Without refresh there is nothing that could renew a JWT.
        (Open { refreshable: false, ..open("jwt") }, 12 * HOUR, 7 * DAY, None),
        (open("idle"), 12 * HOUR, 7 * DAY, Some(30 * MINUTE)),
    ];
    for (number, (open, token, absolute, idle)) in cases.into_iter().enumerate() {
        let refreshable = open.refreshable;
        let opened = world.open_as(&ada, open).await;
        let record = &opened.record;
        let expected = (now.plus(token), now.plus(absolute), idle.map(|limit| now.plus(limit)));
        let found = (record.token_expires_at, record.absolute_expires_at, record.idle_expires_at);
        assert_eq!(found, expected, "case {number}");
        assert_eq!(opened.issued.refresh.is_some(), refreshable, "case {number}");
        let session = world.session(&opened).await;
        assert_eq!((session.expires_at(), session.session_expires_at(), session.idle_expires_at()), expected);
    }
}

/// R024, A16: fifty sign-ins at once under a limit of three leave exactly three, whatever happens to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_limit_holds_under_parallel_sign_ins() {
    for (name, opened_in_all) in [("refusing", 3), ("evicting", 50), ("evicting-unused", 50)] {
        let world = Arc::new(World::new());
        let ada = world.person(1).await;
        let mut events = world.manager.subscribe(1000);
        let barrier = Arc::new(Barrier::new(50));
        let sign_ins: Vec<_> = (0..50)
            .map(|_| {
                let (world, ada, barrier) = (Arc::clone(&world), ada.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    world.try_open(&ada, open(name)).await
                })
            })
            .collect();
        let mut opened = Vec::new();
        for sign_in in sign_ins {
            match sign_in.await.unwrap() {
                Ok(one) => opened.push(one),
                Err(OpenError::LimitReached) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert_eq!(opened.len(), opened_in_all, "{name}");
        assert_eq!(world.live().await, 3, "{name}");
        let mut valid = 0;
        for one in &opened {
            valid += usize::from(world.verdict(&one.issued.access).await == Verdict::Valid);
        }
        assert_eq!(valid, 3, "{name}");
        // A17: nobody is evicted or refused unseen.
        let told = drain(&mut events);
        let count = |what: &What| told.iter().filter(|told| *told == what).count();
        assert_eq!(count(&What::Revoked(Cause::Evicted)), opened_in_all - 3, "{name}");
        assert_eq!(count(&What::LimitRefused), 50 - opened_in_all, "{name}");
    }
}

/// A17: who makes room is the oldest or the least recently used, and is told of.
#[tokio::test]
async fn the_right_one_makes_room() {
    for (name, expected) in [("evicting", 0), ("evicting-unused", 1)] {
        let world = World::new();
        let ada = world.person(1).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(world.open(&ada, name).await);
            world.clock.advance(MINUTE);
        }
        world.clock.advance(HOUR);
        for used in [0, 2] {
            assert_eq!(world.verdict(&held[used].issued.access).await, Verdict::Valid);
        }
        world.manager.flush(100).await.unwrap();
        let next = world.open(&ada, name).await;
        let evicted: Vec<_> = next.evicted.iter().map(|gone| gone.id).collect();
        assert_eq!(evicted, [held[expected].record.id], "{name}");
        assert_eq!(world.verdict(&held[expected].issued.access).await, Verdict::Invalid, "{name}");
    }
}

/// R011: a refused sign-in ends the session it was to replace all the same, here too, and says so.
#[tokio::test]
async fn a_refused_sign_in_ends_what_it_was_to_replace() {
    let world = World::new();
    let (ada, bob) = (world.person(1).await, world.person(2).await);
    let bystander = world.open(&bob, "plain").await;
    for _ in 0..3 {
        world.open(&ada, "refusing").await;
    }
    // Refreshed, so that it has another token than when it was opened.
    let other = world.open(&bob, "plain").await;
    let other =
        world.refresh(crate::fixture::refresh_token(&other.issued)).await.unwrap_or_else(|error| panic!("{error}"));
    for token in [&other.issued.access, &bystander.issued.access] {
        assert_eq!(world.verdict(token).await, Verdict::Valid);
    }
    let mut events = world.manager.subscribe(10);
    let refused = world.try_open(&ada, Open { replaces: Some(other.record.id), ..open("refusing") }).await;
    assert!(matches!(refused, Err(OpenError::LimitReached)));
    assert_eq!(world.verdict(&other.issued.access).await, Verdict::Invalid);
    assert_eq!(world.verdict(&bystander.issued.access).await, Verdict::Valid);
    let revoked = events.try_next().unwrap();
    assert_eq!((&revoked.what, revoked.session), (&What::Revoked(Cause::Replaced), Some(other.record.id)));
    let refused = events.try_next().unwrap();
    assert_eq!((&refused.what, refused.session), (&What::LimitRefused, None));
    assert_eq!(refused.subject.as_ref(), Some(&ada));
}

/// R060: who signs in by wallet is nobody else, however an account is called.
#[tokio::test]
async fn subjects_of_different_worlds_share_nothing() {
    let world = World::new();
    let wallet: Subject = "eip155:1:0xabc".parse().unwrap();
    let twin: Subject = "user:eip155:1:0xabc".parse().unwrap();
    let opened = world.open(&wallet, "plain").await;
    assert!(!world.accounts.standing(&twin).await.unwrap().active);
    assert!(matches!(world.try_open(&twin, open("plain")).await, Err(OpenError::Refused)));
    let page = world.manager.list(Some(&twin), None, 10).await.unwrap();
    assert!(page.records.is_empty());
    let ended = world.manager.end_all(&twin, None, Cause::Owner, &Origin::default()).await.unwrap();
    assert!(ended.0.is_empty());
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
}

/// R001: when entropy fails, at whichever draw, there is no session and no token.
#[tokio::test]
async fn without_entropy_there_is_no_token() {
    for name in ["web", "plain", "jwt"] {
        let world = World::new();
        let ada = world.person(1).await;
        let mut draws = 0;
        loop {
            world.entropy.fail_after(draws);
            match world.try_open(&ada, open(name)).await {
                Err(OpenError::Entropy(EntropyFailure)) => assert!(world.records().await.is_empty(), "{name}: {draws}"),
                Err(error) => panic!("{name}: {error}"),
                Ok(_) => break,
            }
            draws += 1;
        }
        assert!(draws >= 3, "{name}: id, token and family are drawn");
    }
}
