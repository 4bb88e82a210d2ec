//! Memory is never behind a change that was answered: races in a chosen order, and many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Barrier;
use tokio::task::{JoinHandle, yield_now};
use wayleave::core::authentication::Level;
use wayleave::core::record::{Client, Limit};
use wayleave::events::{Cause, What};
use wayleave::{Open, Opened, Origin};

use crate::fixture::{HOUR, Verdict, World, drain, entries, open, permissions, refresh_token, shown};
use crate::parking::Spot;

/// Starts `work` and lets the call that comes to `spot` wait there, done and unanswered.
async fn held_at<T: Send + 'static>(
    world: &World,
    spot: Spot,
    work: impl Future<Output = T> + Send + 'static,
) -> (JoinHandle<T>, crate::parking::Held) {
    let mut held = world.gate.hold(spot);
    let work = tokio::spawn(work);
    held.arrived().await;
    (work, held)
}

/// Everything that can go on without the call that is held.
async fn let_others_run() {
    for _ in 0..100 {
        yield_now().await;
    }
}

async fn ready(name: &str) -> (Arc<World>, Opened) {
    let world = Arc::new(World::new());
    let ada = world.person(1).await;
    let opened = world.open(&ada, name).await;
    // So that the next validation asks the store.
    world.manager.forget_everything();
    (world, opened)
}

fn validating(world: &Arc<World>, opened: &Opened) -> impl Future<Output = Verdict> + Send + 'static {
    let (world, token) = (Arc::clone(world), opened.issued.access.to_string());
    async move { world.verdict(&token).await }
}

/// What a validation read before a change was answered is not kept after it.
#[tokio::test]
async fn a_fill_that_raced_with_a_change_is_dropped() {
    #[derive(Debug)]
    enum Change {
        End,
        EndAll,
        Refresh,
        Reauthenticate,
        Replace,
        Rules,
        Forget,
    }
    use Change::{End, EndAll, Forget, Reauthenticate, Refresh, Replace, Rules};
    for change in [End, EndAll, Refresh, Reauthenticate, Replace, Rules, Forget] {
        let (world, opened) = ready("plain").await;
        let ada = opened.record.subject.clone().unwrap();
        let origin = Origin::default();
        let session = world.session(&opened).await;
        world.manager.forget_everything();
        let (reading, held) = held_at(&world, Spot::Find, validating(&world, &opened)).await;
        match change {
            End => drop(world.manager.end_one(&opened.record.id, Cause::Owner, &origin).await.unwrap().unwrap()),
            EndAll => drop(world.manager.end_all(&ada, None, Cause::Owner, &origin).await.unwrap()),
            Refresh => drop(world.refresh(refresh_token(&opened.issued)).await.unwrap_or_else(|e| panic!("{e}"))),
            Reauthenticate => {
                let evidence = world.evidence(&ada).await;
                let freshness = wayleave::Freshness { refreshable: true, client: Client::default() };
                let next = world.manager.reauthenticate(&session, evidence, freshness, &origin).await;
                drop(next.unwrap_or_else(|error| panic!("{error}")));
            }
            Replace => {
                drop(world.open_as(&ada, Open { replaces: Some(opened.record.id), ..open("plain") }).await);
            }
            Rules => world.change_kind("plain", |policy| policy.level = Level::TWO),
            // Something else wrote to the store.
            Forget => {
                world.second_node().manager.end_one(&opened.record.id, Cause::Owner, &origin).await.unwrap().unwrap();
                world.manager.forget_everything();
            }
        }
        held.release();
        // It was asked before the change was answered, so either answer is right.
        reading.await.unwrap();
        for _ in 0..2 {
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{change:?}");
        }
    }
}

/// The same for how a subject stands.
#[tokio::test]
async fn a_standing_that_raced_with_its_change_is_dropped() {
    for disable in [true, false] {
        let (world, opened) = ready("plain").await;
        let ada = opened.record.subject.clone().unwrap();
        let (reading, held) = held_at(&world, Spot::Standing, validating(&world, &opened)).await;
        let cut = permissions(&["read:profile"]);
        world
            .edit_and_tell(&ada, |account| {
                account.disabled = disable;
                account.permissions = cut.clone();
            })
            .await;
        held.release();
        reading.await.unwrap();
        if disable {
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid);
        } else {
            assert_eq!(*world.session(&opened).await.permissions(), cut);
        }
    }
}

/// Data that was read before it was changed is not served after.
#[tokio::test]
async fn a_fill_that_raced_with_an_update_is_dropped() {
    let (world, opened) = ready("plain").await;
    let (reading, held) = held_at(&world, Spot::Find, validating(&world, &opened)).await;
    let data = entries(&[("cart", "7")]);
    let changed = world.manager.change(&opened.record, |record| {
        record.data = data.clone();
        Ok::<_, std::convert::Infallible>(())
    });
    changed.await.unwrap();
    held.release();
    reading.await.unwrap();
    assert_eq!(world.session(&opened).await.record().data, data);
}

