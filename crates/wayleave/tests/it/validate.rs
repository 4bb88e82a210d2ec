//! Validation: limits and their boundaries, what moves them, and what memory may answer.

use std::time::Duration;

use wayleave::core::authentication::Level;
use wayleave::core::decide::Refusal;
use wayleave::core::record::Limit;
use wayleave::core::time::Timestamp;
use wayleave::core::token::{LinkToken, ServiceToken};
use wayleave::events::{Cause, What};
use wayleave::{Open, Options, Origin};
use wayleave_testkit::StoreVerb;

use crate::fixture::{
    DAY, HOUR, MINUTE, RefreshVerdict, SECOND, TICK, Verdict, World, drain, fingerprinted, from, open, polling,
    refresh_token, shown, verdict,
};

/// R013, R014: the instant of a limit is too late, one tick before is not, warm and cold.
#[tokio::test]
async fn boundaries_are_closed() {
    let cases = [
        (open("web"), 30 * MINUTE, Limit::Idle),
        (open("idle"), 30 * MINUTE, Limit::Idle),
        (open("plain"), 12 * HOUR, Limit::Token),
        (Open { remember: true, ..open("web") }, 30 * DAY, Limit::Absolute),
        (Open { refreshable: false, ..open("plain") }, 12 * HOUR, Limit::Token),
        (Open { duration: Some(SECOND), ..open("plain") }, SECOND, Limit::Token),
    ];
    for (number, (open, limit, passed)) in cases.into_iter().enumerate() {
        for cold in [false, true] {
            let world = World::new();
            let ada = world.person(1).await;
            let opened = world.open_as(&ada, open.clone()).await;
            let token = &opened.issued.access;
            assert_eq!(world.verdict(token).await, Verdict::Valid);
            world.clock.advance(limit - TICK);
            if cold {
                world.manager.forget_everything();
            }
            let polled = world.manager.validate(token, &polling()).await;
            assert_eq!(verdict(polled), Verdict::Valid, "case {number}, cold {cold}");
            world.clock.advance(TICK);
            if cold {
                world.manager.forget_everything();
            }
            assert_eq!(world.verdict(token).await, Verdict::Expired(passed), "case {number}, cold {cold}");
        }
    }
}

/// R014: a user who is active every minute keeps the idle limit off and the absolute one not.
#[tokio::test]
async fn activity_does_not_move_the_absolute_limit() {
    for flushed in [false, true] {
        let world = World::new();
        let ada = world.person(1).await;
        let token = world.open(&ada, "web").await.issued.access;
        for minute in 1..24 * 60 {
            world.clock.advance(MINUTE);
            assert_eq!(world.verdict(&token).await, Verdict::Valid, "minute {minute}");
            if flushed {
                world.manager.flush(10).await.unwrap();
                world.manager.forget_everything();
            }
        }
        world.clock.advance(MINUTE);
        assert_eq!(world.verdict(&token).await, Verdict::Expired(Limit::Absolute));
    }
}

/// R015: a warm session costs the store nothing, and its activity is written down now and then, in one call.
#[tokio::test]
async fn a_warm_session_costs_the_store_nothing() {
    for name in ["web", "plain", "jwt"] {
        let world = World::new();
        let ada = world.person(1).await;
        let token = world.open(&ada, name).await.issued.access;
        world.session_of(&token).await;
        world.store.faults().reset();
        world.directory.faults().reset();
        for _ in 0..10 * 60 {
            world.clock.advance(SECOND);
            assert_eq!(world.verdict(&token).await, Verdict::Valid);
        }
        assert!(world.store.faults().calls().is_empty(), "{name}: {:?}", world.store.faults().calls());
        assert!(world.directory.faults().calls().is_empty(), "{name}");
        assert_eq!(world.manager.warm(), (1, 1), "{name}");
        assert_eq!(world.manager.flush(10).await.unwrap(), 1);
        assert_eq!(world.store.faults().calls().into_iter().collect::<Vec<_>>(), [(StoreVerb::Touch, 1)], "{name}");
    }
}

