//! A session is in memory from the write that made it, and never by a write that something else has overtaken.

use std::sync::Arc;

use wayleave::core::entries::Entries;
use wayleave::core::record::Client;
use wayleave::events::Cause;
use wayleave::{Freshness, Issued, Open, Origin};
use wayleave_testkit::StoreVerb;

use crate::fixture::{MINUTE, Verdict, World, fingerprinted, from, open, refresh_token, verdict};
use crate::parking::Spot;

/// A11: the first request of a session asks no store, however the session came to be.
async fn is_warm(world: &World, issued: &Issued) {
    world.store.faults().reset();
    assert_eq!(world.verdict(&issued.access).await, Verdict::Valid);
    assert_eq!(world.store.faults().calls_of(StoreVerb::Find), 0);
}

#[tokio::test]
async fn a_session_is_warm_from_its_beginning() {
    for name in ["plain", "web", "jwt", "idle", "evicting", "refusing"] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, name).await;
        is_warm(&world, &opened.issued).await;
        let instead = Open { replaces: Some(opened.record.id), ..open(name) };
        let opened = world.open_as(&ada, instead).await;
        is_warm(&world, &opened.issued).await;
        let session = world.session(&opened).await;
        let freshness = Freshness { refreshable: name != "web", client: Client::default() };
        let evidence = world.evidence(&ada).await;
        let again = world.manager.reauthenticate(&session, evidence, freshness, &Origin::default()).await;
        let again = again.unwrap_or_else(|error| panic!("{error}"));
        is_warm(&world, &again.issued).await;
        if again.issued.refresh.is_some() {
            world.clock.advance(MINUTE);
            let refreshed = world.refresh(refresh_token(&again.issued)).await.unwrap_or_else(|error| panic!("{error}"));
            is_warm(&world, &refreshed.issued).await;
            assert!(world.session_of(&refreshed.issued.access).await.record().last_rotation().is_some());
        }
    }
}

#[tokio::test]
async fn a_guest_is_warm_from_its_beginning() {
    let world = World::new();
    let guest = Open { refreshable: false, data: Entries::new(), ..open("web") };
    let opened = world.manager.open_guest(guest, &Origin::default()).await.unwrap_or_else(|error| panic!("{error}"));
    is_warm(&world, &opened.issued).await;
}

/// R027: what is kept for the client that signed in does not let another one pass.
#[tokio::test]
async fn another_client_is_judged_from_the_first_request_on() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open("revoke") }).await;
    assert_eq!(verdict(world.manager.validate(&opened.issued.access, &from(1)).await), Verdict::Valid);
    assert_eq!(verdict(world.manager.validate(&opened.issued.access, &from(2)).await), Verdict::Invalid);
}

/// What overtakes a write, while its answer is on the way.
#[derive(Copy, Clone, Debug)]
enum Overtaking {
    EndedElsewhere,
    Disabled,
}

async fn overtake(world: &World, by: Overtaking, subject: &wayleave::core::subject::Subject) {
    match by {
        Overtaking::EndedElsewhere => {
            let elsewhere = &world.second_node().manager;
            let ended = elsewhere.end_all(subject, None, Cause::Owner, &Origin::default()).await.unwrap();
            assert_eq!(ended.0.len(), 1);
            // As a node does that hears of it.
            world.manager.forget_everything();
        }
        Overtaking::Disabled => world.edit_and_tell(subject, |account| account.disabled = true).await,
    }
}

#[tokio::test]
async fn a_session_that_something_overtook_is_not_kept() {
    use Overtaking::{Disabled, EndedElsewhere};
    for (refreshes, spot, by) in [
        (false, Spot::Standing, Disabled),
        (false, Spot::Insert, Disabled),
        (false, Spot::Insert, EndedElsewhere),
        (true, Spot::Standing, Disabled),
        (true, Spot::Rotate, Disabled),
        (true, Spot::Rotate, EndedElsewhere),
    ] {
        let world = Arc::new(World::new());
        let ada = world.person(1).await;
        let first = if refreshes { Some(world.open(&ada, "plain").await) } else { None };
        let mut held = world.gate.hold(spot);
        let working = {
            let (world, ada) = (Arc::clone(&world), ada.clone());
            tokio::spawn(async move {
                match first {
                    Some(opened) => {
                        let refreshed = world.refresh(refresh_token(&opened.issued)).await;
                        refreshed.unwrap_or_else(|error| panic!("{error}")).issued.access
                    }
                    None => world.open(&ada, "plain").await.issued.access,
                }
            })
        };
        held.arrived().await;
        overtake(&world, by, &ada).await;
        held.release();
        let access = working.await.unwrap();
        assert_eq!(world.verdict(&access).await, Verdict::Invalid, "{by:?} at {spot:?}");
    }
}