/// Somebody hangs up in the middle: what the store has done, memory learns all the same, and so do subscribers.
#[tokio::test]
async fn a_caller_that_hangs_up_leaves_nothing_behind() {
    let cases = [Spot::Revoke, Spot::Rotate, Spot::Insert];
    for spot in cases {
        for name in ["plain", "evicting"] {
            let (world, opened) = ready(name).await;
            let ada = opened.record.subject.clone().unwrap();
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
            let session = world.session(&opened).await;
            let mut events = world.manager.subscribe(10);
            let (asking, refresh) = (Arc::clone(&world), refresh_token(&opened.issued).to_owned());
            let replacing = Open { replaces: Some(opened.record.id), ..open(name) };
            let who = ada.clone();
            let work = async move {
                match spot {
                    Spot::Revoke => drop(asking.manager.sign_out(&session, &Origin::default()).await),
                    Spot::Rotate => drop(asking.manager.refresh(&refresh, &shown()).await),
                    Spot::Insert => drop(asking.try_open(&who, replacing).await),
                    Spot::Find | Spot::Update | Spot::Standing => unreachable!(),
                }
            };
            let (work, held) = held_at(&world, spot, work).await;
            work.abort();
            assert!(work.await.unwrap_err().is_cancelled());
            held.release();
            let_others_run().await;
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{spot:?}");
            let told = drain(&mut events);
            let expected = match spot {
                Spot::Revoke => What::Revoked(Cause::SignOut),
                Spot::Rotate => What::Refreshed,
                Spot::Insert => What::Revoked(Cause::Replaced),
                Spot::Find | Spot::Update | Spot::Standing => unreachable!(),
            };
            assert!(told.contains(&expected), "{spot:?}: {told:?}");
        }
    }
}

/// Whoever ends sessions waits for a change of them that is under way: when it returns, memory holds nothing of them,
/// not even what only the other change knew to drop.
#[tokio::test]
async fn an_end_leaves_nothing_of_a_change_under_way() {
    for spot in [Spot::Rotate, Spot::Insert, Spot::Update] {
        for all in [true, false] {
            let (world, opened) = ready("plain").await;
            let ada = opened.record.subject.clone().unwrap();
            let session = world.session(&opened).await;
            let (asking, refresh) = (Arc::clone(&world), refresh_token(&opened.issued).to_owned());
            let (who, held_session) = (ada.clone(), session.clone());
            let replacing = Open { replaces: Some(opened.record.id), ..open("plain") };
            let work = async move {
                match spot {
                    Spot::Rotate => drop(asking.manager.refresh(&refresh, &shown()).await),
                    Spot::Insert => drop(asking.try_open(&who, replacing).await),
                    Spot::Update => drop(asking.manager.extend(&held_session, None, &Origin::default()).await),
                    Spot::Find | Spot::Revoke | Spot::Standing => unreachable!(),
                }
            };
            let (work, held) = held_at(&world, spot, work).await;
            let ending = Arc::clone(&world);
            let end = tokio::spawn(async move {
                if all {
                    ending.manager.end_all(&ada, None, Cause::Owner, &Origin::default()).await.map(drop)
                } else {
                    ending.manager.sign_out(&session, &Origin::default()).await.map(drop)
                }
            });
            let_others_run().await;
            if end.is_finished() {
                assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{spot:?}, {all}");
            }
            held.release();
            end.await.unwrap().unwrap();
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{spot:?}, {all}");
            work.await.unwrap();
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Invalid, "{spot:?}, {all}");
        }
    }
}

/// An expiry that was noticed late is not held against the token that came in between, and is written down over any
/// other change.
#[tokio::test]
async fn an_expiry_noticed_late_hits_the_right_token() {
    for refreshed in [true, false] {
        let (world, opened) = ready("plain").await;
        world.clock.advance(12 * HOUR);
        let (reading, held) = held_at(&world, Spot::Find, validating(&world, &opened)).await;
        let next = if refreshed {
            let next = world.refresh(refresh_token(&opened.issued)).await.unwrap_or_else(|error| panic!("{error}"));
            Some(next.issued.access)
        } else {
            let changed = world.manager.change(&opened.record, |record| {
                record.data = entries(&[("cart", "7")]);
                Ok::<_, std::convert::Infallible>(())
            });
            changed.await.unwrap();
            None
        };
        held.release();
        assert_eq!(reading.await.unwrap(), Verdict::Expired(Limit::Token));
        if let Some(next) = next {
            assert_eq!(world.verdict(&next).await, Verdict::Valid);
        } else {
            world.clock.rewind(HOUR);
            assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Token));
        }
    }
}

