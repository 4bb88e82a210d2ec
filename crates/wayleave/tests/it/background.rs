//! What goes on besides requests: activity is written down, ended records are swept.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wayleave::core::record::Record;
use wayleave::{Background, Opened, Options, Rules};
use wayleave_testkit::{Fault, StoreVerb, When};

use crate::fixture::{DAY, HOUR, MINUTE, RefreshVerdict, SECOND, Verdict, World, polling, refresh_token};
use crate::parking::Spot;

async fn seen(world: &World, people: u8) -> Vec<Opened> {
    let mut opened = Vec::new();
    for number in 1..=people {
        let person = world.person(number).await;
        opened.push(world.open(&person, "web").await);
    }
    world.clock.advance(2 * MINUTE);
    for one in &opened {
        assert_eq!(world.verdict(&one.issued.access).await, Verdict::Valid);
    }
    opened
}

/// R015: waiting activity goes in batches, each in one call; nothing is written twice.
#[tokio::test]
async fn activity_is_written_in_batches() {
    let world = World::new();
    let opened = seen(&world, 25).await;
    assert_eq!(world.manager.warm(), (25, 25));
    assert_eq!(world.manager.flush(10).await.unwrap(), 25);
    assert_eq!(world.store.faults().calls_of(StoreVerb::Touch), 3);
    assert_eq!(world.manager.flush(10).await.unwrap(), 0);
    assert_eq!(world.store.faults().calls_of(StoreVerb::Touch), 3);
    for record in world.records().await {
        assert_eq!(record.last_seen_at, world.manager.now());
        assert_eq!(record.idle_expires_at, Some(world.manager.now().plus(30 * MINUTE)));
        assert_eq!(record.revision.0, 0, "activity is no change");
    }
    assert_eq!(world.records().await.len(), opened.len());
}

/// What is written down while the store is asked counts, although the store had read the record before.
#[tokio::test]
async fn activity_counts_while_it_is_written_down() {
    let world = World::new();
    let ann = world.person(1).await;
    for refreshes in [false, true] {
        let opened = world.open(&ann, "idle").await;
        world.clock.advance(29 * MINUTE);
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
        world.clock.advance(2 * MINUTE);
        world.manager.forget_everything();
        let mut held = world.gate.hold(Spot::Find);
        let late = tokio::spawn({
            let (manager, token) = (Arc::clone(&world.manager), opened.issued.access.clone());
            let refresh = opened.issued.refresh.clone().filter(|_| refreshes);
            async move {
                match refresh {
                    Some(refresh) => manager.refresh(&refresh, &polling()).await.is_ok(),
                    None => manager.validate(&token, &polling()).await.is_ok(),
                }
            }
        });
        held.arrived().await;
        assert_eq!(world.manager.flush(10).await.unwrap(), 1);
        held.release();
        assert!(late.await.unwrap(), "refreshes: {refreshes}");
    }
}

/// What could not be written still waits, still counts, and holds up nothing else.
#[tokio::test]
async fn activity_survives_a_store_that_is_down() {
    let world = World::new();
    let opened = seen(&world, 5).await;
    world.store.faults().fail(StoreVerb::Touch, Fault::nth(2));
    assert!(world.manager.flush(2).await.is_err());
    assert_eq!(world.manager.warm().1, 2, "the last batch went through");
    world.manager.forget_everything();
    world.clock.advance(29 * MINUTE);
    for one in &opened {
        let polled = world.manager.validate(&one.issued.access, &polling()).await;
        assert!(polled.is_ok(), "activity that waits counts");
    }
    assert_eq!(world.manager.flush(2).await.unwrap(), 2);
    assert_eq!(world.manager.warm().1, 0);
}

/// A store that is down is not asked for every batch, and whoever comes late in the order is not always left out.
#[tokio::test]
async fn a_flush_goes_on_where_it_gave_up() {
    let world = World::new();
    seen(&world, 6).await;
    world.store.faults().reset();
    world.store.faults().fail(StoreVerb::Touch, Fault::DOWN);
    assert!(world.manager.flush(1).await.is_err());
    assert_eq!(world.store.faults().calls_of(StoreVerb::Touch), 4);
    world.store.faults().fail(StoreVerb::Touch, Fault { when: When::From(3), ..Fault::DOWN });
    assert!(world.manager.flush(1).await.is_err());
    let mut by_slot = world.records().await;
    by_slot.sort_by_key(|record| (record.slot, record.id));
    let written: Vec<_> = by_slot.iter().map(|record| record.last_seen_at > record.created_at).collect();
    assert_eq!(written, [false, false, false, false, true, true], "those that had not had their turn");
    world.store.faults().heal(StoreVerb::Touch);
    assert_eq!(world.manager.flush(1).await.unwrap(), 4);
}

/// Activity of a session that is gone is dropped, and brings nothing back.
#[tokio::test]
async fn activity_revives_nothing() {
    let world = World::new();
    let opened = seen(&world, 2).await;
    world
        .second_node()
        .manager
        .end_one(&opened[0].record.id, wayleave::events::Cause::Administrator, &Default::default())
        .await
        .unwrap();
    assert_eq!(world.manager.flush(10).await.unwrap(), 2);
    assert_eq!(world.manager.warm().1, 0);
    assert_eq!(world.records().await.len(), 1);
}