/// R015: flushed every second, ten minutes of a request a second are written down no more than once per throttle.
#[tokio::test]
async fn activity_is_written_down_once_per_throttle() {
    for (name, most) in [("web", 11), ("plain", 11)] {
        let world = World::new();
        let ada = world.person(1).await;
        let token = world.open(&ada, name).await.issued.access;
        for _ in 0..10 * 60 {
            world.clock.advance(SECOND);
            assert_eq!(world.verdict(&token).await, Verdict::Valid);
            world.manager.flush(10).await.unwrap();
        }
        let touches = world.store.faults().calls_of(StoreVerb::Touch);
        assert!((9..=most).contains(&touches), "{name}: {touches}");
    }
}

/// R015: whatever a node knows of activity and is lost with it, no session outlives its last activity by more than the
/// idle limit, and none dies earlier than a throttle before.
#[tokio::test]
async fn a_lost_node_costs_at_most_a_throttle() {
    // A twentieth of half an hour is 90 s, and a minute is the most.
    let (idle, throttle) = (30 * MINUTE, MINUTE);
    for step in [7 * SECOND, 59 * SECOND, 61 * SECOND] {
        let world = World::new();
        let ada = world.person(1).await;
        let token = world.open(&ada, "web").await.issued.access;
        for _ in 0..20 {
            world.clock.advance(step);
            assert_eq!(world.verdict(&token).await, Verdict::Valid);
        }
        world.manager.flush(10).await.unwrap();
        let other = world.second_node();
        world.clock.advance(idle - throttle - TICK);
        let polled = other.manager.validate(&token, &polling()).await;
        assert_eq!(verdict(polled), Verdict::Valid, "{step:?}");
        world.clock.advance(throttle + TICK);
        assert_eq!(other.verdict(&token).await, Verdict::Expired(Limit::Idle), "{step:?}");
    }
}

/// R016, A14: what is not the user's doing leaves the idle limit running, at validation and at refresh.
#[tokio::test]
async fn polling_does_not_keep_a_session_alive() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "idle").await;
    let mut refresh = refresh_token(&opened.issued).to_owned();
    let mut access = opened.issued.access;
    for _ in 0..29 {
        world.clock.advance(MINUTE);
        let refreshed = world.manager.refresh(&refresh, &polling()).await.unwrap_or_else(|error| panic!("{error}"));
        refresh = refresh_token(&refreshed.issued).to_owned();
        access = refreshed.issued.access;
        let polled = world.manager.validate(&access, &polling()).await;
        assert_eq!(verdict(polled), Verdict::Valid);
    }
    world.clock.advance(MINUTE);
    assert_eq!(world.verdict(&access).await, Verdict::Expired(Limit::Idle));
    assert_eq!(world.refresh_verdict(&refresh).await, RefreshVerdict::Expired(Limit::Idle));
}

/// R017, A15: what was found expired stays so when the clock goes back: in memory, without memory, on another node.
#[tokio::test]
async fn a_clock_set_back_revives_nothing() {
    let cases = [
        (open("web"), 30 * MINUTE, Limit::Idle),
        (open("idle"), 30 * MINUTE, Limit::Idle),
        (open("plain"), 12 * HOUR, Limit::Token),
        (open("plain"), 7 * DAY, Limit::Absolute),
        (Open { refreshable: false, ..open("plain") }, 12 * HOUR, Limit::Token),
    ];
    for (number, (open, limit, passed)) in cases.into_iter().enumerate() {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open_as(&ada, open).await;
        let token = &opened.issued.access;
        assert_eq!(world.verdict(token).await, Verdict::Valid);
        let mut events = world.manager.subscribe(10);
        world.clock.advance(limit);
        assert_eq!(world.verdict(token).await, Verdict::Expired(passed), "case {number}");
        world.clock.rewind(limit);
        // A limit that was passed is told as the one that is left: the clock says no more than that.
        let after = if passed == Limit::Token && opened.issued.refresh.is_some() { Limit::Token } else { Limit::Idle };
        assert_eq!(world.verdict(token).await, Verdict::Expired(after), "case {number}, warm");
        world.manager.forget_everything();
        assert_eq!(world.verdict(token).await, Verdict::Expired(after), "case {number}, cold");
        assert_eq!(world.second_node().verdict(token).await, Verdict::Expired(after), "case {number}, other node");
        assert_eq!(drain(&mut events), [What::Expired(passed)], "case {number}: told once");
        if let Some(refresh) = &opened.issued.refresh {
            let expected =
                if passed == Limit::Token { RefreshVerdict::Minted } else { RefreshVerdict::Expired(Limit::Idle) };
            assert_eq!(world.refresh_verdict(refresh).await, expected, "case {number}");
        }
    }
}

