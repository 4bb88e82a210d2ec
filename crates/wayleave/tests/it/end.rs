//! Ending: one's own, others', all of a subject, and what a token leads to.

use wayleave::core::id::SessionId;
use wayleave::core::ports::Scope;
use wayleave::events::{Cause, What};
use wayleave::{Ended, Opened, Origin};
use wayleave_testkit::{Fault, StoreVerb};

use crate::fixture::{MINUTE, RefreshVerdict, SECOND, Verdict, World, drain, open, refresh_token, routing, shown};

async fn verdicts(world: &World, opened: &[&Opened]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for one in opened {
        verdicts.push(world.verdict(&one.issued.access).await);
    }
    verdicts
}

const VALID: Verdict = Verdict::Valid;
const INVALID: Verdict = Verdict::Invalid;

/// R018: signing out twice is the same as once.
#[tokio::test]
async fn sign_out_is_idempotent() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let session = world.session(&opened).await;
    let mut events = world.manager.subscribe(10);
    let origin = Origin { request: Some("req-1".into()), ..Origin::default() };
    let Ended(gone) = world.manager.sign_out(&session, &origin).await.unwrap();
    assert_eq!(gone.iter().map(|gone| gone.id).collect::<Vec<_>>(), [opened.record.id]);
    let event = events.try_next().unwrap();
    assert_eq!(event.what, What::Revoked(Cause::SignOut));
    assert_eq!((event.session, event.family), (Some(opened.record.id), Some(opened.record.family)));
    assert_eq!((event.subject.as_ref(), event.at, &event.origin), (Some(&ada), world.manager.now(), &origin));
    let Ended(gone) = world.manager.sign_out(&session, &origin).await.unwrap();
    assert!(gone.is_empty());
    assert!(drain(&mut events).is_empty());
    assert_eq!(world.verdict(&opened.issued.access).await, INVALID);
}

/// R022, A19: somebody else's handle is answered like one that does not exist, and nothing changes.
#[tokio::test]
async fn others_sessions_are_out_of_reach() {
    let world = World::new();
    let (ada, bob) = (world.person(1).await, world.person(2).await);
    let (adas, bobs) = (world.open(&ada, "plain").await, world.open(&bob, "plain").await);
    let prefix = bobs.record.id.prefix();
    let forged = [
        bobs.record.id,
        SessionId::new(prefix, [9; 16], bobs.record.slot, &routing()),
        SessionId::new(prefix, [9; 16], adas.record.slot, &routing()),
        // The right random part under another prefix, and with other routing bytes.
        SessionId::from_bytes(wayleave::core::id::IdPrefix::new("web").unwrap(), &adas.record.id.bytes()),
        SessionId::new(prefix, adas.record.id.bytes()[..16].try_into().unwrap(), bobs.record.slot, &routing()),
    ];
    let before = world.records().await;
    let mut events = world.manager.subscribe(10);
    for id in forged {
        let ended = world.manager.end_own(&ada, &id, Cause::Owner, &Origin::default()).await.unwrap();
        assert_eq!(ended, None, "{id}");
    }
    assert_eq!(world.records().await, before);
    assert_eq!(verdicts(&world, &[&adas, &bobs]).await, [VALID; 2]);
    assert!(drain(&mut events).is_empty());
    let ended = world.manager.end_own(&ada, &adas.record.id, Cause::Owner, &Origin::default()).await.unwrap();
    assert_eq!(ended.unwrap().id, adas.record.id);
    assert_eq!(verdicts(&world, &[&adas, &bobs]).await, [INVALID, VALID]);
}

/// R018: an end that a failing store could not vouch for is asked of it again, and only its word counts.
#[tokio::test]
async fn an_end_without_an_answer_is_asked_for_again() {
    let world = World::new();
    let ada = world.person(1).await;
    let opened = world.open(&ada, "plain").await;
    let origin = Origin::default();
    let end = || world.manager.end_own(&ada, &opened.record.id, Cause::Owner, &origin);
    world.store.faults().fail(StoreVerb::Revoke, Fault::AFTER_COMMIT);
    for _ in 0..3 {
        assert!(end().await.is_err());
    }
    world.store.faults().heal(StoreVerb::Revoke);
    assert_eq!(end().await.unwrap(), None);
    assert_eq!(world.verdict(&opened.issued.access).await, INVALID);
}