/// Waiting activity has a bound, and what does not fit makes no session live longer.
#[tokio::test]
async fn waiting_activity_is_bounded() {
    let world = World::with(Options { pending_touches: 10, ..Options::default() });
    seen(&world, 25).await;
    assert_eq!(world.manager.warm(), (25, 10));
    assert_eq!(world.manager.flush(1000).await.unwrap(), 10);
}

/// Ended records stay on record for a while, so that their clients can be told, and are swept in steps then.
#[tokio::test]
async fn ended_records_are_swept_in_steps() {
    let world = World::new();
    let opened = seen(&world, 25).await;
    world.clock.advance(2 * DAY);
    assert_eq!(
        world.verdict(&opened[0].issued.access).await,
        Verdict::Expired(wayleave::core::record::Limit::Absolute)
    );
    assert_eq!(world.manager.sweep(3 * DAY, 10).await.unwrap().records, 0);
    let step = world.manager.sweep_step(HOUR, 10).await.unwrap();
    assert!(step.records <= 10 && step.more);
    let swept = world.manager.sweep(HOUR, 10).await.unwrap();
    assert_eq!((step.records + swept.records, swept.more), (25, false));
    assert!(world.records().await.is_empty());
    assert_eq!(world.verdict(&opened[1].issued.access).await, Verdict::Invalid);
    world.store.faults().fail(StoreVerb::Sweep, Fault::DOWN);
    assert!(world.manager.sweep(HOUR, 10).await.is_err());
}

/// The background work runs by its intervals, gets over a store that is down, and writes what is left when it stops.
#[tokio::test(start_paused = true)]
async fn runs_until_it_is_stopped() {
    let world = World::new();
    let opened = seen(&world, 3).await;
    let stop = CancellationToken::new();
    let background = Background { flush_every: 2 * SECOND, sweep_every: 10 * SECOND, ..Background::default() };
    world.store.faults().fail(StoreVerb::Touch, Fault::nth(1));
    let running = tokio::spawn(Arc::clone(&world.manager).run_background(background, stop.clone()));
    tokio::time::advance(SECOND).await;
    tokio::task::yield_now().await;
    assert_eq!(world.manager.warm().1, 3, "the first write failed");
    let mut waited = 0;
    while world.manager.warm().1 > 0 {
        tokio::time::advance(SECOND).await;
        tokio::task::yield_now().await;
        waited += 1;
        assert!(waited < 10, "never written");
    }
    let mut waited = 0;
    while world.store.faults().calls_of(StoreVerb::Sweep) < 2 {
        tokio::time::advance(SECOND).await;
        tokio::task::yield_now().await;
        waited += 1;
        assert!(waited < 30, "never swept");
    }
    world.clock.advance(2 * MINUTE);
    assert_eq!(world.verdict(&opened[0].issued.access).await, Verdict::Valid);
    assert_eq!(world.manager.warm().1, 1);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(world.manager.warm().1, 0);
}

/// R066: a pair that a clock dated far ahead is no pair that waits for its time: nobody may ask for it, so it goes.
#[tokio::test]
async fn pairs_of_a_clock_that_was_ahead_go() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    world.clock.advance(HOUR);
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Minted);
    world.clock.rewind(HOUR);
    assert_eq!(world.manager.erase_pairs(1).await.unwrap(), 1);
    assert!(world.records().await[0].last_rotation().unwrap().sealed_pair.is_empty());
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Reused);
}

/// What a store erases rests on the longest window, so there is no longer one.
#[tokio::test]
async fn a_window_is_cut_to_the_longest() {
    let world = World::new();
    world.change_rules(|_, rules| rules.refresh_window = HOUR);
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Minted);
    world.clock.advance(MINUTE - SECOND);
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Repeated);
    world.clock.advance(SECOND);
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Reused);
}

/// Intervals of no length are no panic.
#[tokio::test(start_paused = true)]
async fn intervals_of_no_length_are_taken_for_short_ones() {
    let world = World::new();
    seen(&world, 1).await;
    let stop = CancellationToken::new();
    let background = Background {
        flush_every: Duration::ZERO,
        sweep_every: Duration::ZERO,
        flush_batch: 0,
        ..Background::default()
    };
    let running = tokio::spawn(Arc::clone(&world.manager).run_background(background, stop.clone()));
    tokio::time::advance(SECOND).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(world.manager.warm().1, 0);
}

/// R066: the pair of an exchange is in the store while it may be asked for, and not a minute longer; in memory never.
#[tokio::test(start_paused = true)]
async fn pairs_go_when_their_window_has_closed() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let refreshed = world.refresh(refresh_token(&opened.issued)).await.unwrap_or_else(|error| panic!("{error}"));
    let sealed = |record: &Record| !record.last_rotation().unwrap().sealed_pair.is_empty();
    assert!(!sealed(world.session_of(&refreshed.issued.access).await.record()));
    assert_eq!(world.manager.erase_pairs(1).await.unwrap(), 0);
    assert!(sealed(&world.records().await[0]));
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&world.manager).run_background(Background::default(), stop.clone()));
    let mut waited = Duration::ZERO;
    while sealed(&world.records().await[0]) {
        assert!(waited < MINUTE + Rules::REFRESH_WINDOW, "it is still there");
        world.clock.advance(SECOND);
        tokio::time::advance(SECOND).await;
        tokio::task::yield_now().await;
        waited += SECOND;
    }
    assert!(waited >= Rules::REFRESH_WINDOW);
    assert_eq!(world.refresh_verdict(refresh_token(&opened.issued)).await, RefreshVerdict::Reused);
    stop.cancel();
    running.await.unwrap();
}
