//! Rules and standings that change while sessions live: they bite at the next request.

use wayleave::core::authentication::Level;
use wayleave::core::decide::Refusal;
use wayleave::core::permission::Ceiling;
use wayleave::core::policy::{IdleLimit, Policy, SessionTimeout};
use wayleave::core::record::Limit;
use wayleave::events::What;
use wayleave_testkit::StoreVerb;

use crate::fixture::{
    HOUR, MINUTE, RefreshVerdict, SECOND, TICK, Verdict, World, drain, kind, open, permissions, polling, refresh_token,
};

/// A shorter session timeout ends an idle session at its next request; a longer one lets live ones live longer.
#[tokio::test]
async fn the_session_timeout_takes_effect_at_once() {
    let world = World::new();
    let ada = world.person(1).await;
    let token = world.open(&ada, "web").await.issued.access;
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    world.clock.advance(10 * MINUTE);
    world.set_timeout(11);
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
    assert_eq!(world.session_of(&token).await.idle_expires_at(), Some(world.manager.now().plus(11 * MINUTE)));
    world.clock.advance(10 * MINUTE);
    world.set_timeout(10);
    assert_eq!(world.verdict(&token).await, Verdict::Expired(Limit::Idle));
    // R017: and no setting brings it back.
    world.set_timeout(1440);
    assert_eq!(world.verdict(&token).await, Verdict::Expired(Limit::Idle));

    let token = world.open(&ada, "web").await.issued.access;
    world.clock.advance(23 * HOUR);
    assert_eq!(world.verdict(&token).await, Verdict::Valid);
}

/// When a session ends by idling is told as it is: a longer limit counts from the next activity on.
#[tokio::test]
async fn the_idle_end_is_told_as_it_is() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "web").await;
    let (start, token) = (opened.record.created_at, &opened.issued.access);
    for (timeout, expected) in [(30, 30), (60, 30), (20, 20)] {
        world.set_timeout(timeout);
        let session = world.manager.validate(token, &polling()).await.unwrap();
        assert_eq!(session.idle_expires_at(), Some(start.plus(expected * MINUTE)), "{timeout}");
    }
    world.set_timeout(60);
    world.clock.advance(10 * MINUTE);
    assert_eq!(world.session(&opened).await.idle_expires_at(), Some(start.plus(70 * MINUTE)));
}

/// A longer timeout revives nothing that had passed the one before, whether anybody had noticed or not.
#[tokio::test]
async fn a_longer_timeout_revives_nothing() {
    for noticed in [false, true] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, "idle").await;
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        world.clock.advance(31 * MINUTE);
        if noticed {
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Idle));
        }
        world.change_kind("idle", |policy| policy.idle_limit = IdleLimit::Fixed(24 * HOUR));
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Idle), "{noticed}");
        world.change_kind("idle", |policy| policy.idle_limit = IdleLimit::None);
        let refresh = world.refresh_verdict(refresh_token(&opened.issued)).await;
        assert_eq!(refresh, RefreshVerdict::Expired(Limit::Idle), "{noticed}");
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Idle), "{noticed}");
    }
}

/// R017: what a timeout of the past had ended is written down as ended once it is noticed, by a validation or a refresh.
/// From then on it rests neither on the setting that remembers that timeout nor on the clock.
#[tokio::test]
async fn what_an_earlier_timeout_ended_is_written_down() {
    for by_refresh in [false, true] {
        let world = World::new();
        let ada = world.person(1).await;
        let name = if by_refresh { "timed" } else { "web" };
        world.change_rules(|kinds, rules| {
            let timed = Policy { idle_limit: IdleLimit::SessionTimeout, ..kinds[&kind("plain")].clone() };
            kinds.insert(kind("timed"), timed);
            rules.session_timeout = SessionTimeout::from_minutes(30).unwrap();
        });
        let opened = world.open(&ada, name).await;
        world.clock.advance(12 * MINUTE);
        let (ten, sixty) = (SessionTimeout::from_minutes(10).unwrap(), SessionTimeout::from_minutes(60).unwrap());
        world.change_rules(|_, rules| rules.session_timeout = ten.changed_to(sixty, world.manager.now()));
        if by_refresh {
            let refreshed = world.refresh_verdict(refresh_token(&opened.issued)).await;
            assert_eq!(refreshed, RefreshVerdict::Expired(Limit::Idle));
        } else {
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Idle));
        }
        assert_eq!(world.records().await[0].expired_at, Some(world.manager.now()), "{name}");
        world.set_timeout(60);
        world.clock.rewind(11 * MINUTE);
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Idle), "{name}");
    }
}

