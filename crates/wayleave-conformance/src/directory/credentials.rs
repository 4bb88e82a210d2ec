//! `Credentials`.

use std::sync::Arc;

use wayleave_core::authentication::Method;
use wayleave_core::ports::{Credential, InsertAccount};

use super::Directory;
use crate::bench::{Bench, Fresh};
use crate::fixtures::{TICK, account, account_id, at};
use crate::together::{both, together};

fn credential(secret: &[u8]) -> Credential {
    Credential { secret: secret.into(), changed_at: at(5).plus(TICK) }
}

async fn with_accounts(bench: &Bench<Directory>) -> Fresh<Directory> {
    let directory = bench.fresh().await;
    for number in 1..=2 {
        assert_eq!(directory.accounts.insert(&account(number)).await.unwrap(), InsertAccount::Done);
    }
    directory
}

pub(super) async fn are_set_replaced_and_removed(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let (credentials, id) = (&directory.credentials, account_id(1));
    for method in Method::ALL {
        let (first, second) =
            (credential(b"first"), Credential { changed_at: at(9), ..credential(b"second, and longer") });
        assert_eq!(credentials.find(&id, method).await.unwrap(), None);
        assert!(!credentials.remove(&id, method).await.unwrap());
        for value in [&first, &second, &first] {
            credentials.set(&id, method, value).await.unwrap();
            assert_eq!(credentials.find(&id, method).await.unwrap().as_ref(), Some(value));
        }
        assert!(credentials.remove(&id, method).await.unwrap());
        assert_eq!(credentials.find(&id, method).await.unwrap(), None);
        assert!(!credentials.remove(&id, method).await.unwrap());
    }
}

/// By account and by method.
pub(super) async fn are_kept_apart(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let credentials = &directory.credentials;
    let mut all = Vec::new();
    for (number, id) in [(1, account_id(1)), (2, account_id(2))] {
        for method in Method::ALL {
            let value = credential(format!("{number} {}", method.as_str()).as_bytes());
            credentials.set(&id, method, &value).await.unwrap();
            all.push((id.clone(), method, value));
        }
    }
    for (id, method, value) in &all {
        assert_eq!(credentials.find(id, *method).await.unwrap().as_ref(), Some(value));
    }
    let (id, method, _) = all.remove(3);
    assert!(credentials.remove(&id, method).await.unwrap());
    assert_eq!(credentials.find(&id, method).await.unwrap(), None);
    for (id, method, value) in &all {
        assert_eq!(credentials.find(id, *method).await.unwrap().as_ref(), Some(value));
    }
}

pub(super) async fn hold_any_bytes(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let id = account_id(1);
    for secret in [Vec::new(), (0..=255).collect(), vec![0; 4096]] {
        let value = credential(&secret);
        directory.credentials.set(&id, Method::Opaque, &value).await.unwrap();
        assert_eq!(directory.credentials.find(&id, Method::Opaque).await.unwrap(), Some(value));
    }
}

/// Another form of the same secret keeps its time. Nothing is put in the place of one that was set again or is gone.
pub(super) async fn are_rewritten_as_long_as_nobody_sets_them(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let (credentials, id, method) = (&directory.credentials, account_id(1), Method::Password);
    let first = credential(b"first");
    let set_at = first.changed_at;
    assert!(!credentials.replace(&id, method, set_at, b"new").await.unwrap());
    assert_eq!(credentials.find(&id, method).await.unwrap(), None, "it was created");
    credentials.set(&id, method, &first).await.unwrap();
    for other in [set_at.minus(TICK), set_at.plus(TICK), at(0)] {
        assert!(!credentials.replace(&id, method, other, b"new").await.unwrap());
        assert_eq!(credentials.find(&id, method).await.unwrap().as_ref(), Some(&first));
    }
    // The time stays, so it can be done again.
    for secret in [&b"the same, in another and longer form"[..], b"", b"\0\xff"] {
        assert!(credentials.replace(&id, method, set_at, secret).await.unwrap());
        assert_eq!(credentials.find(&id, method).await.unwrap(), Some(credential(secret)));
    }
    let second = Credential { secret: first.secret.clone(), changed_at: at(9) };
    credentials.set(&id, method, &second).await.unwrap();
    assert!(!credentials.replace(&id, method, set_at, b"new").await.unwrap());
    assert_eq!(credentials.find(&id, method).await.unwrap(), Some(second));
    assert!(credentials.remove(&id, method).await.unwrap());
    assert!(!credentials.replace(&id, method, at(9), b"new").await.unwrap());
    assert_eq!(credentials.find(&id, method).await.unwrap(), None, "it came back");
}

/// Other credentials that were set at the same instant stay.
pub(super) async fn are_rewritten_under_account_and_method(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let credentials = &directory.credentials;
    let all = [
        (account_id(1), Method::Password),
        (account_id(1), Method::Opaque),
        (account_id(2), Method::Password),
        (account_id(2), Method::Opaque),
    ];
    for (id, method) in &all {
        credentials.set(id, *method, &credential(b"old")).await.unwrap();
    }
    let (rewritten, others) = all.split_first().unwrap();
    let (id, method) = rewritten;
    assert!(credentials.replace(id, *method, credential(b"").changed_at, b"new").await.unwrap());
    assert_eq!(credentials.find(id, *method).await.unwrap(), Some(credential(b"new")));
    for (id, method) in others {
        assert_eq!(credentials.find(id, *method).await.unwrap(), Some(credential(b"old")));
    }
}

