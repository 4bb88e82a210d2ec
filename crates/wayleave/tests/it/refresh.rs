//! Refreshing: one use per token, the identical answer inside the window, the end of the family outside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use wayleave::core::record::Limit;
use wayleave::events::{Cause, What};
use wayleave::{Open, Origin, Refreshed};
use wayleave_testkit::StoreVerb;

use crate::fixture::{
    DAY, HOUR, MINUTE, RefreshVerdict, SECOND, TICK, Verdict, World, drain, fingerprinted, from, open, permissions,
    polling, refresh_token, refresh_verdict, shown,
};

async fn minted(world: &World, token: &str) -> Refreshed {
    let refreshed = world.refresh(token).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(!refreshed.repeated);
    refreshed
}

fn pair(refreshed: &Refreshed) -> (&str, &str) {
    (&refreshed.issued.access, refresh_token(&refreshed.issued))
}

/// R063, R064: each exchange gives a new pair, and what it replaces is dead at once, also where it was warm.
#[tokio::test]
async fn every_exchange_gives_a_new_pair() {
    for name in ["plain", "idle"] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, name).await;
        let (mut access, mut refresh) = (opened.issued.access.to_string(), refresh_token(&opened.issued).to_owned());
        let mut seen = BTreeSet::from([access.clone(), refresh.clone()]);
        for generation in 1..=5 {
            world.clock.advance(20 * MINUTE);
            assert_eq!(world.verdict(&access).await, Verdict::Valid);
            let refreshed = minted(&world, &refresh).await;
            assert_eq!(world.verdict(&access).await, Verdict::Invalid, "the token before");
            (access, refresh) = (refreshed.issued.access.to_string(), refresh_token(&refreshed.issued).to_owned());
            assert!(seen.insert(access.clone()) && seen.insert(refresh.clone()));
            assert_eq!(refreshed.record.id, opened.record.id);
            assert_eq!(refreshed.record.refresh.as_ref().unwrap().generation, generation);
            assert_eq!(refreshed.record.absolute_expires_at, opened.record.absolute_expires_at);
            assert_eq!(world.verdict(&access).await, Verdict::Valid);
        }
    }
}

/// R065, A39: a hundred exchanges of one token at once mint once. With a window all get the identical pair; without one
/// the others are a theft.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_exchanges_mint_once() {
    for window in [10 * SECOND, Duration::ZERO] {
        let world = Arc::new(World::new());
        world.change_rules(|_, rules| rules.refresh_window = window);
        let ada = world.person(1).await;
        let opened = world.open(&ada, "plain").await;
        let token: Arc<str> = refresh_token(&opened.issued).into();
        let barrier = Arc::new(Barrier::new(100));
        let exchanges: Vec<_> = (0..100)
            .map(|_| {
                let (world, token, barrier) = (Arc::clone(&world), Arc::clone(&token), Arc::clone(&barrier));
                tokio::spawn(async move {
                    barrier.wait().await;
                    world.refresh(&token).await
                })
            })
            .collect();
        let mut verdicts = Vec::new();
        let mut pairs = BTreeSet::new();
        for exchange in exchanges {
            let result = exchange.await.unwrap();
            verdicts.push(refresh_verdict(&result));
            if let Ok(refreshed) = result {
                let (access, refresh) = pair(&refreshed);
                pairs.insert((access.to_owned(), refresh.to_owned()));
            }
        }
        let count = |verdict| verdicts.iter().filter(|found| **found == verdict).count();
        assert_eq!((count(RefreshVerdict::Minted), pairs.len()), (1, 1), "{verdicts:?}");
        let (access, refresh) = pairs.pop_first().unwrap();
        if window.is_zero() {
            assert_eq!(count(RefreshVerdict::Reused), 1);
            assert_eq!(count(RefreshVerdict::Invalid), 98, "there is nothing left to find");
            assert_eq!(world.verdict(&access).await, Verdict::Invalid);
            assert_eq!(world.live().await, 0);
        } else {
            assert_eq!(count(RefreshVerdict::Repeated), 99);
            assert_eq!(world.verdict(&access).await, Verdict::Valid);
            minted(&world, &refresh).await;
            assert_eq!(world.live().await, 1);
        }
    }
}

