//! `Accounts`.

use std::sync::Arc;

use wayleave_core::ports::{Account, AccountChange, AccountId, Accounts, InsertAccount};
use wayleave_core::record::Revision;

use super::Directory;
use crate::bench::Bench;
use crate::fixtures::{TICK, account, account_id, at, email, permissions};
use crate::together::together;

const CONTENDERS: u32 = 20;

async fn put(accounts: &Arc<dyn Accounts>, account: &Account) {
    assert_eq!(accounts.insert(account).await.unwrap(), InsertAccount::Done);
}

async fn assert_kept(accounts: &Arc<dyn Accounts>, account: &Account) {
    assert_eq!(accounts.by_id(&account.id).await.unwrap().as_ref(), Some(account));
    assert_eq!(accounts.by_email(&account.email).await.unwrap().as_ref(), Some(account));
}

/// `account` with every field changed that may change, and every optional one cleared or swapped.
fn altered(account: &Account, number: u32) -> Account {
    Account {
        email: email(number),
        name: "Ömer Faruk Şahin".into(),
        role: "".into(),
        phone: None,
        labels: Vec::new(),
        avatar: None,
        permissions: permissions(&["users:manage"]),
        disabled: !account.disabled,
        must_change_password: !account.must_change_password,
        epoch: account.epoch + 3,
        updated_at: at(90).plus(TICK),
        last_sign_in_at: None,
        ..account.clone()
    }
}

pub(super) async fn are_found_by_id_and_address(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    let first = account(1);
    assert_eq!(accounts.by_id(&first.id).await.unwrap(), None);
    assert_eq!(accounts.by_email(&first.email).await.unwrap(), None);
    let bare = Account { last_sign_in_at: None, phone: None, avatar: None, labels: Vec::new(), ..account(2) };
    put(accounts, &first).await;
    put(accounts, &bare).await;
    assert_kept(accounts, &first).await;
    assert_kept(accounts, &bare).await;
    assert_eq!(accounts.by_id(&account_id(3)).await.unwrap(), None);
    assert_eq!(accounts.by_email(&email(3)).await.unwrap(), None);
}

/// R060: neither an id nor an address is given to a second account.
pub(super) async fn are_never_overwritten(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    let first = account(1);
    put(accounts, &first).await;
    let same_id = Account { id: first.id.clone(), ..account(2) };
    let same_email = Account { email: first.email.clone(), ..account(2) };
    for second in [&same_id, &same_email, &first] {
        assert_eq!(accounts.insert(second).await.unwrap(), InsertAccount::Exists);
        assert_kept(accounts, &first).await;
    }
    assert_eq!(accounts.by_email(&email(2)).await.unwrap(), None);
    assert_eq!(accounts.by_id(&account_id(2)).await.unwrap(), None);
    assert_eq!(accounts.count().await.unwrap(), 1);
}

pub(super) async fn change_by_revision(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    let first = account(1);
    assert_eq!(accounts.update(&first).await.unwrap(), AccountChange::Missing);
    assert_eq!(accounts.by_id(&first.id).await.unwrap(), None);
    put(accounts, &first).await;
    let mut held = first.clone();
    // There and back, so that every optional field is cleared and set once.
    for change in [altered(&first, 2), Account { epoch: 90, ..first.clone() }] {
        let change = Account { revision: held.revision, ..change };
        let expected = Account { revision: held.revision.next(), ..change.clone() };
        assert_eq!(accounts.update(&change).await.unwrap(), AccountChange::Done(expected.revision));
        assert_kept(accounts, &expected).await;
        held = expected;
    }
    for wrong in [first.revision, held.revision.next(), Revision(1_000)] {
        let late = Account { revision: wrong, ..altered(&held, 3) };
        assert_eq!(accounts.update(&late).await.unwrap(), AccountChange::Conflict);
        assert_kept(accounts, &held).await;
    }
}

/// Whatever they are given; an epoch that fell would bring ended sessions back.
pub(super) async fn keep_id_birth_and_epoch(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    let held = Account { epoch: 7, ..account(1) };
    put(accounts, &held).await;
    let change = Account { created_at: at(-999), epoch: 6, name: "Renamed".into(), ..held.clone() };
    let expected = Account { name: "Renamed".into(), revision: held.revision.next(), ..held.clone() };
    assert_eq!(accounts.update(&change).await.unwrap(), AccountChange::Done(expected.revision));
    assert_kept(accounts, &expected).await;
    let change = Account { epoch: 8, ..expected.clone() };
    let expected = Account { epoch: 8, revision: expected.revision.next(), ..expected };
    assert_eq!(accounts.update(&change).await.unwrap(), AccountChange::Done(expected.revision));
    assert_kept(accounts, &expected).await;
}