/// R017: a refresh that finds a session past a shorter limit ends it as a validation does.
#[tokio::test]
async fn what_a_refresh_finds_expired_stays_so() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "idle").await;
    let refresh = refresh_token(&opened.issued);
    let mut events = world.manager.subscribe(10);
    world.clock.advance(10 * MINUTE);
    world.change_kind("idle", |policy| policy.idle_limit = IdleLimit::Fixed(10 * MINUTE));
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Expired(Limit::Idle));
    world.change_kind("idle", |policy| policy.idle_limit = IdleLimit::Fixed(HOUR));
    world.clock.rewind(9 * MINUTE);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Expired(Limit::Idle));
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Idle));
    assert_eq!(drain(&mut events), [What::Expired(Limit::Idle)]);
}

/// Nor is the pair of a lost answer given again once a shorter limit has ended the session.
#[tokio::test]
async fn a_lost_answer_is_not_repeated_past_a_limit() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "idle").await;
    let refresh = refresh_token(&opened.issued);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Minted);
    world.clock.advance(2 * SECOND);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Repeated);
    world.change_kind("idle", |policy| policy.idle_limit = IdleLimit::Fixed(SECOND));
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Expired(Limit::Idle));
    world.change_kind("idle", |policy| policy.idle_limit = IdleLimit::Fixed(HOUR));
    assert_ne!(world.refresh_verdict(refresh).await, RefreshVerdict::Repeated, "for good");
}

/// A demotion of the account bites at the next request, inside a JWT's life too; a promotion gives nothing that was
/// not granted at sign-in.
#[tokio::test]
async fn a_demotion_bites_at_the_next_request() {
    for name in ["plain", "jwt"] {
        let world = World::new();
        let ada = world.person_with(1, &["read:profile", "users:manage"]).await;
        let token = world.open(&ada, name).await.issued.access;
        assert_eq!(*world.session_of(&token).await.permissions(), permissions(&["read:profile", "users:manage"]));
        world.edit_and_tell(&ada, |account| account.permissions = permissions(&["read:profile"])).await;
        assert_eq!(*world.session_of(&token).await.permissions(), permissions(&["read:profile"]), "{name}");
        let more = ["read:profile", "users:manage", "audit:read"];
        world.edit_and_tell(&ada, |account| account.permissions = permissions(&more)).await;
        let granted = permissions(&["read:profile", "users:manage"]);
        assert_eq!(*world.session_of(&token).await.permissions(), granted, "{name}");
        world.edit_and_tell(&ada, |account| account.permissions = permissions(&[])).await;
        assert!(world.session_of(&token).await.permissions().is_empty(), "{name}");
    }
}

/// R020, R021: disabled, and everything before an epoch ended. Enabled again, a disabled one goes on; one of an older
/// epoch never does.
#[tokio::test]
async fn standing_is_judged_at_the_next_request() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let (token, refresh) = (&opened.issued.access, refresh_token(&opened.issued));
    assert_eq!(world.verdict(token).await, Verdict::Valid);
    let mut events = world.manager.subscribe(10);

    world.edit_and_tell(&ada, |account| account.disabled = true).await;
    assert_eq!(world.verdict(token).await, Verdict::Invalid);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Invalid);
    assert_eq!(drain(&mut events), [What::Refused(Refusal::Disabled), What::Refused(Refusal::Disabled)]);
    world.edit_and_tell(&ada, |account| account.disabled = false).await;
    assert_eq!(world.verdict(token).await, Verdict::Valid);

    world.edit_and_tell(&ada, |account| account.epoch += 1).await;
    assert_eq!(world.verdict(token).await, Verdict::Invalid);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Invalid);
    assert_eq!(drain(&mut events), [What::Refused(Refusal::Superseded), What::Refused(Refusal::Superseded)]);
    let again = world.open(&ada, "plain").await;
    assert_eq!(world.verdict(&again.issued.access).await, Verdict::Valid);
    assert_eq!(world.verdict(token).await, Verdict::Invalid);
}