/// R066: inside the window, from the same client, while the successor is unused, the identical pair is answered, and
/// nothing about it is extended. In every other case the family ends.
#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_for_a_while() {
    const WINDOW: Duration = Duration::from_secs(10);
    struct Case {
        after: Duration,
        client: Option<u8>,
        successor_used: bool,
        window: Duration,
        expected: RefreshVerdict,
    }
    let case = |after, expected| Case { after, client: Some(1), successor_used: false, window: WINDOW, expected };
    let cases = [
        case(Duration::ZERO, RefreshVerdict::Repeated),
        case(WINDOW - TICK, RefreshVerdict::Repeated),
        case(WINDOW, RefreshVerdict::Reused),
        case(HOUR, RefreshVerdict::Reused),
        Case { client: Some(2), ..case(SECOND, RefreshVerdict::Reused) },
        Case { client: None, ..case(SECOND, RefreshVerdict::Reused) },
        Case { successor_used: true, ..case(SECOND, RefreshVerdict::Reused) },
        Case { window: Duration::ZERO, ..case(Duration::ZERO, RefreshVerdict::Reused) },
    ];
    for name in ["plain", "jwt"] {
        for (number, Case { after, client, successor_used, window, expected }) in cases.iter().enumerate() {
            let world = World::new();
            world.change_rules(|_, rules| rules.refresh_window = *window);
            let ada = world.person(1).await;
            let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open(name) }).await;
            let token = refresh_token(&opened.issued);
            let first = world.manager.refresh(token, &from(1)).await.unwrap_or_else(|error| panic!("{error}"));
            if *successor_used {
                let refresh = refresh_token(&first.issued);
                world.manager.refresh(refresh, &from(1)).await.unwrap_or_else(|error| panic!("{error}"));
            }
            world.clock.advance(*after);
            let asking = client.map_or_else(shown, from);
            let again = world.manager.refresh(token, &asking).await;
            assert_eq!(refresh_verdict(&again), *expected, "{name}, case {number}");
            if let Ok(again) = again {
                assert_eq!(pair(&again), pair(&first), "{name}, case {number}");
                assert_eq!(again.record.token_expires_at, first.record.token_expires_at);
                assert_eq!(again.record.absolute_expires_at, first.record.absolute_expires_at);
                assert_eq!(world.live().await, 1);
            } else {
                assert_eq!(world.verdict(&first.issued.access).await, Verdict::Invalid, "{name}, case {number}");
                assert_eq!(world.live().await, 0);
            }
        }
    }
}

/// R064, A38, A40: whoever comes second, thief or owner, ends it for both, and both learn no more than that.
#[tokio::test]
async fn a_stolen_token_ends_the_family() {
    for thief_comes_first in [true, false] {
        let world = World::new();
        let ada = world.person(1).await;
        let bystander = world.open(&ada, "plain").await;
        let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open("plain") }).await;
        let stolen = refresh_token(&opened.issued);
        let (first, second) = if thief_comes_first { (2, 1) } else { (1, 2) };
        let got = world.manager.refresh(stolen, &from(first)).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(world.verdict(&got.issued.access).await, Verdict::Valid);
        let mut events = world.manager.subscribe(10);
        let late = world.manager.refresh(stolen, &from(second)).await;
        assert_eq!(refresh_verdict(&late), RefreshVerdict::Reused);
        // The second is told apart from the first by its fingerprint alone, which these kinds only observe.
        let told = drain(&mut events);
        let reuse = [What::ReuseDetected, What::Revoked(Cause::Reuse)];
        assert_eq!(told[told.len() - 2..], reuse);
        for token in [&got.issued.access[..], &opened.issued.access] {
            assert_eq!(world.verdict(token).await, Verdict::Invalid);
        }
        for token in [stolen, refresh_token(&got.issued)] {
            assert_eq!(world.refresh_verdict(token).await, RefreshVerdict::Invalid);
        }
        assert_eq!(world.verdict(&bystander.issued.access).await, Verdict::Valid, "another family");
    }
}

/// R064: every token of the chain is a theft when it comes back, not only the last.
#[tokio::test]
async fn any_earlier_token_is_a_theft() {
    for earlier in 0..4 {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, "plain").await;
        let mut chain = vec![refresh_token(&opened.issued).to_owned()];
        for _ in 0..4 {
            let refreshed = minted(&world, chain.last().unwrap()).await;
            chain.push(refresh_token(&refreshed.issued).to_owned());
        }
        world.clock.advance(MINUTE);
        assert_eq!(world.refresh_verdict(&chain[earlier]).await, RefreshVerdict::Reused, "{earlier}");
        assert_eq!(world.refresh_verdict(&chain[4]).await, RefreshVerdict::Invalid, "{earlier}");
    }
}

