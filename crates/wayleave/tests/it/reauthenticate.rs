//! Proving again: the session goes on under a new id, once, and with no more than it had.

use std::sync::Arc;

use tokio::sync::Barrier;
use wayleave::core::authentication::{Evidence, Level, Method, Methods};
use wayleave::core::permission::Ceiling;
use wayleave::core::ports::{SessionStore as _, Touch};
use wayleave::core::record::{Activity, Client, Limit, Record};
use wayleave::core::subject::Namespace;
use wayleave::events::{Cause, What};
use wayleave::{Freshness, Open, OpenError, Opened, Origin, Session};
use wayleave_testkit::StoreVerb;

use crate::fixture::{
    DAY, HOUR, MINUTE, RefreshVerdict, SECOND, USUAL, Verdict, World, authority, drain, entries, fingerprinted, from,
    open, permissions, refresh_token, verdict,
};
use crate::parking::Spot;

async fn again(world: &World, session: &Session, evidence: Evidence) -> Result<Opened, OpenError> {
    again_from(world, session, evidence, session.record().client.clone()).await
}

async fn again_from(world: &World, session: &Session, evidence: Evidence, client: Client) -> Result<Opened, OpenError> {
    let freshness = Freshness { refreshable: true, client };
    world.manager.reauthenticate(session, evidence, freshness, &Origin::default()).await
}

async fn done(world: &World, session: &Session) -> Opened {
    let evidence = world.evidence(session.subject().unwrap()).await;
    again(world, session, evidence).await.unwrap_or_else(|error| panic!("{error}"))
}

/// R011, R025: new id, new tokens, old ones dead at once; lineage, data, context and the absolute limit stay.
#[tokio::test]
async fn goes_on_under_a_new_id() {
    for name in ["plain", "jwt", "web"] {
        let world = World::new();
        let ada = world.person(1).await;
        let data = entries(&[("cart", "7")]);
        let context = entries(&[("vault", "open")]);
        let first = Open { data: data.clone(), context: context.clone(), client: fingerprinted(1), ..open(name) };
        let first = world.open_as(&ada, first).await;
        let now = world.clock.advance(10 * MINUTE);
        let session = world.session(&first).await;
        let mut events = world.manager.subscribe(10);
        let freshness = Freshness { refreshable: name != "web", client: fingerprinted(2) };
        let evidence = world.evidence(&ada).await;
        let next = world.manager.reauthenticate(&session, evidence, freshness.clone(), &Origin::default()).await;
        let next = next.unwrap_or_else(|error| panic!("{error}"));
        let (old, new) = (session.record(), &next.record);
        assert_ne!(new.id, old.id);
        assert_ne!(new.token, old.token);
        assert_eq!((new.family, new.created_at), (old.family, old.created_at));
        assert_eq!(new.absolute_expires_at, old.absolute_expires_at);
        assert_eq!((&new.data, &new.context, &new.client), (&data, &context, &freshness.client));
        assert_eq!((new.permissions.clone(), new.remembered), (old.permissions.clone(), old.remembered));
        assert_eq!(new.authentication.unwrap().at, now);
        assert_eq!(next.issued.refresh.is_some(), freshness.refreshable);
        assert_eq!(world.verdict(&first.issued.access).await, Verdict::Invalid, "{name}");
        assert_eq!(world.verdict(&next.issued.access).await, Verdict::Valid, "{name}");
        if let Some(refresh) = &first.issued.refresh {
            assert_eq!(world.refresh_verdict(refresh).await, RefreshVerdict::Invalid, "{name}");
        }
        assert_eq!(drain(&mut events)[..2], [What::Revoked(Cause::Replaced), What::Created]);
        assert_eq!(world.live().await, 1);
    }
}

