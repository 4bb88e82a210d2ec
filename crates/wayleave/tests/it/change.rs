//! Extending and changing live sessions.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use wayleave::core::policy::TokenFormat;
use wayleave::core::ports::{Lookup, SessionStore as _};
use wayleave::core::record::Limit;
use wayleave::events::What;
use wayleave::{ExtendError, Open, Origin, UpdateError};
use wayleave_testkit::StoreVerb;

use crate::fixture::{DAY, HOUR, MINUTE, SECOND, TICK, Verdict, World, drain, entries, kind, open, refresh_token};

/// R014: an extension gives the full lifetime again, at most up to the absolute limit, and takes nothing away.
#[tokio::test]
async fn extends_up_to_the_absolute_limit() {
    struct Case {
        open: Open,
        after: Duration,
        asked: Option<Duration>,
        /// From the sign-in.
        expected: Duration,
    }
    let case = |open, after, asked, expected| Case { open, after, asked, expected };
    let cases = [
        case(open("plain"), HOUR, None, 13 * HOUR),
        case(open("plain"), HOUR, Some(300 * DAY), 13 * HOUR),
        case(open("plain"), HOUR, Some(HOUR), 12 * HOUR),
        case(open("plain"), HOUR, Some(Duration::ZERO), 12 * HOUR),
        case(Open { duration: Some(2 * HOUR), ..open("plain") }, HOUR, Some(3 * HOUR), 4 * HOUR),
        case(open("web"), 20 * MINUTE, None, DAY),
        case(Open { refreshable: false, ..open("plain") }, 11 * HOUR, None, 23 * HOUR),
        // Without refresh the token of such a kind is opaque, and lives as long as those.
        case(Open { refreshable: false, ..open("jwt") }, 11 * HOUR, None, 23 * HOUR),
    ];
    for (number, Case { open, after, asked, expected }) in cases.into_iter().enumerate() {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open_as(&ada, open).await;
        let start = opened.record.created_at;
        let now = world.clock.advance(after);
        let session = world.session(&opened).await;
        let mut events = world.manager.subscribe(10);
        let extended = world.manager.extend(&session, asked, &Origin::default()).await.unwrap();
        assert_eq!(extended.token_expires_at, start.plus(expected), "case {number}");
        assert_eq!(extended.absolute_expires_at, opened.record.absolute_expires_at);
        assert_eq!(extended.last_seen_at, now);
        assert_eq!(drain(&mut events), [What::Renewed]);
        // Memory has nothing older.
        let session = world.session(&opened).await;
        assert_eq!(session.expires_at(), start.plus(expected), "case {number}");
        let before_the_end = start.plus(expected).minus(TICK);
        if session.idle_expires_at().is_none() {
            world.clock.set(before_the_end);
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid, "case {number}");
        }
        world.clock.set(start.plus(expected));
        assert_ne!(world.verdict(&opened.issued.access).await, Verdict::Valid, "case {number}");
    }
}

/// R014: extended every minute, a session still ends at its absolute limit.
#[tokio::test]
async fn extensions_do_not_add_up() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "web").await;
    let end = opened.record.absolute_expires_at;
    while world.manager.now() < end.minus(20 * MINUTE) {
        world.clock.advance(20 * MINUTE);
        let session = world.session(&opened).await;
        let extended = world.manager.extend(&session, None, &Origin::default()).await.unwrap();
        assert!(extended.token_expires_at <= end);
    }
    world.clock.set(end);
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Absolute));
}

/// R013, R017: who still holds a session that has passed a limit cannot bring it back by extending it.
#[tokio::test]
async fn what_is_over_is_not_extended() {
    for (name, limit) in [("web", 30 * MINUTE), ("idle", 30 * MINUTE), ("plain", 12 * HOUR), ("plain", 7 * DAY)] {
        for marked in [false, true] {
            let world = World::new();
            let ada = world.person(1).await;
            let opened = world.open(&ada, name).await;
            let session = world.session(&opened).await;
            world.clock.advance(limit);
            if marked {
                assert_ne!(world.verdict(&opened.issued.access).await, Verdict::Valid);
            }
            let extended = world.manager.extend(&session, None, &Origin::default()).await;
            assert!(matches!(extended, Err(ExtendError::Gone)), "{name}, {marked}");
            assert_ne!(world.verdict(&opened.issued.access).await, Verdict::Valid, "{name}, {marked}");
        }
    }
}

/// Activity that only memory knows of keeps a session alive for an extension too.
#[tokio::test]
async fn activity_in_memory_counts_for_an_extension() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "web").await;
    for _ in 0..10 {
        world.clock.advance(20 * MINUTE);
        world.session(&opened).await;
    }
    assert_eq!(world.store.faults().calls_of(StoreVerb::Touch), 0);
    let session = world.session(&opened).await;
    world.clock.advance(29 * MINUTE);
    let extended = world.manager.extend(&session, None, &Origin::default()).await.unwrap();
    assert_eq!(extended.idle_expires_at, Some(world.manager.now().plus(30 * MINUTE)));
}