/// R064: a theft is a theft after the session's end too, and is told of.
#[tokio::test]
async fn a_spent_token_is_a_theft_after_the_end() {
    for advance in [12 * HOUR, 7 * DAY] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, "plain").await;
        minted(&world, refresh_token(&opened.issued)).await;
        world.clock.advance(advance);
        assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Reused);
        assert!(world.records().await.is_empty());
    }
}

/// R014, R068, A42: refreshed one second before the absolute limit, the pair ends with it; at the limit nothing is
/// refreshed.
#[tokio::test]
async fn the_absolute_limit_stays() {
    for name in ["plain", "jwt"] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, name).await;
        let end = opened.record.absolute_expires_at;
        world.clock.set(end.minus(SECOND));
        let refreshed = minted(&world, refresh_token(&opened.issued)).await;
        assert_eq!(refreshed.record.token_expires_at, end);
        let session = world.session_of(&refreshed.issued.access).await;
        assert_eq!((session.expires_at(), session.session_expires_at()), (end, end));
        world.clock.set(end);
        let expected = Verdict::Expired(if name == "jwt" { Limit::Token } else { Limit::Absolute });
        assert_eq!(world.verdict(&refreshed.issued.access).await, expected);
        let late = world.refresh_verdict(refresh_token(&refreshed.issued)).await;
        assert_eq!(late, RefreshVerdict::Expired(Limit::Absolute));
    }
}

/// R068: a session that was not used for its idle limit is not refreshed either; activity that waits to be written
/// down counts.
#[tokio::test]
async fn the_idle_limit_holds() {
    let world = World::new();
    let ada = world.person(1).await;
    let idle = world.open(&ada, "idle").await;
    let used = world.open(&ada, "idle").await;
    world.clock.advance(20 * MINUTE);
    assert_eq!(world.verdict(&used.issued.access).await, Verdict::Valid);
    assert_eq!(world.store.faults().calls_of(StoreVerb::Touch), 0, "not written down yet");
    world.clock.advance(10 * MINUTE);
    assert_eq!(world.refresh_verdict(refresh_token(&idle.issued)).await, RefreshVerdict::Expired(Limit::Idle));
    let refreshed = minted(&world, refresh_token(&used.issued)).await;
    assert_eq!(refreshed.record.last_seen_at, world.manager.now());
    assert_eq!(refreshed.record.idle_expires_at, Some(world.manager.now().plus(30 * MINUTE)));
    // What waited is not left to be written over the newer activity.
    assert_eq!(world.manager.warm().1, 0);
    world.clock.advance(29 * MINUTE);
    assert_eq!(world.verdict(&refreshed.issued.access).await, Verdict::Valid);
}

/// R016: a refresh that is not the user's doing keeps the activity that there was.
#[tokio::test]
async fn a_background_refresh_is_no_activity() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "idle").await;
    let seen = opened.record.last_seen_at;
    world.clock.advance(20 * MINUTE);
    let refreshed = world.manager.refresh(refresh_token(&opened.issued), &polling()).await;
    let refreshed = refreshed.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(refreshed.record.last_seen_at, seen);
    assert_eq!(refreshed.record.idle_expires_at, opened.record.idle_expires_at);
}

/// R069, A42: what is refreshed is narrowed by what account and kind have become, and never widened.
#[tokio::test]
async fn permissions_only_narrow() {
    let scope = |token: &str| {
        use base64::Engine as _;
        let claims = token.split('.').nth(1).unwrap();
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        claims["scope"].as_str().unwrap().to_owned()
    };
    let world = World::new();
    let ada = world.person_with(1, &["read:profile", "users:manage"]).await;
    let opened = world.open(&ada, "jwt").await;
    assert_eq!(scope(&opened.issued.access), "read:profile users:manage");
    // Behind the manager's back: a refresh asks the directory itself (R070).
    world.session(&opened).await;
    world.edit(&ada, |account| account.permissions = permissions(&["read:profile"])).await;
    let narrow = minted(&world, refresh_token(&opened.issued)).await;
    assert_eq!(scope(&narrow.issued.access), "read:profile");
    let more = ["read:profile", "users:manage", "audit:read"];
    world.edit_and_tell(&ada, |account| account.permissions = permissions(&more)).await;
    let wide = minted(&world, refresh_token(&narrow.issued)).await;
    assert_eq!(scope(&wide.issued.access), "read:profile users:manage");
}