/// R017: nor does it revive what another node was the first to find expired.
#[tokio::test]
async fn what_another_node_found_expired_is_not_revived() {
    for name in ["web", "plain"] {
        let world = World::new();
        let ada = world.person(1).await;
        let token = world.open(&ada, name).await.issued.access;
        assert_eq!(world.verdict(&token).await, Verdict::Valid);
        let other = world.second_node();
        world.clock.advance(12 * HOUR);
        for node in [&other, &world] {
            assert_ne!(node.verdict(&token).await, Verdict::Valid, "{name}");
        }
        world.clock.rewind(12 * HOUR);
        for node in [&world, &other] {
            assert_ne!(node.verdict(&token).await, Verdict::Valid, "{name}");
        }
    }
}

/// Activity that waits to be written down outlives the token it came by, so that a refresh finds it.
#[tokio::test]
async fn an_ended_token_costs_no_activity() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open_as(&ada, Open { duration: Some(40 * MINUTE), ..open("idle") }).await;
    world.clock.advance(29 * MINUTE);
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
    world.clock.advance(11 * MINUTE);
    for _ in 0..2 {
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Token));
    }
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Minted);
}

/// R017: a JWT that was seen to have ended stays so on this node.
#[tokio::test]
async fn a_clock_set_back_revives_no_jwt() {
    let world = World::new();
    let ada = world.person(1).await;
    let token = world.open(&ada, "jwt").await.issued.access;
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    world.clock.advance(15 * MINUTE - SECOND);
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    world.clock.advance(SECOND);
    assert_eq!(world.verdict(&token).await, Verdict::Expired(Limit::Token));
    world.clock.rewind(10 * MINUTE);
    assert_eq!(world.verdict(&token).await, Verdict::Invalid);
}

/// A15: no clock panics, and none makes anything valid that was not.
#[tokio::test]
async fn absurd_clocks_do_no_harm() {
    let world = World::new();
    let ada = world.person(1).await;
    for name in ["web", "plain", "jwt", "idle"] {
        let opened = world.open(&ada, name).await;
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        world.clock.set(Timestamp::MAX);
        assert_ne!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        world.clock.set(Timestamp::MIN);
        assert_ne!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        let at_the_beginning = world.open(&ada, name).await;
        assert_eq!(world.verdict(&at_the_beginning.issued.access).await, Verdict::Valid);
        world.clock.set(Timestamp::MAX);
        let at_the_end = world.open(&ada, name).await;
        assert_ne!(world.verdict(&at_the_end.issued.access).await, Verdict::Valid, "{name}");
        world.clock.set(wayleave_testkit::FakeClock::START);
    }
}