/// R021, R023: all, all but one, and nobody else's.
#[tokio::test]
async fn all_of_a_subject_end() {
    for keep in [None, Some(1)] {
        let world = World::new();
        let (ada, bob) = (world.person(1).await, world.person(2).await);
        let opened = [world.open(&ada, "plain").await, world.open(&ada, "web").await, world.open(&ada, "jwt").await];
        let bobs = world.open(&bob, "plain").await;
        let all: Vec<&Opened> = opened.iter().chain([&bobs]).collect();
        assert_eq!(verdicts(&world, &all).await, [VALID; 4]);
        let mut events = world.manager.subscribe(10);
        let kept = keep.map(|at: usize| opened[at].record.id);
        let ended = world.manager.end_all(&ada, kept, Cause::CredentialChanged, &Origin::default()).await.unwrap();
        assert_eq!(ended.0.len(), if keep.is_some() { 2 } else { 3 });
        assert_eq!(drain(&mut events), vec![What::Revoked(Cause::CredentialChanged); ended.0.len()]);
        let expected =
            if keep.is_some() { [INVALID, VALID, INVALID, VALID] } else { [INVALID, INVALID, INVALID, VALID] };
        assert_eq!(verdicts(&world, &all).await, expected);
        let again = world.manager.end_all(&ada, kept, Cause::CredentialChanged, &Origin::default()).await.unwrap();
        assert!(again.0.is_empty());
    }
}

/// R072: whichever token is shown, its whole lineage ends; unknown ones end nothing and say nothing.
#[tokio::test]
async fn a_revoked_token_takes_its_lineage_along() {
    for (number, after) in [SECOND, MINUTE, MINUTE, 13 * 60 * MINUTE].into_iter().enumerate() {
        let world = World::new();
        let ada = world.person(1).await;
        let bystander = world.open(&ada, "plain").await;
        let first = world.open(&ada, "plain").await;
        let second = world.refresh(refresh_token(&first.issued)).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(world.verdict(&second.issued.access).await, VALID);
        world.clock.advance(after);
        let token = match number {
            0 => &second.issued.access,
            1 => second.issued.refresh.as_ref().unwrap(),
            2 => first.issued.refresh.as_ref().unwrap(),
            _ => &second.issued.access,
        };
        let behind = world.manager.behind_token(token).await.unwrap().unwrap();
        assert_eq!(behind.id, first.record.id, "case {number}");
        let ended = world.manager.revoke_token(token, Cause::SignOut, &shown()).await.unwrap();
        assert_eq!(ended.0.len(), 1, "case {number}");
        assert_ne!(world.verdict(&second.issued.access).await, VALID, "case {number}");
        let refresh = world.refresh_verdict(refresh_token(&second.issued)).await;
        assert_eq!(refresh, RefreshVerdict::Invalid, "case {number}");
        assert_eq!(world.records().await.len(), 1, "case {number}: {:?}", bystander.record.id);
        let again = world.manager.revoke_token(token, Cause::SignOut, &shown()).await.unwrap();
        assert!(again.0.is_empty());
        for nothing in ["", "wl_", "ey", "eyJ.eyJ.AA", &first.issued.access] {
            assert!(world.manager.behind_token(nothing).await.unwrap().is_none(), "{nothing}");
            let ended = world.manager.revoke_token(nothing, Cause::SignOut, &shown()).await.unwrap();
            assert!(ended.0.is_empty());
        }
    }
}

/// What somebody else wrote to the store is in force here once this node is asked to do the same.
#[tokio::test]
async fn what_ended_elsewhere_ends_here() {
    for family in [false, true] {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open(&ada, "plain").await;
        assert_eq!(world.verdict(&opened.issued.access).await, VALID);
        let session = world.session(&opened).await;
        let other = world.second_node();
        other.manager.end_one(&opened.record.id, Cause::Administrator, &Origin::default()).await.unwrap().unwrap();
        if family {
            assert!(world.manager.sign_out(&session, &Origin::default()).await.unwrap().0.is_empty());
        } else {
            let scope = Scope::One(opened.record.slot, opened.record.id);
            let ended = world.manager.end(&scope, Cause::Administrator, &Origin::default()).await.unwrap();
            assert!(ended.0.is_empty());
        }
        assert_eq!(world.verdict(&opened.issued.access).await, INVALID, "{family}");
    }
}

/// R022: a listing shows handles, none of which is part of any token.
#[tokio::test]
async fn a_listing_shows_no_token() {
    let world = World::new();
    let ada = world.person(1).await;
    let mut tokens = Vec::new();
    for name in ["plain", "jwt", "web"] {
        let opened = world.open_as(&ada, open(name)).await;
        tokens.push(opened.issued.access.to_string());
        tokens.extend(opened.issued.refresh.map(|refresh| refresh.to_string()));
    }
    let page = world.manager.list(Some(&ada), None, 10).await.unwrap();
    assert_eq!(page.records.len(), 3);
    let listed = format!("{:?}", page.records);
    for token in &tokens {
        assert!(!listed.contains(token.as_str()));
        assert!(!listed.contains(&token[3..20]), "{token}");
    }
    for record in &page.records {
        let id = record.id.to_string();
        assert!(tokens.iter().all(|token| !token.contains(&id[5..])));
    }
}