/// R013: what was over as it was validated goes on if somebody was active meanwhile, at another node, and only then.
#[tokio::test]
async fn what_was_used_elsewhere_meanwhile_goes_on() {
    for used in [true, false] {
        let world = World::new();
        let ada = world.person(1).await;
        let first = world.open(&ada, "web").await;
        let session = world.session(&first).await;
        let idle = first.record.idle_expires_at.unwrap().since(first.record.created_at);
        let later = world.clock.advance(idle - MINUTE);
        if used {
            let activity = Activity { seen_at: later, idle_expires_at: Some(later.plus(idle)) };
            let Record { id, slot, .. } = *first.record;
            assert_eq!(world.store.touch(&[Touch { id, slot, activity }]).await.unwrap(), 1);
        }
        world.clock.advance(2 * MINUTE);
        let evidence = world.evidence(&ada).await;
        let next = again(&world, &session, evidence).await;
        assert_eq!(next.is_ok(), used);
    }
}

/// R064: a token spent before the proof is still a theft after it, and ends what the lineage has become.
#[tokio::test]
async fn a_spent_token_ends_the_lineage_across_it() {
    let world = World::new();
    let ada = world.person(1).await;
    let first = world.open(&ada, "plain").await;
    let second = world.refresh(refresh_token(&first.issued)).await.unwrap_or_else(|error| panic!("{error}"));
    let session = world.session_of(&second.issued.access).await;
    let third = done(&world, &session).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.refresh_verdict(refresh_token(&first.issued)).await, RefreshVerdict::Reused);
    assert_eq!(world.verdict(&third.issued.access).await, Verdict::Invalid);
    assert_eq!(world.refresh_verdict(refresh_token(&third.issued)).await, RefreshVerdict::Invalid);
    assert_eq!(world.live().await, 0);
}

/// R014: proving again does not move the absolute limit.
#[tokio::test]
async fn does_not_move_the_absolute_limit() {
    let world = World::new();
    let ada = world.person(1).await;
    let mut opened = world.open(&ada, "web").await;
    let end = opened.record.absolute_expires_at;
    assert_eq!(end, world.manager.now().plus(DAY));
    for _ in 0..47 {
        world.clock.advance(30 * MINUTE - SECOND);
        let session = world.session(&opened).await;
        let evidence = world.evidence(&ada).await;
        let freshness = Freshness { refreshable: false, client: Client::default() };
        opened = world
            .manager
            .reauthenticate(&session, evidence, freshness, &Origin::default())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opened.record.absolute_expires_at, end);
    }
    world.clock.set(end);
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Expired(Limit::Absolute));
}

/// R026: level, methods and time are those of the latest proof, and no session is raised to somebody else's or to another kind's.
#[tokio::test]
async fn is_judged_like_a_sign_in() {
    let world = World::new();
    let (ada, bob) = (world.person(1).await, world.person(2).await);
    let prove = |level, method| {
        authority().prover(method, level, Namespace::User).testify(ada.clone(), 0, world.manager.now()).unwrap()
    };
    let opened = world.manager.open(prove(Level::TWO, Method::Password), open("strong"), &Origin::default()).await;
    let opened = opened.unwrap_or_else(|error| panic!("{error}"));
    let session = world.session(&opened).await;
    let bobs = world.evidence(&bob).await;
    assert!(matches!(again(&world, &session, bobs).await, Err(OpenError::Refused)));
    let weak = again(&world, &session, prove(Level::ONE, Method::Password)).await;
    assert!(matches!(weak, Err(OpenError::TooWeak)));
    assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid, "a refused proof ends nothing");
    let next = again(&world, &session, prove(Level::THREE, Method::Opaque)).await;
    let next = next.unwrap_or_else(|error| panic!("{error}")).record.authentication.unwrap();
    assert_eq!(next.level, Level::THREE);
    assert_eq!(next.methods, Methods::only(Method::Opaque), "what was proved before was not proved now");

    let plain = world.manager.open(prove(Level::TWO, Method::Password), open("plain"), &Origin::default()).await;
    let session = world.session(&plain.unwrap_or_else(|error| panic!("{error}"))).await;
    let weaker = again(&world, &session, prove(Level::ONE, Method::Password)).await;
    assert_eq!(weaker.unwrap_or_else(|error| panic!("{error}")).record.authentication.unwrap().level, Level::ONE);
}

