//! The limit on sessions, where activity is still in memory: never more than the limit live, and none counted that is.

use std::time::Duration;

use wayleave::OpenError;
use wayleave::core::policy::{AtLimit, IdleLimit};
use wayleave::core::record::Limit;

use crate::fixture::{HOUR, MINUTE, SECOND, Verdict, World, open};

/// One session at a time, idle for at most half an hour.
async fn one_at_a_time(at_limit: AtLimit) -> World {
    let world = World::new();
    world.change_kind("plain", |policy| {
        policy.idle_limit = IdleLimit::Fixed(30 * MINUTE);
        policy.concurrency.most = 1;
        policy.concurrency.at_limit = at_limit;
    });
    world
}

/// R024: activity that waits to be written down counts: who is signed in stays so, and is not joined by one too many.
#[tokio::test]
async fn waiting_activity_counts() {
    let world = one_at_a_time(AtLimit::Refuse).await;
    let ada = world.person(1).await;
    let first = world.open(&ada, "plain").await;
    world.clock.advance(29 * MINUTE);
    assert_eq!(world.verdict(&first.issued.access).await, Verdict::Valid);
    world.clock.advance(2 * MINUTE);
    assert!(matches!(world.try_open(&ada, open("plain")).await, Err(OpenError::LimitReached)));
    assert_eq!(world.manager.warm().1, 0, "it was written down");
    assert_eq!(world.verdict(&first.issued.access).await, Verdict::Valid);
}

/// R017, R024: a session that was not counted, because its latest activity was too recent to be handed on, has ended.
#[tokio::test]
async fn what_was_not_counted_has_ended() {
    for at_limit in [AtLimit::Refuse, AtLimit::EvictOldest, AtLimit::EvictLeastRecentlySeen] {
        let world = one_at_a_time(at_limit).await;
        let ada = world.person(1).await;
        let first = world.open(&ada, "plain").await;
        world.clock.advance(30 * SECOND);
        assert_eq!(world.verdict(&first.issued.access).await, Verdict::Valid);
        world.clock.advance(30 * MINUTE - 10 * SECOND);
        let second = world.open(&ada, "plain").await;
        assert!(second.evicted.is_empty());
        assert_eq!(world.verdict(&first.issued.access).await, Verdict::Expired(Limit::Idle), "{at_limit:?}");
        assert_eq!(world.verdict(&second.issued.access).await, Verdict::Valid, "{at_limit:?}");
    }
}

/// R017: what a clock has opened that was far ahead is not honoured when it is set right, warm or not, and when that
/// time comes it has no more than its limits.
#[tokio::test]
async fn what_a_clock_ahead_has_opened_waits_for_that_time() {
    for warm in [true, false] {
        let world = one_at_a_time(AtLimit::Refuse).await;
        let ada = world.person(1).await;
        let ahead = Duration::from_secs(400 * 86_400);
        world.clock.advance(ahead);
        let opened = world.open(&ada, "plain").await;
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        world.clock.rewind(ahead);
        if !warm {
            world.manager.forget_everything();
        }
        for _ in 0..3 {
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::NotBefore), "{warm}");
            world.clock.advance(MINUTE);
        }
        world.clock.advance(ahead - 2 * MINUTE);
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid, "{warm}");
        world.clock.advance(30 * MINUTE);
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Idle), "{warm}");
    }
    // One that nobody asks for stands in nobody's way.
    let world = one_at_a_time(AtLimit::Refuse).await;
    let ada = world.person(1).await;
    world.clock.advance(HOUR);
    world.open(&ada, "plain").await;
    world.clock.rewind(HOUR);
    world.open(&ada, "plain").await;
    assert_eq!(world.live().await, 1);
}