pub(super) async fn move_to_a_free_address(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    let (first, second) = (account(1), account(2));
    put(accounts, &first).await;
    put(accounts, &second).await;
    let taken = Account { email: second.email.clone(), name: "Thief".into(), ..first.clone() };
    assert_eq!(accounts.update(&taken).await.unwrap(), AccountChange::EmailTaken);
    assert_kept(accounts, &first).await;
    assert_kept(accounts, &second).await;
    let moved = Account { email: email(3), ..first.clone() };
    assert_eq!(accounts.update(&moved).await.unwrap(), AccountChange::Done(first.revision.next()));
    assert_eq!(accounts.by_email(&first.email).await.unwrap(), None);
    assert_kept(accounts, &Account { revision: first.revision.next(), ..moved }).await;
    // The address that became free may be taken.
    let follows = Account { email: first.email.clone(), ..second.clone() };
    assert_eq!(accounts.update(&follows).await.unwrap(), AccountChange::Done(second.revision.next()));
    assert_kept(accounts, &Account { revision: second.revision.next(), ..follows }).await;
    put(accounts, &Account { email: second.email, ..account(4) }).await;
}

pub(super) async fn are_listed_in_the_order_of_their_ids(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    assert_eq!(accounts.list(None, None, 10).await.unwrap(), []);
    let mut expected: Vec<_> = (0..11).map(account).collect();
    for account in &expected {
        put(accounts, account).await;
    }
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    for most in [1, 2, 3, 11, 1000] {
        let mut found: Vec<Account> = Vec::new();
        loop {
            let after: Option<AccountId> = found.last().map(|account| account.id.clone());
            let page = accounts.list(None, after.as_ref(), most).await.unwrap();
            assert!(page.len() <= usize::try_from(most).unwrap());
            if page.is_empty() {
                break;
            }
            found.extend(page);
            assert!(found.len() <= expected.len(), "the pages do not end");
        }
        assert_eq!(found, expected, "pages of {most}");
    }
    // An id that is nobody's is a place in the order as well.
    let nobody = account_id(1_000);
    let rest: Vec<_> = expected.into_iter().filter(|account| account.id > nobody).collect();
    assert_eq!(accounts.list(None, Some(&nobody), 1000).await.unwrap(), rest);
}

async fn searched(accounts: &Arc<dyn Accounts>, search: &str) -> Vec<AccountId> {
    accounts.list(Some(search), None, 1000).await.unwrap().into_iter().map(|account| account.id).collect()
}

fn ids<const N: usize>(numbers: [u32; N]) -> Vec<AccountId> {
    let mut ids: Vec<_> = numbers.into_iter().map(account_id).collect();
    ids.sort();
    ids
}

pub(super) async fn are_searched_by_address_and_name(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    let people = [("ada@lovelace.example", "Ada King"), ("king@example.org", "Charles"), ("c@x.example", "Çiğdem")];
    for (number, (address, name)) in (1..).zip(people) {
        put(accounts, &Account { email: address.parse().unwrap(), name: name.into(), ..account(number) }).await;
    }
    assert_eq!(searched(accounts, "king").await, ids([1, 2]));
    assert_eq!(searched(accounts, "KING").await, ids([1, 2]));
    assert_eq!(searched(accounts, "ADA@love").await, ids([1]));
    assert_eq!(searched(accounts, "iğDEM").await, ids([3]));
    assert_eq!(searched(accounts, ".example").await, ids([1, 3]));
    assert_eq!(searched(accounts, "nobody").await, []);
    assert_eq!(searched(accounts, "").await, ids([1, 2, 3]));
    let after = ids([1, 2]);
    let page = accounts.list(Some("king"), Some(&after[0]), 10).await.unwrap();
    assert_eq!(page.into_iter().map(|account| account.id).collect::<Vec<_>>(), after[1..]);
    assert_eq!(accounts.list(Some("king"), None, 1).await.unwrap().len(), 1);
    // Whatever the locale of the machine makes of an I.
    put(accounts, &Account { name: "INES".into(), ..account(4) }).await;
    assert_eq!(searched(accounts, "ines").await, ids([4]));
}

/// What other systems take for a pattern is a text like any other.
pub(super) async fn are_searched_literally(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    for (number, name) in (1..).zip(["100% sure", "snake_case", "star*?", "back\\slash", "it's", "plain"]) {
        put(accounts, &Account { name: name.into(), ..account(number) }).await;
    }
    for (number, search) in (1..).zip(["100%", "snake_", "r*?", "k\\s", "t's"]) {
        assert_eq!(searched(accounts, search).await, ids([number]), "{search}");
    }
    for search in ["p%n", "p_ain", "p*", "[p]lain", "' OR 1=1 --"] {
        assert_eq!(searched(accounts, search).await, [], "{search}");
    }
}