/// R069: a proof that is good for less leaves less, and none gives more than was granted.
#[tokio::test]
async fn grants_no_more_than_the_proof_is_good_for() {
    let world = World::new();
    let ada = world.person(1).await;
    let asked = Open { permissions: Some(permissions(&USUAL[..2])), ..open("plain") };
    let session = world.session(&world.open_as(&ada, asked).await).await;
    let kept = done(&world, &session).await;
    assert_eq!(kept.record.permissions, permissions(&USUAL[..2]));
    let session = world.session(&kept).await;
    let narrow = world.evidence(&ada).await.limited_to(&Ceiling::Only(permissions(&[USUAL[1], USUAL[2]])));
    let narrowed = again(&world, &session, narrow).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(narrowed.record.permissions, permissions(&[USUAL[1]]));
}

/// A session that was ended does not go on, whoever still holds it, and nothing is left behind.
#[tokio::test]
async fn an_ended_session_does_not_go_on() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let session = world.session(&opened).await;
    world.manager.sign_out(&session, &Origin::default()).await.unwrap();
    let mut events = world.manager.subscribe(10);
    let evidence = world.evidence(&ada).await;
    assert!(matches!(again(&world, &session, evidence).await, Err(OpenError::Refused)));
    assert!(world.records().await.is_empty());
    assert!(drain(&mut events).is_empty());
}

