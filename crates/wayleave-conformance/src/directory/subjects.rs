//! `Subjects`.

use wayleave_core::decide::Standing;
use wayleave_core::permission::Ceiling;
use wayleave_core::ports::{Account, AccountChange, InsertAccount, InsertServiceKey, ServiceKey};
use wayleave_core::subject::Subject;

use super::Directory;
use crate::bench::Bench;
use crate::fixtures::{TICK, account, at, permissions, person, service_key};

async fn standing(directory: &Directory, subject: &Subject) -> Standing {
    directory.subjects.standing(subject).await.unwrap()
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

/// Right now: a change of the account shows at once.
pub(super) async fn of_accounts_stand_as_their_account(bench: Bench<Directory>) {
    let directory = bench.fresh().await;
    let mut held = Account { epoch: 4, ..account(1) };
    let subject = held.subject().unwrap();
    assert!(!standing(&directory, &subject).await.active);
    assert_eq!(directory.accounts.insert(&held).await.unwrap(), InsertAccount::Done);
    let changes = [
        held.clone(),
        Account { disabled: true, ..held.clone() },
        Account { epoch: 5, permissions: permissions(&["read:profile"]), ..held.clone() },
        Account { epoch: 5, permissions: permissions(&[]), ..held.clone() },
    ];
    for change in changes {
        let change = Account { revision: held.revision, ..change };
        let AccountChange::Done(revision) = directory.accounts.update(&change).await.unwrap() else {
            panic!("not updated");
        };
        held = Account { revision, ..change };
        let Standing { active, until, epoch, ceiling, licensed } = standing(&directory, &subject).await;
        assert_eq!((active, until, licensed), (!held.disabled, None, false));
        // What a disabled account might do is nobody's business.
        if active {
            assert_eq!((epoch, ceiling), (held.epoch, Ceiling::Only(held.permissions.clone())));
        }
    }
}

pub(super) async fn of_services_stand_as_their_key(bench: Bench<Directory>) {
    let directory = bench.fresh().await;
    directory.clock.set(at(10));
    let customer = Subject::external("shop", "customer:1").unwrap();
    assert!(!standing(&directory, &customer).await.active);
    let key = service_key("shop");
    assert_eq!(directory.service_keys.insert(&key).await.unwrap(), InsertServiceKey::Done);
    for subject in [customer, Subject::external("shop", "2").unwrap()] {
        let Standing { active, until, epoch: _, ceiling, licensed } = standing(&directory, &subject).await;
        assert_eq!((active, ceiling, licensed), (true, Ceiling::Only(key.permissions.clone()), false));
        // Whoever keeps the answer knows from it when to stop.
        assert_eq!(until, Some(key.expires_at));
    }
    for stranger in ["ext:shop2:1", "ext:Shop:1", "ext:sho:p:1"] {
        assert!(!standing(&directory, &subject(stranger)).await.active, "{stranger}");
    }
}

/// By being revoked, and by the clock.
pub(super) async fn of_services_end_with_their_key(bench: Bench<Directory>) {
    let directory = bench.fresh().await;
    directory.clock.set(at(10));
    for name in ["revoked", "expiring"] {
        let key = ServiceKey { expires_at: at(100), ..service_key(name) };
        assert_eq!(directory.service_keys.insert(&key).await.unwrap(), InsertServiceKey::Done);
        assert!(standing(&directory, &Subject::external(name, "1").unwrap()).await.active);
    }
    assert!(directory.service_keys.revoke("revoked", at(20)).await.unwrap());
    assert!(!standing(&directory, &subject("ext:revoked:1")).await.active);
    directory.clock.set(at(100).minus(TICK));
    assert!(standing(&directory, &subject("ext:expiring:1")).await.active);
    directory.clock.set(at(100));
    assert!(!standing(&directory, &subject("ext:expiring:1")).await.active);
}

pub(super) async fn that_do_not_exist_are_not_active(bench: Bench<Directory>) {
    let directory = bench.fresh().await;
    assert_eq!(directory.accounts.insert(&account(1)).await.unwrap(), InsertAccount::Done);
    let shouted = format!("user:{}", account(1).id.as_str().to_uppercase());
    for absent in [person(2), subject("user:1"), subject("user:admin"), subject(&shouted), subject("ext:shop:1")] {
        assert!(!standing(&directory, &absent).await.active, "{absent}");
    }
}

/// They need no entry in the directory: who proves one may sign in.
pub(super) async fn of_wallets_and_proofs_are_active(bench: Bench<Directory>) {
    let directory = bench.fresh().await;
    for text in ["eip155:1:0x00000000219ab540356cbb839cbe05303d7705fa", "ic:aaaaa-aa", "zk:app:5f"] {
        assert!(standing(&directory, &subject(text)).await.active, "{text}");
    }
}