/// A13, R018-R021: what ended a session is felt at the next request by every credential of it, on the node that ended
/// it and on one that never saw it.
#[tokio::test]
async fn nothing_survives_the_end() {
    type Ends = for<'a> fn(&'a World, &'a wayleave::Opened) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    let ends: [(&str, Ends); 6] = [
        ("sign-out", |world, opened| {
            Box::pin(async move {
                let session = world.session(opened).await;
                let ended = world.manager.sign_out(&session, &Origin::default()).await.unwrap();
                assert_eq!(ended.0.len(), 1);
            })
        }),
        ("revoked token", |world, opened| {
            Box::pin(async move {
                world.manager.revoke_token(&opened.issued.access, Cause::SignOut, &shown()).await.unwrap();
            })
        }),
        ("revoked refresh token", |world, opened| {
            Box::pin(async move {
                let refresh = refresh_token(&opened.issued);
                world.manager.revoke_token(refresh, Cause::SignOut, &shown()).await.unwrap();
            })
        }),
        ("administrator", |world, opened| {
            Box::pin(async move {
                let ended = world.manager.end_one(&opened.record.id, Cause::Administrator, &Origin::default()).await;
                assert!(ended.unwrap().is_some());
            })
        }),
        ("password changed", |world, opened| {
            Box::pin(async move {
                let subject = opened.record.subject.as_ref().unwrap();
                world.edit_and_tell(subject, |account| account.epoch += 1).await;
            })
        }),
        ("disabled", |world, opened| {
            Box::pin(async move {
                let subject = opened.record.subject.as_ref().unwrap();
                world.edit_and_tell(subject, |account| account.disabled = true).await;
            })
        }),
    ];
    for (what, end) in ends {
        for name in ["plain", "jwt"] {
            let world = World::new();
            let ada = world.person(1).await;
            let opened = world.open(&ada, name).await;
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
            end(&world, &opened).await;
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{what}, {name}");
            let refresh = world.refresh_verdict(refresh_token(&opened.issued)).await;
            assert_eq!(refresh, RefreshVerdict::Invalid, "{what}, {name}");
            assert_eq!(world.second_node().verdict(&opened.issued.access).await, Verdict::Invalid, "{what}, {name}");
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{what}, {name}: for good");
        }
    }
}

/// R006, A43: every kind of token is good in its place alone. Wrong ones cost the store nothing.
#[tokio::test]
async fn tokens_of_other_kinds_prove_nothing() {
    let world = World::new();
    let ada = world.person(1).await;
    let opaque = world.open(&ada, "plain").await;
    let signed = world.open(&ada, "jwt").await;
    let assertion = world.manager.assert(&world.session(&signed).await).unwrap();
    let (service, link) = (ServiceToken::new([1; 34]).reveal(), LinkToken::new([1; 34]).reveal());
    world.store.faults().reset();
    let mut events = world.manager.subscribe(10);
    for token in [refresh_token(&opaque.issued), refresh_token(&signed.issued), &assertion, &service, &link] {
        assert_eq!(world.verdict(token).await, Verdict::Invalid, "{token}");
    }
    for token in [&opaque.issued.access[..], &signed.issued.access, &assertion, &service, &link] {
        assert_eq!(world.refresh_verdict(token).await, RefreshVerdict::Invalid, "{token}");
    }
    assert!(world.store.faults().calls().is_empty());
    assert!(drain(&mut events).is_empty());
    assert_eq!(world.verdict(&opaque.issued.access).await, Verdict::Valid);
    assert_eq!(world.verdict(&signed.issued.access).await, Verdict::Valid);
}

/// A10: other spellings of a good token are not it, and nobody is asked about them.
#[tokio::test]
async fn there_is_one_spelling_of_a_token() {
    let world = World::new();
    let ada = world.person(1).await;
    let good = world.open(&ada, "plain").await.issued.access;
    assert_eq!(world.verdict(&good).await, Verdict::Valid);
    let swapped: String = good
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    world.store.faults().reset();
    for bad in [
        String::new(),
        " ".into(),
        format!(" {}", *good),
        format!("{}\n", *good),
        format!("{}=", *good),
        format!("{}.", *good),
        good.replace("wl_", "wl-"),
        good.replace("wl_", "WL_"),
        good.replace("wl_", "ｗl_"),
        good[..good.len() - 1].to_owned(),
        format!("wl_{}", "A".repeat(51)),
        "wl_".repeat(18),
        "x".repeat(1 << 20),
        format!("ey{}", "J".repeat(1 << 20)),
        swapped,
    ] {
        assert_eq!(world.verdict(&bad).await, Verdict::Invalid, "{:?}", bad.get(..80));
    }
    assert!(world.store.faults().calls().is_empty());
}