/// R024: a proof that is sent twenty times at once makes one session out of one, not twenty.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_proofs_do_not_multiply_a_session() {
    for _ in 0..10 {
        let world = Arc::new(World::new());
        let ada = world.person(1).await;
        let opened = world.open(&ada, "refusing").await;
        let session = world.session(&opened).await;
        let barrier = Arc::new(Barrier::new(20));
        let proofs: Vec<_> = (0..20)
            .map(|_| {
                let (world, session, barrier) = (Arc::clone(&world), session.clone(), Arc::clone(&barrier));
                tokio::spawn(async move {
                    let evidence = world.evidence(session.subject().unwrap()).await;
                    barrier.wait().await;
                    again(&world, &session, evidence).await
                })
            })
            .collect();
        let mut opened = Vec::new();
        for proof in proofs {
            match proof.await.unwrap() {
                Ok(one) => opened.push(one),
                Err(OpenError::Refused) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(opened.len(), 1);
        assert_eq!(world.records().await.len(), 1);
        assert_eq!(world.verdict(&opened[0].issued.access).await, Verdict::Valid);
    }
}

/// A lowered limit does not throw out who proves again.
#[tokio::test]
async fn a_lowered_limit_does_not_hit_who_proves_again() {
    let world = World::new();
    let ada = world.person(1).await;
    let mut opened = Vec::new();
    for _ in 0..3 {
        opened.push(world.open(&ada, "refusing").await);
    }
    world.change_kind("refusing", |policy| policy.concurrency.most = 1);
    world.clock.advance(HOUR);
    let session = world.session(&opened[0]).await;
    let next = done(&world, &session).await;
    assert_eq!(world.verdict(&next.issued.access).await, Verdict::Valid);
    assert_eq!(world.live().await, 3);
}

/// Changes a record behind the back of whoever validated it.
async fn change(world: &World, session: &Session, change: impl Fn(&mut Record) + Send + Sync) {
    let changed = world.manager.change(session.record(), |record| {
        change(record);
        Ok::<_, ()>(())
    });
    changed.await.unwrap();
}

/// It goes on from what the record is, not from what it was when the request was validated: a locked vault stays locked.
#[tokio::test]
async fn what_changed_since_the_validation_is_kept() {
    let world = World::new();
    let ada = world.person(1).await;
    let first = Open { data: entries(&[("cart", "7")]), context: entries(&[("vault", "open")]), ..open("plain") };
    let session = world.session(&world.open_as(&ada, first).await).await;
    change(&world, &session, |record| {
        record.data = entries(&[("cart", "8")]);
        record.context = entries(&[]);
        record.permissions = permissions(&USUAL[..1]);
    })
    .await;
    let next = done(&world, &session).await.record;
    assert_eq!((&next.data, &next.context), (&entries(&[("cart", "8")]), &entries(&[])));
    assert_eq!(next.permissions, permissions(&USUAL[..1]));
}

/// R017: what has ended since the validation does not go on.
#[tokio::test]
async fn what_ended_since_the_validation_does_not_go_on() {
    for found in [true, false] {
        let world = World::new();
        let ada = world.person(1).await;
        let session = world.session(&world.open(&ada, "idle").await).await;
        if found {
            change(&world, &session, |record| record.expired_at = Some(record.created_at)).await;
        } else {
            world.clock.advance(30 * MINUTE);
        }
        let evidence = world.evidence(&ada).await;
        assert!(matches!(again(&world, &session, evidence).await, Err(OpenError::Refused)), "{found}");
        assert_eq!(world.live().await, 0);
    }
}

/// A change that comes in while the proof is on its way is not lost.
#[tokio::test]
async fn a_change_in_between_is_not_lost() {
    let world = Arc::new(World::new());
    let ada = world.person(1).await;
    let session = world.session(&world.open(&ada, "plain").await).await;
    world.store.faults().reset();
    let mut held = world.gate.hold(Spot::Standing);
    let proof = tokio::spawn({
        let (world, session) = (Arc::clone(&world), session.clone());
        let evidence = world.evidence(&ada).await;
        async move { again(&world, &session, evidence).await }
    });
    held.arrived().await;
    change(&world, &session, |record| record.data = entries(&[("cart", "8")])).await;
    held.release();
    let next = proof.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(next.record.data, entries(&[("cart", "8")]));
    assert_eq!(world.store.faults().calls_of(StoreVerb::Insert), 2);
    assert_eq!(world.records().await.len(), 1);
}

/// R027: the session is bound to the client that proved itself, so that a fresh proof makes a drifted one fresh.
#[tokio::test]
async fn a_drifted_session_becomes_fresh() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open("step-up") }).await;
    let drifted = world.manager.validate(&opened.issued.access, &from(2)).await.unwrap();
    assert!(drifted.drifted() && drifted.fresh(HOUR, world.manager.now()).is_err());
    let evidence = world.evidence(&ada).await;
    let next = again_from(&world, &drifted, evidence, fingerprinted(2)).await.unwrap_or_else(|error| panic!("{error}"));
    let session = world.manager.validate(&next.issued.access, &from(2)).await.unwrap();
    assert!(!session.drifted() && session.fresh(HOUR, world.manager.now()).is_ok());
    // And the client that it was bound to before is now the other one.
    let before = world.manager.validate(&next.issued.access, &from(1)).await.unwrap();
    assert!(before.drifted() && before.fresh(HOUR, world.manager.now()).is_err());
}

/// R027: a kind that ends sessions whose client changed lets none change by a proof either.
#[tokio::test]
async fn a_bound_session_does_not_move_to_another_client() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open("revoke") }).await;
    let session = world.manager.validate(&opened.issued.access, &from(1)).await.unwrap();
    for client in [fingerprinted(2), Client::default()] {
        let evidence = world.evidence(&ada).await;
        assert!(matches!(again_from(&world, &session, evidence, client).await, Err(OpenError::Refused)));
    }
    let evidence = world.evidence(&ada).await;
    let next = again_from(&world, &session, evidence, fingerprinted(1)).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(verdict(world.manager.validate(&next.issued.access, &from(1)).await), Verdict::Valid);
    // Warm as it is, who shows nothing is somebody else.
    assert_eq!(world.verdict(&next.issued.access).await, Verdict::Invalid);
    assert_eq!(world.live().await, 0);
}