pub(super) async fn hold_permissions_while_they_are_enabled(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    assert!(!accounts.anybody_holds("admin").await.unwrap());
    let disabled = Account { permissions: permissions(&["admin"]), disabled: true, ..account(1) };
    let similar = Account { permissions: permissions(&["admin:users", "administer", "my-admin"]), ..account(2) };
    put(accounts, &disabled).await;
    put(accounts, &similar).await;
    assert!(!accounts.anybody_holds("admin").await.unwrap());
    assert!(accounts.anybody_holds("administer").await.unwrap());
    let enabled = Account { disabled: false, ..disabled.clone() };
    assert_eq!(accounts.update(&enabled).await.unwrap(), AccountChange::Done(disabled.revision.next()));
    assert!(accounts.anybody_holds("admin").await.unwrap());
    let demoted = Account { permissions: permissions(&["users:read"]), revision: disabled.revision.next(), ..enabled };
    assert!(matches!(accounts.update(&demoted).await.unwrap(), AccountChange::Done(_)));
    assert!(!accounts.anybody_holds("admin").await.unwrap());
}

pub(super) async fn are_counted(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    for number in 0..5 {
        assert_eq!(accounts.count().await.unwrap(), u64::from(number));
        put(accounts, &Account { disabled: number % 2 == 0, ..account(number) }).await;
    }
    assert_eq!(accounts.count().await.unwrap(), 5);
}

async fn assert_inserted_once(accounts: &Arc<dyn Accounts>, contenders: Vec<Account>) {
    let outcomes = together(contenders.iter().cloned().map(|account| {
        let accounts = Arc::clone(accounts);
        async move { accounts.insert(&account).await.unwrap() }
    }))
    .await;
    let done: Vec<_> = contenders.iter().zip(outcomes).filter(|(_, outcome)| *outcome == InsertAccount::Done).collect();
    assert_eq!(done.len(), 1);
    assert_kept(accounts, done[0].0).await;
}

/// R114: of many sign-ups with one address exactly one makes an account.
pub(super) async fn of_one_address_are_inserted_once(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    for round in bench.rounds() {
        let contenders =
            (0..CONTENDERS).map(|n| Account { email: email(round), ..account(round * 1000 + n) }).collect();
        assert_inserted_once(accounts, contenders).await;
        assert_eq!(accounts.count().await.unwrap(), u64::from(round) + 1);
    }
}

pub(super) async fn of_one_id_are_inserted_once(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    for round in bench.rounds() {
        let contenders =
            (0..CONTENDERS).map(|n| Account { id: account_id(round), ..account(round * 1000 + n) }).collect();
        assert_inserted_once(accounts, contenders).await;
        assert_eq!(accounts.count().await.unwrap(), u64::from(round) + 1);
    }
}

pub(super) async fn change_once_per_revision(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    for round in bench.rounds() {
        let held = account(round);
        put(accounts, &held).await;
        let changes: Vec<_> =
            (0..CONTENDERS).map(|n| Account { name: format!("name {n}").into(), ..held.clone() }).collect();
        let outcomes = together(changes.iter().cloned().map(|change| {
            let accounts = Arc::clone(accounts);
            async move { accounts.update(&change).await.unwrap() }
        }))
        .await;
        let done = AccountChange::Done(held.revision.next());
        let won: Vec<_> = changes.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == done).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == AccountChange::Conflict).count(), 19);
        assert_kept(accounts, &Account { revision: held.revision.next(), ..won[0].0.clone() }).await;
    }
}

pub(super) async fn take_one_address_once(bench: Bench<Directory>) {
    let fresh = bench.fresh().await;
    let accounts = &fresh.accounts;
    for round in bench.rounds() {
        let people: Vec<_> = (0..5).map(|n| account(round * 1000 + n)).collect();
        for person in &people {
            put(accounts, person).await;
        }
        let wanted = email(round * 1000 + 999);
        let outcomes = together(people.iter().cloned().map(|person| {
            let (accounts, change) = (Arc::clone(accounts), Account { email: wanted.clone(), ..person });
            async move { accounts.update(&change).await.unwrap() }
        }))
        .await;
        let won: Vec<_> =
            people.iter().zip(&outcomes).filter(|(_, outcome)| matches!(outcome, AccountChange::Done(_))).collect();
        assert_eq!(won.len(), 1);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == AccountChange::EmailTaken).count(), 4);
        let owner = accounts.by_email(&wanted).await.unwrap().unwrap();
        assert_eq!(owner.id, won[0].0.id);
        assert_eq!(accounts.by_email(&won[0].0.email).await.unwrap(), None);
    }
}
