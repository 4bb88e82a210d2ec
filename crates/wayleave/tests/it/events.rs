//! Events: exactly these for each action, to everybody who listens, at nobody's cost.

use std::pin::Pin;

use wayleave::core::decide::Refusal;
use wayleave::core::record::{Client, Limit};
use wayleave::events::{Cause, What};
use wayleave::{Freshness, Open, Opened, Origin, SessionManager};

use crate::fixture::{
    DAY, HOUR, MINUTE, SECOND, Verdict, World, drain, fingerprinted, from, open, polling, refresh_token, routing, shown,
};

type Action = for<'a> fn(&'a World, &'a Opened) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

fn origin() -> Origin {
    Origin { request: Some("req-1".into()), network: Some("192.0.2.0/24".into()), actor: None }
}

/// What each action tells, about a session of kind `idle` that was opened with fingerprint 1 and validated once.
const ACTIONS: [(&str, Action, &[What]); 22] = [
    (
        "open",
        |w, o| Box::pin(async { drop(w.open(o.record.subject.as_ref().unwrap(), "plain").await) }),
        &[What::Created],
    ),
    (
        "open in place",
        |w, o| {
            Box::pin(async {
                let open = Open { replaces: Some(o.record.id), ..open("plain") };
                drop(w.open_as(o.record.subject.as_ref().unwrap(), open).await);
            })
        },
        &[What::Revoked(Cause::Replaced), What::Created],
    ),
    (
        "open in place of nothing",
        |w, o| {
            Box::pin(async {
                w.manager.end_one(&o.record.id, Cause::Administrator, &origin()).await.unwrap();
                let open = Open { replaces: Some(o.record.id), ..open("plain") };
                drop(w.open_as(o.record.subject.as_ref().unwrap(), open).await);
            })
        },
        &[What::Revoked(Cause::Administrator), What::Created],
    ),
    (
        "evict",
        |w, o| {
            Box::pin(async {
                w.change_kind("idle", |policy| policy.concurrency.most = 1);
                drop(w.open(o.record.subject.as_ref().unwrap(), "idle").await);
            })
        },
        &[What::Revoked(Cause::Evicted), What::Created],
    ),
    ("validate", |w, o| Box::pin(async { drop(w.manager.validate(&o.issued.access, &from(1)).await.unwrap()) }), &[]),
    (
        "validate, cold",
        |w, o| {
            Box::pin(async {
                w.manager.forget_everything();
                drop(w.manager.validate(&o.issued.access, &from(1)).await.unwrap());
            })
        },
        &[],
    ),
    (
        "validate from elsewhere, twice",
        |w, o| {
            Box::pin(async {
                for _ in 0..2 {
                    w.manager.validate(&o.issued.access, &from(2)).await.unwrap();
                }
            })
        },
        &[What::FingerprintMismatch],
    ),
    (
        "expire, seen twice",
        |w, o| {
            Box::pin(async {
                w.clock.advance(30 * MINUTE);
                for _ in 0..2 {
                    assert_eq!(w.verdict(&o.issued.access).await, Verdict::Expired(Limit::Idle));
                }
            })
        },
        &[What::Expired(Limit::Idle)],
    ),
    (
        "token ends, seen twice",
        |w, o| {
            Box::pin(async {
                for _ in 0..25 {
                    w.clock.advance(29 * MINUTE);
                    if w.verdict(&o.issued.access).await != Verdict::Valid {
                        break;
                    }
                }
                assert_eq!(w.verdict(&o.issued.access).await, Verdict::Expired(Limit::Token));
            })
        },
        &[What::Expired(Limit::Token)],
    ),
    (
        "expire, seen by a refresh",
        |w, o| {
            Box::pin(async {
                w.clock.advance(8 * DAY);
                drop(w.refresh(refresh_token(&o.issued)).await);
            })
        },
        &[What::Expired(Limit::Absolute)],
    ),
    (
        "disabled, seen by both doors",
        |w, o| {
            Box::pin(async {
                w.edit_and_tell(o.record.subject.as_ref().unwrap(), |account| account.disabled = true).await;
                w.verdict(&o.issued.access).await;
                drop(w.refresh(refresh_token(&o.issued)).await);
            })
        },
        &[What::Refused(Refusal::Disabled), What::Refused(Refusal::Disabled)],
    ),
    (
        "refresh",
        |w, o| Box::pin(async { drop(w.manager.refresh(refresh_token(&o.issued), &from(1)).await) }),
        &[What::Refreshed],
    ),
    (
        "refresh again",
        |w, o| {
            Box::pin(async {
                for _ in 0..2 {
                    drop(w.manager.refresh(refresh_token(&o.issued), &from(1)).await);
                }
            })
        },
        &[What::Refreshed, What::RefreshRepeated],
    ),
    (
        "reuse",
        |w, o| {
            Box::pin(async {
                drop(w.manager.refresh(refresh_token(&o.issued), &from(1)).await);
                w.clock.advance(10 * SECOND);
                drop(w.manager.refresh(refresh_token(&o.issued), &from(1)).await);
            })
        },
        &[What::Refreshed, What::ReuseDetected, What::Revoked(Cause::Reuse)],
    ),
    (
        "extend",
        |w, o| {
            Box::pin(async {
                let session = w.manager.validate(&o.issued.access, &from(1)).await.unwrap();
                w.manager.extend(&session, None, &origin()).await.unwrap();
            })
        },
        &[What::Renewed],
    ),
    ("change", |w, o| Box::pin(async { drop(w.manager.change(&o.record, |_| Ok::<_, ()>(())).await.unwrap()) }), &[]),
    (
        "prove again",
        |w, o| {
            Box::pin(async {
                let session = w.manager.validate(&o.issued.access, &from(1)).await.unwrap();
                let evidence = w.evidence(session.subject().unwrap()).await;
                let freshness = Freshness { refreshable: true, client: Client::default() };
                drop(w.manager.reauthenticate(&session, evidence, freshness, &origin()).await);
            })
        },
        &[What::Revoked(Cause::Replaced), What::Created],
    ),
    (
        "sign out, twice",
        |w, o| {
            Box::pin(async {
                let session = w.manager.validate(&o.issued.access, &from(1)).await.unwrap();
                for _ in 0..2 {
                    w.manager.sign_out(&session, &origin()).await.unwrap();
                }
            })
        },
        &[What::Revoked(Cause::SignOut)],
    ),
    (
        "end others",
        |w, o| {
            Box::pin(async {
                let subject = o.record.subject.as_ref().unwrap();
                w.manager.end_all(subject, Some(o.record.id), Cause::Owner, &origin()).await.unwrap();
            })
        },
        &[],
    ),
    (
        "end what is not mine",
        |w, o| {
            Box::pin(async {
                let bob = w.person(2).await;
                assert!(w.manager.end_own(&bob, &o.record.id, Cause::Owner, &origin()).await.unwrap().is_none());
            })
        },
        &[],
    ),
    (
        "flush and sweep",
        |w, _| {
            Box::pin(async {
                w.clock.advance(8 * DAY);
                w.manager.flush(10).await.unwrap();
                assert_eq!(w.manager.sweep(HOUR, 10).await.unwrap().records, 1);
            })
        },
        &[],
    ),
    (
        "polling",
        |w, o| {
            Box::pin(async {
                let unknown = wayleave::core::token::SessionToken::new([9; 32], o.record.slot, &routing()).reveal();
                for token in [&unknown, &unknown, &o.issued.access] {
                    drop(w.manager.validate(token, &polling()).await);
                }
            })
        },
        &[What::UnknownToken],
    ),
];

