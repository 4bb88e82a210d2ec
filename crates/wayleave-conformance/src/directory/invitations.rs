//! `Invitations`.

use std::sync::Arc;

use wayleave_core::ports::{InsertAccount, Invitation, Invitations};
use wayleave_core::time::Timestamp;

use super::Directory;
use crate::bench::{Bench, Fresh};
use crate::fixtures::{TICK, account, account_id, at, bytes, email, permissions};
use crate::together::{both, together};

/// An invitation by account 1, good until 100.
fn invitation(number: u32) -> Invitation {
    Invitation {
        key: bytes("invitation", number),
        email: Some(email(number)),
        permissions: permissions(&["read:profile", "users:manage"]),
        created_by: Some(account_id(1)),
        created_at: at(number.into()).plus(TICK),
        expires_at: at(100),
    }
}

async fn with_inviter(bench: &Bench<Directory>) -> Fresh<Directory> {
    let directory = bench.fresh().await;
    assert_eq!(directory.accounts.insert(&account(1)).await.unwrap(), InsertAccount::Done);
    directory
}

async fn put(invitations: &Arc<dyn Invitations>, invitation: &Invitation) {
    assert!(invitations.insert(invitation).await.unwrap());
}

async fn take(invitations: &Arc<dyn Invitations>, invitation: &Invitation, now: Timestamp) -> Option<Invitation> {
    invitations.take(invitation.key, now).await.unwrap()
}

pub(super) async fn are_taken_once(bench: Bench<Directory>) {
    let directory = with_inviter(&bench).await;
    let invitations = &directory.invitations;
    let bare = Invitation {
        email: None,
        created_by: None,
        permissions: permissions(&[]),
        expires_at: Timestamp::MAX,
        ..invitation(2)
    };
    for invitation in [invitation(1), bare] {
        assert_eq!(take(invitations, &invitation, at(10)).await, None);
        assert_eq!(invitations.find(invitation.key, at(10)).await.unwrap(), None);
        put(invitations, &invitation).await;
        for _ in 0..2 {
            assert_eq!(invitations.find(invitation.key, at(10)).await.unwrap().as_ref(), Some(&invitation));
        }
        assert_eq!(take(invitations, &invitation, at(10)).await, Some(invitation.clone()));
        assert_eq!(take(invitations, &invitation, at(10)).await, None);
        assert_eq!(invitations.find(invitation.key, at(10)).await.unwrap(), None);
    }
}

pub(super) async fn are_void_from_their_expiry_on(bench: Bench<Directory>) {
    let directory = with_inviter(&bench).await;
    let invitations = &directory.invitations;
    for (number, now, good) in [(1, at(100).minus(TICK), true), (2, at(100), false), (3, at(10_000), false)] {
        let invitation = invitation(number);
        put(invitations, &invitation).await;
        assert_eq!(invitations.list(now, 10).await.unwrap().contains(&invitation), good);
        assert_eq!(invitations.find(invitation.key, now).await.unwrap(), good.then(|| invitation.clone()));
        assert_eq!(take(invitations, &invitation, now).await, good.then_some(invitation));
    }
}

pub(super) async fn are_never_overwritten(bench: Bench<Directory>) {
    let directory = with_inviter(&bench).await;
    let invitations = &directory.invitations;
    let first = invitation(1);
    put(invitations, &first).await;
    let second = Invitation { key: first.key, permissions: permissions(&["admin"]), ..invitation(2) };
    assert!(!invitations.insert(&second).await.unwrap());
    assert_eq!(take(invitations, &first, at(10)).await, Some(first));
}

pub(super) async fn are_listed_newest_first(bench: Bench<Directory>) {
    let directory = with_inviter(&bench).await;
    let invitations = &directory.invitations;
    assert_eq!(invitations.list(at(0), 10).await.unwrap(), []);
    for number in [3, 1, 5, 2, 4] {
        put(invitations, &invitation(number)).await;
    }
    put(invitations, &Invitation { expires_at: at(20), ..invitation(6) }).await;
    assert!(take(invitations, &invitation(3), at(10)).await.is_some());
    assert!(invitations.withdraw(invitation(2).key).await.unwrap());
    let good = [5, 4, 1].map(invitation);
    assert_eq!(invitations.list(at(20), 1000).await.unwrap(), good);
    assert_eq!(invitations.list(at(20), 2).await.unwrap(), good[..2]);
    assert_eq!(invitations.list(at(100), 1000).await.unwrap(), []);
}

pub(super) async fn are_withdrawn(bench: Bench<Directory>) {
    let directory = with_inviter(&bench).await;
    let invitations = &directory.invitations;
    let (first, second) = (invitation(1), invitation(2));
    put(invitations, &first).await;
    put(invitations, &second).await;
    assert!(!invitations.withdraw(invitation(3).key).await.unwrap());
    assert!(invitations.withdraw(first.key).await.unwrap());
    assert!(!invitations.withdraw(first.key).await.unwrap());
    assert_eq!(take(invitations, &first, at(10)).await, None);
    assert_eq!(take(invitations, &second, at(10)).await, Some(second.clone()));
    assert!(!invitations.withdraw(second.key).await.unwrap());
}

pub(super) async fn are_taken_by_one_of_many(bench: Bench<Directory>) {
    let directory = with_inviter(&bench).await;
    for round in bench.rounds() {
        let invitation = invitation(round);
        put(&directory.invitations, &invitation).await;
        let taken = together((0..20).map(|_| {
            let (invitations, invitation) = (Arc::clone(&directory.invitations), invitation.clone());
            async move { take(&invitations, &invitation, at(10)).await }
        }))
        .await;
        assert_eq!(taken.into_iter().flatten().collect::<Vec<_>>(), [invitation]);
    }
}

/// Never both, never neither.
pub(super) async fn are_taken_or_withdrawn(bench: Bench<Directory>) {
    let directory = with_inviter(&bench).await;
    for round in bench.rounds() {
        let invitation = invitation(round);
        put(&directory.invitations, &invitation).await;
        let (taker, withdrawer) = (Arc::clone(&directory.invitations), Arc::clone(&directory.invitations));
        let key = invitation.key;
        let (taken, withdrawn) = both(round, async move { taker.take(key, at(10)).await.unwrap() }, async move {
            withdrawer.withdraw(key).await.unwrap()
        })
        .await;
        assert_eq!(taken.is_some(), !withdrawn);
        assert_eq!(take(&directory.invitations, &invitation, at(11)).await, None);
    }
}