/// A13: a standing that ends by itself takes its subject's sessions with it from that very instant, without anybody
/// telling the manager: those in memory, those that are not, and those of a JWT whose signature was checked before.
#[tokio::test]
async fn a_standing_that_ends_by_itself_ends_its_sessions() {
    for name in ["plain", "jwt"] {
        for cold in [false, true] {
            let world = World::new();
            let shopper = world.service_subject("shop", 5 * MINUTE).await;
            let opened = world.open(&shopper, name).await;
            let token = &opened.issued.access;
            assert_eq!(world.verdict(token).await, Verdict::Valid);
            world.store.faults().reset();
            world.clock.advance(5 * MINUTE - TICK);
            if cold {
                world.manager.forget_everything();
            }
            assert_eq!(world.verdict(token).await, Verdict::Valid, "{name}, cold {cold}");
            assert_eq!(world.store.faults().calls().is_empty(), !cold, "{name}, cold {cold}: answered from memory");
            let mut events = world.manager.subscribe(10);
            world.clock.advance(TICK);
            if cold {
                world.manager.forget_everything();
            }
            assert_eq!(world.verdict(token).await, Verdict::Invalid, "{name}, cold {cold}");
            assert_eq!(drain(&mut events), [What::Refused(Refusal::Disabled)], "{name}, cold {cold}");
            let refresh = world.refresh_verdict(refresh_token(&opened.issued)).await;
            assert_eq!(refresh, RefreshVerdict::Invalid, "{name}, cold {cold}");
            assert_eq!(world.second_node().verdict(token).await, Verdict::Invalid, "{name}, cold {cold}");
            assert!(world.try_open(&shopper, open(name)).await.is_err(), "{name}, cold {cold}");
        }
    }
}

/// Kinds change and go while sessions of them live.
#[tokio::test]
async fn kinds_change_under_live_sessions() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let (token, refresh) = (&opened.issued.access, refresh_token(&opened.issued));
    assert_eq!(world.verdict(token).await, Verdict::Valid);
    let before = world.manager.rules().kinds.policy(&kind("plain")).unwrap().clone();

    world.change_kind("plain", |policy| policy.ceiling = Ceiling::Only(permissions(&["read:profile"])));
    assert_eq!(*world.session(&opened).await.permissions(), permissions(&["read:profile"]));

    world.change_kind("plain", |policy| policy.level = Level::TWO);
    assert_eq!(world.verdict(token).await, Verdict::Invalid);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Invalid);
    world.change_kind("plain", |policy| {
        policy.level = Level::ONE;
        policy.requires_licence = true;
    });
    assert_eq!(world.verdict(token).await, Verdict::Invalid);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Invalid);

    world.change_rules(|kinds, _| drop(kinds.remove(&kind("plain"))));
    assert_eq!(world.verdict(token).await, Verdict::Invalid);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Invalid);
    assert!(world.try_open(&ada, open("plain")).await.is_err());
    assert_eq!(world.records().await.len(), 1, "a kind that is gone ends nothing: it may come back");

    world.change_rules(|kinds, _| drop(kinds.insert(kind("plain"), before)));
    assert_eq!(world.verdict(token).await, Verdict::Valid);
    assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Minted);
}

/// What happens to one subject does not make the whole deployment ask the store again.
#[tokio::test]
async fn a_change_of_one_subject_leaves_the_others_warm() {
    let world = World::new();
    let mut tokens = Vec::new();
    for number in 1..=20 {
        let person = world.person(number).await;
        tokens.push(world.open(&person, "plain").await.issued.access);
    }
    let changed = world.person(100).await;
    for token in &tokens {
        assert_eq!(world.verdict(token).await, Verdict::Valid);
    }
    world.store.faults().reset();
    world.manager.subject_changed(&changed).await.unwrap();
    for token in &tokens {
        assert_eq!(world.verdict(token).await, Verdict::Valid);
    }
    // A few may share its shard.
    let asked = world.store.faults().calls_of(StoreVerb::Find);
    assert!(asked <= 2, "{asked}");
    world.manager.forget_everything();
    for token in &tokens {
        assert_eq!(world.verdict(token).await, Verdict::Valid);
    }
    assert_eq!(world.store.faults().calls_of(StoreVerb::Find), asked + 20);
}