/// The old secret is rewritten while its owner sets a new one, which wins, whoever comes first.
pub(super) async fn set_meanwhile_are_not_rewritten(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let credentials = &directory.credentials;
    for round in bench.rounds() {
        let set_at = at(i64::from(round) * 10);
        let old = Credential { secret: Box::new(*b"old"), changed_at: set_at };
        let new = Credential { secret: Box::new(*b"new"), changed_at: set_at.plus(TICK) };
        credentials.set(&account_id(1), Method::Password, &old).await.unwrap();
        let (rewriting, setting, chosen) = (Arc::clone(credentials), Arc::clone(credentials), new.clone());
        both(
            round,
            async move {
                // It may come first or too late.
                let _: bool =
                    rewriting.replace(&account_id(1), Method::Password, set_at, b"old, rewritten").await.unwrap();
            },
            async move { setting.set(&account_id(1), Method::Password, &chosen).await.unwrap() },
        )
        .await;
        assert_eq!(credentials.find(&account_id(1), Method::Password).await.unwrap(), Some(new));
    }
}

/// A credential that is removed stays removed.
pub(super) async fn are_rewritten_or_removed(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let credentials = &directory.credentials;
    for round in bench.rounds() {
        let held = credential(b"held");
        credentials.set(&account_id(1), Method::Opaque, &held).await.unwrap();
        let (rewriting, removing) = (Arc::clone(credentials), Arc::clone(credentials));
        let (_, removed) = both(
            round,
            async move { rewriting.replace(&account_id(1), Method::Opaque, held.changed_at, b"new").await.unwrap() },
            async move { removing.remove(&account_id(1), Method::Opaque).await.unwrap() },
        )
        .await;
        assert!(removed);
        assert_eq!(credentials.find(&account_id(1), Method::Opaque).await.unwrap(), None);
    }
}

/// Only in the place of the one that was named, or where there is none. The old and the new differ by their time.
pub(super) async fn are_exchanged_for_the_one_in_force(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let (credentials, id, method) = (&directory.credentials, account_id(1), Method::Password);
    let set = |secret: &[u8], second| Credential { secret: secret.into(), changed_at: at(second) };
    let (first, second, third) = (set(b"first", 10), set(b"second, and longer", 20), set(b"3", 30));
    assert!(!credentials.exchange(&id, method, Some(at(10)), &first).await.unwrap());
    assert_eq!(credentials.find(&id, method).await.unwrap(), None, "it was created");
    assert!(credentials.exchange(&id, method, None, &first).await.unwrap());
    for other in [None, Some(at(10).minus(TICK)), Some(at(10).plus(TICK)), Some(at(20))] {
        assert!(!credentials.exchange(&id, method, other, &second).await.unwrap());
        assert_eq!(credentials.find(&id, method).await.unwrap().as_ref(), Some(&first));
    }
    assert!(!credentials.exchange(&account_id(2), method, Some(at(10)), &second).await.unwrap());
    assert!(!credentials.exchange(&id, Method::Opaque, Some(at(10)), &second).await.unwrap());
    // Another form of the same secret is still the same.
    assert!(credentials.replace(&id, method, at(10), b"first, in another form").await.unwrap());
    assert!(credentials.exchange(&id, method, Some(at(10)), &second).await.unwrap());
    assert!(!credentials.exchange(&id, method, Some(at(10)), &third).await.unwrap());
    assert_eq!(credentials.find(&id, method).await.unwrap(), Some(second));
    assert!(credentials.remove(&id, method).await.unwrap());
    assert!(!credentials.exchange(&id, method, Some(at(20)), &third).await.unwrap());
    assert!(credentials.exchange(&id, method, None, &third).await.unwrap());
    assert_eq!(credentials.find(&id, method).await.unwrap().as_ref(), Some(&third));
    assert!(credentials.exchange(&account_id(3), method, None, &third).await.unwrap(), "the account comes later");
}

/// Of many who proved the same secret and set another, one succeeds.
pub(super) async fn are_exchanged_by_one_of_many(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    for round in bench.rounds() {
        let set_at = at(i64::from(round) * 10);
        let old = Credential { secret: Box::new(*b"old"), changed_at: set_at };
        let before = if round.is_multiple_of(2) { Some(set_at) } else { None };
        match before {
            Some(_) => directory.credentials.set(&account_id(1), Method::Password, &old).await.unwrap(),
            None => {
                let _: bool = directory.credentials.remove(&account_id(1), Method::Password).await.unwrap();
            }
        }
        let done = together((0..8_u8).map(|number| {
            let credentials = Arc::clone(&directory.credentials);
            let new = Credential { secret: Box::new([number]), changed_at: set_at.plus(TICK) };
            async move {
                let done = credentials.exchange(&account_id(1), Method::Password, before, &new).await.unwrap();
                done.then_some(new)
            }
        }))
        .await;
        let done: Vec<_> = done.into_iter().flatten().collect();
        assert_eq!(done.len(), 1);
        assert_eq!(
            directory.credentials.find(&account_id(1), Method::Password).await.unwrap(),
            done.into_iter().next()
        );
    }
}