#[tokio::test]
async fn what_is_gone_is_not_extended() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let session = world.session(&opened).await;
    let before = world.manager.rules().kinds.policy(&kind("plain")).unwrap().clone();
    world.change_rules(|kinds, _| drop(kinds.remove(&kind("plain"))));
    assert!(matches!(world.manager.extend(&session, None, &Origin::default()).await, Err(ExtendError::Gone)));
    world.change_rules(|kinds, _| drop(kinds.insert(kind("plain"), before)));
    world.manager.sign_out(&session, &Origin::default()).await.unwrap();
    assert!(matches!(world.manager.extend(&session, None, &Origin::default()).await, Err(ExtendError::Gone)));
    let changed = world.manager.change(session.record(), |_| Ok::<_, Infallible>(())).await;
    assert!(matches!(changed, Err(UpdateError::Gone)));
    assert!(world.records().await.is_empty());
}

/// A change is seen at the next validation, warm or not, and does not count as activity.
#[tokio::test]
async fn a_change_is_seen_at_once() {
    for name in ["plain", "jwt", "web"] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, name).await;
        let session = world.session(&opened).await;
        world.clock.advance(SECOND);
        let data = entries(&[("cart", "7")]);
        let changed = world.manager.change(session.record(), |record| {
            record.data = data.clone();
            Ok::<_, Infallible>(())
        });
        let changed = changed.await.unwrap();
        assert_eq!(changed.data, data);
        assert_eq!(changed.last_seen_at, opened.record.last_seen_at);
        assert_eq!(world.session(&opened).await.record().data, data, "{name}");
        assert_eq!(world.live().await, 1);
    }
}

/// A change that says no leaves everything as it was, and is told why.
#[tokio::test]
async fn a_change_may_refuse() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let refused = world.manager.change(&opened.record, |record| {
        record.data = entries(&[("half", "done")]);
        Err("no room")
    });
    assert!(matches!(refused.await, Err(UpdateError::Refused("no room"))));
    assert!(world.session(&opened).await.record().data.is_empty());
}

/// Changes of many at once are all made, each on top of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_changes_do_not_overwrite_each_other() {
    let world = Arc::new(World::new());
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let barrier = Arc::new(Barrier::new(8));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (world, record, barrier) = (Arc::clone(&world), Arc::clone(&opened.record), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let changed = world
                    .manager
                    .change(&record, |record| record.data.set(&format!("writer-{writer}"), b"was here").map(drop));
                changed.await.map(drop)
            })
        })
        .collect();
    let mut made = 0;
    for writer in writers {
        match writer.await.unwrap() {
            Ok(()) => made += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(world.session(&opened).await.record().data.iter().len(), made);
    assert_eq!(made, 8);
}

/// A token and an absolute limit are not for a change to move, nor is what was found expired.
#[tokio::test]
async fn some_things_are_not_for_a_change() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let refreshed = world.refresh(refresh_token(&opened.issued)).await.unwrap_or_else(|error| panic!("{error}"));
    let end = opened.record.absolute_expires_at;
    let changed = world.manager.change(&opened.record, |record| {
        record.token = opened.record.token;
        record.absolute_expires_at = end.plus(DAY);
        record.token_expires_at = end.plus(DAY);
        Ok::<_, Infallible>(())
    });
    let changed = changed.await.unwrap();
    assert_eq!((changed.token, changed.absolute_expires_at), (refreshed.record.token, end));
    assert_eq!(changed.token_expires_at, end);
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid);
    assert_eq!(world.verdict(&refreshed.issued.access).await, Verdict::Valid);
    world.clock.set(end);
    assert_eq!(world.verdict(&refreshed.issued.access).await, Verdict::Expired(Limit::Absolute));
    world.clock.set(opened.record.created_at);
    let changed = world.manager.change(&changed, |record| {
        record.expired_at = None;
        Ok::<_, Infallible>(())
    });
    assert!(changed.await.unwrap().expired_at.is_some());
    assert_eq!(world.verdict(&refreshed.issued.access).await, Verdict::Expired(Limit::Idle));
}

/// Extending a session whose token was exchanged meanwhile extends the one it has now, and revives no other.
#[tokio::test]
async fn extends_what_the_session_has_become() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let session = world.session(&opened).await;
    let refreshed = world.refresh(refresh_token(&opened.issued)).await.unwrap_or_else(|error| panic!("{error}"));
    world.clock.advance(HOUR);
    let extended = world.manager.extend(&session, None, &Origin::default()).await.unwrap();
    assert_eq!(extended.token, refreshed.record.token);
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid);
    let stored = world.store.find(Lookup::Id(extended.slot, extended.id)).await.unwrap().unwrap();
    assert_eq!(stored.token_expires_at, world.manager.now().plus(12 * HOUR));
    assert!(matches!(world.manager.rules().kinds.policy(session.kind()).unwrap().token_format, TokenFormat::Opaque));
}
