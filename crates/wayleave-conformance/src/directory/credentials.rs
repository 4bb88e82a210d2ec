//! `Credentials`.

use std::sync::Arc;

use wayleave_core::authentication::Method;
use wayleave_core::ports::{
    AccountId, Credential, Credentials, Exchange, Exchanged, InsertAccount, Rewrapped, Wrap, WrappedKey,
};
use wayleave_core::time::Timestamp;

use super::Directory;
use crate::bench::{Bench, Fresh};
use crate::fixtures::{TICK, account, account_id, at};
use crate::together::{both, together};

fn credential(secret: &[u8]) -> Credential {
    Credential { secret: secret.into(), changed_at: at(5).plus(TICK) }
}

/// Whether a plain exchange was made.
async fn exchanged(
    credentials: &Arc<dyn Credentials>,
    account: &AccountId,
    method: Method,
    set_at: Option<Timestamp>,
    new: &Credential,
) -> bool {
    match credentials.exchange(account, &Exchange::plain(method, set_at, new.clone())).await.unwrap() {
        Exchanged::Done => true,
        Exchanged::Moved => false,
        Exchanged::KeyMoved => panic!("there is no key"),
    }
}

fn wrapped(text: &[u8], replaces: Option<&[u8]>) -> Rewrapped {
    let key = |text: &[u8]| WrappedKey::new(text).unwrap();
    Rewrapped { key: key(text), replaces: replaces.map(|text| key(text).tag()) }
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
    assert!(!exchanged(credentials, &id, method, Some(at(10)), &first).await);
    assert_eq!(credentials.find(&id, method).await.unwrap(), None, "it was created");
    assert!(exchanged(credentials, &id, method, None, &first).await);
    for other in [None, Some(at(10).minus(TICK)), Some(at(10).plus(TICK)), Some(at(20))] {
        assert!(!exchanged(credentials, &id, method, other, &second).await);
        assert_eq!(credentials.find(&id, method).await.unwrap().as_ref(), Some(&first));
    }
    assert!(!exchanged(credentials, &account_id(2), method, Some(at(10)), &second).await);
    assert!(!exchanged(credentials, &id, Method::Opaque, Some(at(10)), &second).await);
    // Another form of the same secret is still the same.
    assert!(credentials.replace(&id, method, at(10), b"first, in another form").await.unwrap());
    assert!(exchanged(credentials, &id, method, Some(at(10)), &second).await);
    assert!(!exchanged(credentials, &id, method, Some(at(10)), &third).await);
    assert_eq!(credentials.find(&id, method).await.unwrap(), Some(second));
    assert!(credentials.remove(&id, method).await.unwrap());
    assert!(!exchanged(credentials, &id, method, Some(at(20)), &third).await);
    assert!(exchanged(credentials, &id, method, None, &third).await);
    assert_eq!(credentials.find(&id, method).await.unwrap().as_ref(), Some(&third));
    assert!(exchanged(credentials, &account_id(3), method, None, &third).await, "the account comes later");
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
                let done = exchanged(&credentials, &account_id(1), Method::Password, before, &new).await;
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

/// The one of another method goes in the same step as the new one comes, and only then.
pub(super) async fn supersede_those_of_another_method(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let (credentials, id) = (&directory.credentials, account_id(1));
    let (password, record) = (credential(b"a password"), credential(b"a record"));
    let other = account_id(2);
    credentials.set(&other, Method::Password, &password).await.unwrap();
    credentials.set(&id, Method::Password, &password).await.unwrap();
    let exchange = |set_at| Exchange {
        supersedes: Some(Method::Password),
        ..Exchange::plain(Method::Opaque, set_at, record.clone())
    };
    assert_eq!(credentials.exchange(&id, &exchange(Some(at(1)))).await.unwrap(), Exchanged::Moved);
    assert_eq!(credentials.find(&id, Method::Password).await.unwrap().as_ref(), Some(&password), "for nothing");
    assert_eq!(credentials.exchange(&id, &exchange(None)).await.unwrap(), Exchanged::Done);
    assert_eq!(credentials.find(&id, Method::Password).await.unwrap(), None);
    assert_eq!(credentials.find(&id, Method::Opaque).await.unwrap().as_ref(), Some(&record));
    assert_eq!(credentials.find(&other, Method::Password).await.unwrap().as_ref(), Some(&password));
    // Where there is none to go, nothing is missed.
    assert_eq!(credentials.exchange(&id, &exchange(Some(record.changed_at))).await.unwrap(), Exchanged::Done);
    // A key goes with the one that it lay beside.
    assert_eq!(credentials.wrap(&id, Method::Opaque, &wrapped(b"key", None)).await.unwrap(), Wrap::Done);
    let back =
        Exchange { supersedes: Some(Method::Opaque), ..Exchange::plain(Method::Password, None, password.clone()) };
    assert_eq!(credentials.exchange(&id, &back).await.unwrap(), Exchanged::Done);
    assert_eq!(credentials.find(&id, Method::Opaque).await.unwrap(), None);
    assert_eq!(credentials.wrapped_key(&id, Method::Opaque).await.unwrap(), None);
}

/// While the one that is to take their place is exchanged by many, there is always one of the two: never both are there, and
/// never none.
pub(super) async fn are_superseded_in_one_step(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let id = account_id(1);
    for round in bench.rounds() {
        let held = credential(b"held");
        directory.credentials.set(&id, Method::Password, &held).await.unwrap();
        let _: bool = directory.credentials.remove(&id, Method::Opaque).await.unwrap();
        let (moving, looking) = (Arc::clone(&directory.credentials), Arc::clone(&directory.credentials));
        let (_, seen) = both(
            round,
            async move {
                let exchange = Exchange {
                    supersedes: Some(Method::Password),
                    ..Exchange::plain(Method::Opaque, None, credential(b"record"))
                };
                assert_eq!(moving.exchange(&account_id(1), &exchange).await.unwrap(), Exchanged::Done);
            },
            async move {
                // The new one first: seen, the old one must be gone.
                let record = looking.find(&account_id(1), Method::Opaque).await.unwrap();
                let password = looking.find(&account_id(1), Method::Password).await.unwrap();
                record.is_some() && password.is_some()
            },
        )
        .await;
        assert!(!seen, "both are there");
    }
}

/// A key that clients wrap lies beside a credential, and is replaced only where it is the one that was named.
pub(super) async fn keep_a_wrapped_key_beside_them(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let (credentials, id, other, method) = (&directory.credentials, account_id(1), account_id(2), Method::Opaque);
    let key = async |account| credentials.wrapped_key(account, method).await.unwrap();
    let wrap = async |rewrapped: &Rewrapped| credentials.wrap(&id, method, rewrapped).await.unwrap();
    let first = wrapped(b"first", None);
    assert_eq!(wrap(&first).await, Wrap::NoCredential);
    assert_eq!(key(&id).await, None);
    credentials.set(&id, method, &credential(b"record")).await.unwrap();
    credentials.set(&other, method, &credential(b"record")).await.unwrap();
    assert_eq!(key(&id).await, None);
    assert_eq!(wrap(&wrapped(b"first", Some(b"none"))).await, Wrap::Moved);
    assert_eq!(wrap(&first).await, Wrap::Done);
    assert_eq!(key(&id).await.as_ref(), Some(&first.key));
    assert_eq!(key(&other).await, None);
    assert_eq!(credentials.wrapped_key(&id, Method::Password).await.unwrap(), None);
    for stale in [None, Some(&b"other"[..])] {
        assert_eq!(wrap(&wrapped(b"second", stale)).await, Wrap::Moved);
        assert_eq!(key(&id).await.as_ref(), Some(&first.key));
    }
    let longest = vec![0xff; WrappedKey::MAX];
    assert_eq!(wrap(&wrapped(&longest, Some(b"first"))).await, Wrap::Done);
    assert_eq!(key(&id).await.unwrap().as_bytes(), longest);
    // The same secret in another form keeps it; another secret does not, and neither does the end of the secret.
    assert!(credentials.replace(&id, method, credential(b"").changed_at, b"in another form").await.unwrap());
    assert_eq!(key(&id).await.unwrap().as_bytes(), longest);
    assert_eq!(credentials.find(&id, method).await.unwrap(), Some(credential(b"in another form")));
    credentials.set(&id, method, &credential(b"another")).await.unwrap();
    assert_eq!(key(&id).await, None);
    assert_eq!(wrap(&first).await, Wrap::Done);
    assert!(credentials.remove(&id, method).await.unwrap());
    credentials.set(&id, method, &credential(b"another")).await.unwrap();
    assert_eq!(key(&id).await, None);
}

/// A secret and the key beside it are exchanged together or not at all, and no key is lost for being forgotten.
pub(super) async fn are_exchanged_with_the_key_beside_them(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let (credentials, id, method) = (&directory.credentials, account_id(1), Method::Opaque);
    let record = |second| Credential { secret: Box::new(*b"record"), changed_at: at(second) };
    let exchange = async |set_at: Option<i64>, new: i64, key: Option<Rewrapped>| {
        let exchange = Exchange { wrapped_key: key, ..Exchange::plain(method, set_at.map(at), record(new)) };
        let told = credentials.exchange(&id, &exchange).await.unwrap();
        let held = credentials.find(&id, method).await.unwrap().map(|held| held.changed_at);
        let key = credentials.wrapped_key(&id, method).await.unwrap().map(|key| key.as_bytes().to_vec());
        (told, held, key)
    };
    let key = |text: &[u8]| Some(text.to_vec());
    assert_eq!(exchange(None, 10, Some(wrapped(b"1", Some(b"0")))).await, (Exchanged::KeyMoved, None, None));
    assert_eq!(exchange(None, 10, Some(wrapped(b"1", None))).await, (Exchanged::Done, Some(at(10)), key(b"1")));
    for (rewrapped, what) in [
        (None, "without one"),
        (Some(wrapped(b"2", None)), "as if there were none"),
        (Some(wrapped(b"2", Some(b"other"))), "in the place of another"),
    ] {
        assert_eq!(exchange(Some(10), 20, rewrapped).await, (Exchanged::KeyMoved, Some(at(10)), key(b"1")), "{what}");
    }
    // What was set is looked at first.
    let both = Some(wrapped(b"2", Some(b"1")));
    assert_eq!(exchange(Some(9), 20, both.clone()).await, (Exchanged::Moved, Some(at(10)), key(b"1")));
    assert_eq!(exchange(None, 20, None).await, (Exchanged::Moved, Some(at(10)), key(b"1")));
    assert_eq!(exchange(Some(10), 20, both).await, (Exchanged::Done, Some(at(20)), key(b"2")));
}

/// Of many who wrap a key anew one succeeds; with a change of the secret at the same time, what is there fits together.
pub(super) async fn are_wrapped_beside_by_one_of_many(bench: Bench<Directory>) {
    let directory = with_accounts(&bench).await;
    let id = account_id(1);
    for round in bench.rounds() {
        let set_at = at(i64::from(round) * 10);
        let old = Credential { secret: Box::new(*b"old"), changed_at: set_at };
        directory.credentials.set(&id, Method::Opaque, &old).await.unwrap();
        assert_eq!(directory.credentials.wrap(&id, Method::Opaque, &wrapped(b"old", None)).await.unwrap(), Wrap::Done);
        let done = together((0..8_u8).map(|number| {
            let credentials = Arc::clone(&directory.credentials);
            let rewrapped = wrapped(&[number], Some(b"old"));
            async move {
                let id = account_id(1);
                if number.is_multiple_of(2) {
                    let told = credentials.wrap(&id, Method::Opaque, &rewrapped).await.unwrap();
                    (told == Wrap::Done).then_some((number, b'o'))
                } else {
                    let new = Credential { secret: Box::new([number]), changed_at: set_at.plus(TICK) };
                    let exchange =
                        Exchange { wrapped_key: Some(rewrapped), ..Exchange::plain(Method::Opaque, Some(set_at), new) };
                    let told = credentials.exchange(&id, &exchange).await.unwrap();
                    (told == Exchanged::Done).then_some((number, number))
                }
            }
        }))
        .await;
        let done: Vec<_> = done.into_iter().flatten().collect();
        let [(key, secret)] = done[..] else { panic!("{done:?}") };
        let held = directory.credentials.find(&id, Method::Opaque).await.unwrap().unwrap();
        assert_eq!(held.secret.first(), Some(&secret));
        let beside = directory.credentials.wrapped_key(&id, Method::Opaque).await.unwrap().unwrap();
        assert_eq!(beside.as_bytes(), [key]);
    }
}