/// A refused sign-in ends what it was to replace, also if another node exchanged that one's token in between.
#[tokio::test]
async fn a_refused_sign_in_ends_what_its_victim_has_become() {
    let (world, opened) = ready("plain").await;
    let bob = world.person(2).await;
    for _ in 0..3 {
        world.open(&bob, "refusing").await;
    }
    let (asking, replacing) = (Arc::clone(&world), Open { replaces: Some(opened.record.id), ..open("refusing") });
    let work = async move { asking.try_open(&bob, replacing).await.is_err() };
    let (work, held) = held_at(&world, Spot::Find, work).await;
    let next = world.second_node().refresh(refresh_token(&opened.issued)).await;
    let next = next.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(world.verdict(&next.issued.access).await, Verdict::Valid);
    held.release();
    assert!(work.await.unwrap());
    assert_eq!(world.verdict(&next.issued.access).await, Verdict::Invalid);
}

/// Changes of different people do not wait for each other.
#[tokio::test]
async fn a_slow_change_holds_up_nobody_else() {
    let (world, opened) = ready("plain").await;
    let (asking, refresh) = (Arc::clone(&world), refresh_token(&opened.issued).to_owned());
    let (work, held) =
        held_at(&world, Spot::Rotate, async move { asking.manager.refresh(&refresh, &shown()).await.is_ok() }).await;
    let mut number = 1;
    let other = loop {
        number += 1;
        let other = world.person(number).await;
        if crate::fixture::routing().slot_of(&other).0 % 256 != opened.record.slot.0 % 256 {
            break other;
        }
    };
    let others = world.open(&other, "plain").await;
    assert_eq!(world.verdict(&others.issued.access).await, Verdict::Valid);
    world.manager.end_all(&other, None, Cause::Owner, &Origin::default()).await.unwrap();
    assert_eq!(world.verdict(&others.issued.access).await, Verdict::Invalid);
    held.release();
    assert!(work.await.unwrap());
}

/// How a token comes to its end in [`nothing_validates_after_the_end`].
#[derive(Copy, Clone, Debug)]
enum By {
    SignOut,
    EndAll,
    EndOne,
    Refresh,
    Reuse,
    Disabled,
}

/// Once an end was answered nothing validates, while eight others keep asking, fifty times over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_validates_after_the_end() {
    for by in [By::SignOut, By::EndAll, By::EndOne, By::Refresh, By::Reuse, By::Disabled] {
        for round in 0..50 {
            let name = if round % 2 == 0 && !matches!(by, By::Refresh) { "jwt" } else { "plain" };
            let (world, mut opened) = ready(name).await;
            let ada = opened.record.subject.clone().unwrap();
            let spent = refresh_token(&opened.issued).to_owned();
            if matches!(by, By::Reuse) {
                let refreshed = world.refresh(&spent).await.unwrap_or_else(|error| panic!("{error}"));
                opened.issued = refreshed.issued;
                world.clock.advance(crate::fixture::MINUTE);
            }
            let session = world.session(&opened).await;
            let token: Arc<str> = opened.issued.access.as_str().into();
            let (ended, barrier) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(9)));
            let askers: Vec<_> = (0..8)
                .map(|asker| {
                    let (world, token) = (Arc::clone(&world), Arc::clone(&token));
                    let (ended, barrier) = (Arc::clone(&ended), Arc::clone(&barrier));
                    tokio::spawn(async move {
                        barrier.wait().await;
                        loop {
                            if asker == 0 {
                                // So that some find memory empty and fill it.
                                world.manager.forget_everything();
                            }
                            let asked_after = ended.load(Ordering::SeqCst);
                            let valid = world.verdict(&token).await == Verdict::Valid;
                            if asked_after {
                                return valid;
                            }
                            yield_now().await;
                        }
                    })
                })
                .collect();
            barrier.wait().await;
            let origin = Origin::default();
            match by {
                By::SignOut => drop(world.manager.sign_out(&session, &origin).await.unwrap()),
                By::EndAll => drop(world.manager.end_all(&ada, None, Cause::Owner, &origin).await.unwrap()),
                By::EndOne => drop(world.manager.end_one(&session.id(), Cause::Owner, &origin).await.unwrap()),
                By::Refresh | By::Reuse => drop(world.refresh(&spent).await),
                By::Disabled => world.edit_and_tell(&ada, |account| account.disabled = true).await,
            }
            ended.store(true, Ordering::SeqCst);
            for asker in askers {
                assert!(!asker.await.unwrap(), "{by:?}, {name}, round {round}");
            }
        }
    }
}