/// R027: what a changed client leads to, by mode. `fresh` is asked right after the sign-in, when only a suspicion can
/// make it false.
#[tokio::test]
async fn fingerprints_are_judged_by_mode() {
    struct Expected {
        verdict: Verdict,
        drifted: bool,
        fresh: bool,
        told: Vec<What>,
    }
    let valid = |drifted, fresh, told: &[What]| Expected { verdict: Verdict::Valid, drifted, fresh, told: told.into() };
    let mismatch = What::FingerprintMismatch;
    let cases = [
        ("off", 1, valid(false, true, &[])),
        ("off", 2, valid(false, true, &[])),
        ("observe", 1, valid(false, true, &[])),
        ("observe", 2, valid(true, true, std::slice::from_ref(&mismatch))),
        ("step-up", 1, valid(false, true, &[])),
        ("step-up", 2, valid(true, false, std::slice::from_ref(&mismatch))),
        ("revoke", 1, valid(false, true, &[])),
        (
            "revoke",
            2,
            Expected {
                verdict: Verdict::Invalid,
                drifted: false,
                fresh: false,
                told: vec![What::Refused(Refusal::Fingerprint), What::Revoked(Cause::Fingerprint)],
            },
        ),
    ];
    for (name, client, expected) in cases {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open(name) }).await;
        let token = &opened.issued.access;
        // Warm for the known client; the other one must not be answered by that.
        assert!(!world.manager.validate(token, &from(1)).await.unwrap().drifted());
        let mut events = world.manager.subscribe(10);
        let result = world.manager.validate(token, &from(client)).await;
        if let Ok(session) = &result {
            assert_eq!(session.drifted(), expected.drifted, "{name} {client}");
            assert_eq!(session.fresh(5 * MINUTE, world.manager.now()).is_ok(), expected.fresh, "{name} {client}");
        }
        assert_eq!(verdict(result), expected.verdict, "{name} {client}");
        assert_eq!(drain(&mut events), expected.told, "{name} {client}");
        if expected.verdict == Verdict::Valid {
            // Judged once, told once, answered from memory afterwards.
            world.store.faults().reset();
            for _ in 0..10 {
                let again = world.manager.validate(token, &from(client)).await.unwrap();
                assert_eq!(again.drifted(), expected.drifted, "{name} {client}");
            }
            assert!(world.store.faults().calls().is_empty(), "{name} {client}");
            assert!(drain(&mut events).is_empty(), "{name} {client}");
            let known = world.manager.validate(token, &from(1)).await.unwrap();
            assert!(!known.drifted(), "{name}: the known client is not blamed for the other");
        } else {
            assert_eq!(verdict(world.manager.validate(token, &from(1)).await), Verdict::Invalid, "{name}");
        }
    }
}

/// R025: a sign-in is recent for less than the time that is asked for.
#[tokio::test]
async fn a_sign_in_is_fresh_for_a_while() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "web").await;
    let most = 5 * MINUTE;
    for (advance, fresh) in [(Duration::ZERO, true), (most - TICK, true), (TICK, false), (HOUR / 4, false)] {
        let now = world.clock.advance(advance);
        let session = world.session(&opened).await;
        assert_eq!(session.fresh(most, now).is_ok(), fresh, "{advance:?}");
        assert_eq!(session.record().authentication.unwrap().level, Level::ONE);
    }
}

/// A cache of nothing changes no answer.
#[tokio::test]
async fn works_without_memory() {
    let world = World::with(Options { warm_sessions: 0, unknown_tokens: 0, pending_touches: 0 });
    let ada = world.person(1).await;
    for name in ["web", "jwt"] {
        let opened = world.open(&ada, name).await;
        for _ in 0..3 {
            world.clock.advance(MINUTE);
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        }
        let session = world.session(&opened).await;
        world.manager.sign_out(&session, &Origin::default()).await.unwrap();
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid);
    }
    assert_eq!(world.manager.warm(), (0, 0));
}

/// Memory holds as many sessions as it may and no more; those that do not fit are asked for.
#[tokio::test]
async fn memory_is_bounded() {
    let world = World::with(Options { warm_sessions: 10, unknown_tokens: 10, pending_touches: 10 });
    let ada = world.person(1).await;
    let mut tokens = Vec::new();
    world.change_kind("plain", |policy| policy.concurrency.most = 100);
    for _ in 0..50 {
        tokens.push(world.open(&ada, "plain").await.issued.access);
    }
    world.clock.advance(HOUR);
    for token in &tokens {
        assert_eq!(world.verdict(token).await, Verdict::Valid);
    }
    let (warm, pending) = world.manager.warm();
    assert!(warm <= 10, "{warm}");
    assert!(pending <= 10, "{pending}");
}