/// R070: disabled or superseded behind the manager's back, nothing is refreshed and nothing is spent.
#[tokio::test]
async fn the_account_is_asked_every_time() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let token = refresh_token(&opened.issued);
    world.session(&opened).await;
    world.edit(&ada, |account| account.disabled = true).await;
    assert_eq!(world.refresh_verdict(token).await, RefreshVerdict::Invalid);
    world.edit(&ada, |account| account.disabled = false).await;
    let refreshed = minted(&world, token).await;
    world.edit(&ada, |account| account.disabled = true).await;
    // Inside the window: the pair was given, but it is not given again.
    assert_eq!(world.refresh_verdict(token).await, RefreshVerdict::Invalid);
    world.edit(&ada, |account| account.epoch += 1).await;
    assert_eq!(world.refresh_verdict(refresh_token(&refreshed.issued)).await, RefreshVerdict::Invalid);
}

/// R070, R027: what a changed client leads to, by mode. A kind that ends sessions then wants to be shown the client.
#[tokio::test]
async fn the_client_is_judged_by_mode() {
    let cases = [
        ("off", Some(2), RefreshVerdict::Minted, vec![What::Refreshed]),
        ("observe", Some(1), RefreshVerdict::Minted, vec![What::Refreshed]),
        ("observe", Some(2), RefreshVerdict::Minted, vec![What::FingerprintMismatch, What::Refreshed]),
        ("step-up", Some(2), RefreshVerdict::Minted, vec![What::FingerprintMismatch, What::Refreshed]),
        ("revoke", Some(1), RefreshVerdict::Minted, vec![What::Refreshed]),
        ("revoke", Some(2), RefreshVerdict::Invalid, revoked()),
        ("revoke", None, RefreshVerdict::Invalid, revoked()),
    ];
    fn revoked() -> Vec<What> {
        let refused = What::Refused(wayleave::core::decide::Refusal::Fingerprint);
        vec![refused, What::Revoked(Cause::Fingerprint)]
    }
    for (name, client, expected, told) in cases {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open(name) }).await;
        let mut events = world.manager.subscribe(10);
        let asking = client.map_or_else(shown, from);
        let result = world.manager.refresh(refresh_token(&opened.issued), &asking).await;
        assert_eq!(refresh_verdict(&result), expected, "{name} {client:?}");
        assert_eq!(drain(&mut events), told, "{name} {client:?}");
        assert_eq!(world.live().await, u64::from(expected == RefreshVerdict::Minted), "{name} {client:?}");
    }
}

/// A42: after the sign-out there is nothing to refresh, with whichever token of the family.
#[tokio::test]
async fn nothing_is_refreshed_after_sign_out() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let refreshed = minted(&world, refresh_token(&opened.issued)).await;
    let session = world.session_of(&refreshed.issued.access).await;
    world.manager.sign_out(&session, &Origin::default()).await.unwrap();
    for token in [refresh_token(&opened.issued), refresh_token(&refreshed.issued)] {
        assert_eq!(world.refresh_verdict(token).await, RefreshVerdict::Invalid);
    }
}

/// An access token that has ended is what a refresh is for.
#[tokio::test]
async fn an_ended_access_token_is_renewed() {
    for name in ["plain", "jwt"] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, name).await;
        world.clock.advance(13 * HOUR);
        assert_ne!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        let refreshed = minted(&world, refresh_token(&opened.issued)).await;
        assert_eq!(world.verdict(&refreshed.issued.access).await, Verdict::Valid);
        assert_ne!(world.verdict(&opened.issued.access).await, Verdict::Valid);
    }
}

/// Other spellings of a good token are not it, and nobody is asked about them; a well-formed stranger is told of.
#[tokio::test]
async fn strangers_are_refused() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let good = refresh_token(&opened.issued);
    let mut events = world.manager.subscribe(10);
    world.store.faults().reset();
    for bad in ["", "rt_", &good.to_uppercase(), &good[..53], &format!("{good} "), &good.replace("rt_", "wl_")] {
        assert_eq!(world.refresh_verdict(bad).await, RefreshVerdict::Invalid, "{bad}");
    }
    assert!(world.store.faults().calls().is_empty());
    assert!(drain(&mut events).is_empty());
    let slot = opened.record.slot;
    let stranger = wayleave::core::token::RefreshToken::new([9; 32], slot, &crate::fixture::routing()).reveal();
    assert_eq!(world.refresh_verdict(&stranger).await, RefreshVerdict::Invalid);
    assert_eq!(drain(&mut events), [What::UnknownToken]);
}
