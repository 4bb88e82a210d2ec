//! `Credentials`.

use wayleave_core::authentication::Method;
use wayleave_core::ports::{Credential, InsertAccount};

use super::Directory;
use crate::bench::{Bench, Fresh};
use crate::fixtures::{TICK, account, account_id, at};

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