/// Every action tells exactly what happened, in order.
#[tokio::test]
async fn every_action_tells_what_happened() {
    for (what, action, expected) in ACTIONS {
        let world = World::new();
        let ada = world.person(1).await;
        let opened = world.open_as(&ada, Open { client: fingerprinted(1), ..open("idle") }).await;
        world.manager.validate(&opened.issued.access, &from(1)).await.unwrap();
        let mut events = world.manager.subscribe(100);
        action(&world, &opened).await;
        assert_eq!(drain(&mut events), expected, "{what}");
        assert_eq!(events.dropped(), 0);
    }
}

/// An event says when, about which session of whom, and on which request.
#[tokio::test]
async fn events_say_what_they_are_about() {
    let world = World::new();
    let ada = world.person(1).await;
    let mut events = world.manager.subscribe(10);
    let evidence = world.evidence(&ada).await;
    let opened = world.manager.open(evidence, open("plain"), &origin()).await.unwrap_or_else(|error| panic!("{error}"));
    let created = events.next().await.unwrap();
    assert_eq!(created.what, What::Created);
    assert_eq!((created.at, &created.origin), (world.manager.now(), &origin()));
    assert_eq!((created.session, created.family), (Some(opened.record.id), Some(opened.record.family)));
    assert_eq!((created.kind.as_ref(), created.subject.as_ref()), (Some(&opened.record.kind), Some(&ada)));
    // A75: and nothing that could be used.
    let text = format!("{created:?}");
    assert!(!text.contains(&*opened.issued.access) && !text.contains(refresh_token(&opened.issued)));
}

/// R167, A78: who does not listen loses events, and knows how many; nobody waits for it, and others lose nothing.
#[tokio::test]
async fn a_slow_subscriber_holds_up_nobody() {
    let world = World::new();
    let ada = world.person(1).await;
    let mut slow = world.manager.subscribe(3);
    let mut zero = world.manager.subscribe(0);
    let mut quick = world.manager.subscribe(1000);
    for _ in 0..50 {
        let opened = world.open(&ada, "plain").await;
        assert_eq!(world.verdict(&opened.issued.access).await, Verdict::Valid);
    }
    let told = drain(&mut quick);
    assert_eq!((told.len(), quick.dropped()), (50 + 45, 0));
    assert_eq!((drain(&mut slow).len(), slow.dropped()), (3, 92));
    assert_eq!((drain(&mut zero).len(), zero.dropped()), (1, 94), "a queue holds at least one");
    world.open(&ada, "web").await;
    assert_eq!(drain(&mut slow), [What::Created], "it goes on from here");
}

/// Who is gone is forgotten; when the manager is gone, the stream ends.
#[tokio::test]
async fn subscriptions_end() {
    let world = World::new();
    let ada = world.person(1).await;
    let mut stays = world.manager.subscribe(10);
    drop(world.manager.subscribe(10));
    world.open(&ada, "plain").await;
    let session = world.open(&ada, "plain").await;
    world.manager.revoke_token(&session.issued.access, Cause::SignOut, &shown()).await.unwrap();
    assert_eq!(drain(&mut stays).len(), 3);
    let World { manager, .. } = world;
    drop::<std::sync::Arc<SessionManager>>(manager);
    assert!(stays.next().await.is_none());
}
