//! `revoke`: whatever was ended stays ended.

use wayleave_core::id::Slot;
use wayleave_core::ports::{Rotate, Scope, Update};
use wayleave_core::record::Record;

use super::Store;
use super::ask::{assert_gone, assert_kept, gone, put_all, rotated, sorted, update};
use crate::bench::Bench;
use crate::fixtures::{at, by_id, by_refresh, neighbours, record, refresh_key, rotation, touch};

/// Four sessions of one subject in two families, and two strangers, one of them in the same slot.
struct People {
    ours: Vec<Record>,
    strangers: Vec<Record>,
}

async fn people(store: &Store) -> People {
    let (us, neighbour) = neighbours();
    let lineage = record(1).build().family;
    let people = People {
        ours: vec![
            record(1).of(&us).family(lineage).build(),
            record(2).of(&us).kind("web").family(lineage).build(),
            record(3).of(&us).without_refresh().build(),
            record(4).of(&us).build(),
        ],
        strangers: vec![record(5).of(&neighbour).build(), record(6).build(), record(7).guest().build()],
    };
    put_all(store, &people.ours).await;
    put_all(store, &people.strangers).await;
    people
}

impl People {
    fn all(&self) -> Scope {
        let first = &self.ours[0];
        Scope::All { subject: first.subject.clone().unwrap(), slot: first.slot }
    }

    fn others(&self, keep: &Record) -> Scope {
        Scope::Others { subject: self.ours[0].subject.clone().unwrap(), slot: self.ours[0].slot, keep: keep.id }
    }

    /// Asserts that `scope` ends these of ours and nobody else.
    async fn assert_ends(&self, store: &Store, scope: &Scope, expected: &[usize]) {
        let ended = sorted(store.revoke(scope).await.unwrap());
        assert_eq!(ended, gone(expected.iter().map(|index| &self.ours[*index])), "{scope:?}");
        for (index, record) in self.ours.iter().enumerate() {
            if expected.contains(&index) {
                assert_gone(store, record).await;
            } else {
                assert_kept(store, record).await;
            }
        }
        for record in &self.strangers {
            assert_kept(store, record).await;
        }
    }
}

pub(super) async fn ends_one(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let people = people(&store).await;
    let scope = Scope::One(people.ours[1].slot, people.ours[1].id);
    people.assert_ends(&store, &scope, &[1]).await;
    let guest = &people.strangers[2];
    assert_eq!(store.revoke(&Scope::One(guest.slot, guest.id)).await.unwrap(), gone([guest]));
    assert_gone(&store, guest).await;
}

pub(super) async fn ends_others(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let people_ = people(&store).await;
    people_.assert_ends(&store, &people_.others(&people_.ours[2]), &[0, 1, 3]).await;
    // One to keep that is not there keeps nothing.
    let store = bench.fresh().await;
    let people_ = people(&store).await;
    people_.assert_ends(&store, &people_.others(&people_.strangers[0]), &[0, 1, 2, 3]).await;
}

pub(super) async fn ends_all(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let people = people(&store).await;
    people.assert_ends(&store, &people.all(), &[0, 1, 2, 3]).await;
}

pub(super) async fn ends_a_family(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let people = people(&store).await;
    let scope = Scope::Family(people.ours[0].slot, people.ours[0].family);
    people.assert_ends(&store, &scope, &[0, 1]).await;
}

/// An id with forged routing bytes ends nothing.
pub(super) async fn needs_the_right_slot(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let people = people(&store).await;
    let first = &people.ours[0];
    let wrong = Slot(!first.slot.0);
    let subject = first.subject.clone().unwrap();
    for scope in [
        Scope::One(wrong, first.id),
        Scope::Family(wrong, first.family),
        Scope::All { subject: subject.clone(), slot: wrong },
        Scope::Others { subject, slot: wrong, keep: people.ours[1].id },
    ] {
        people.assert_ends(&store, &scope, &[]).await;
    }
}

pub(super) async fn says_nothing_twice(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let people = people(&store).await;
    let one = Scope::One(people.ours[0].slot, people.ours[0].id);
    assert_eq!(store.revoke(&one).await.unwrap().len(), 1);
    assert_eq!(store.revoke(&one).await.unwrap(), []);
    assert_eq!(sorted(store.revoke(&people.all()).await.unwrap()), gone(&people.ours[1..]));
    assert_eq!(store.revoke(&people.all()).await.unwrap(), []);
}

pub(super) async fn leaves_nothing_to_find(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let people = people(&store).await;
    store.revoke(&people.all()).await.unwrap();
    for record in &people.ours {
        assert_gone(&store, record).await;
    }
    let census = store.census(at(1)).await.unwrap();
    assert_eq!(census.live.iter().map(|(_, count)| count).sum::<u64>(), 3);
    assert_eq!(census.ended, 0);
}

fn other() -> Record {
    record(2).build()
}

/// Once ended, no update, rotation or touch sees it again: losing a session is harmless, resurrecting one is a breach.
pub(super) async fn lets_nothing_back(bench: Bench<Store>) {
    type ScopeOf = fn(&Record) -> Scope;
    let scopes: [ScopeOf; 4] = [
        |record| Scope::One(record.slot, record.id),
        |record| Scope::Family(record.slot, record.family),
        |record| Scope::All { subject: record.subject.clone().unwrap(), slot: record.slot },
        |record| Scope::Others { subject: record.subject.clone().unwrap(), slot: record.slot, keep: other().id },
    ];
    for scope in scopes {
        let store = bench.fresh().await;
        let ended = record(1).idle_until(at(100)).build();
        put_all(&store, &[ended.clone(), other()]).await;
        let _ = store.revoke(&scope(&ended)).await.unwrap();
        assert_eq!(update(&store, &ended, ended.revision).await, Update::Missing);
        assert_eq!(store.touch(&[touch(&ended, at(50), Some(at(500)))]).await.unwrap(), 0);
        assert_eq!(store.rotate(&rotation(refresh_key(&ended), 3, at(50))).await.unwrap(), Rotate::Unknown);
        assert_gone(&store, &ended).await;
        assert_eq!(store.sweep(at(1_000), 100).await.unwrap().records, 0);
    }
}

pub(super) async fn forgets_spent_tokens(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let first = record(1).build();
    put_all(&store, std::slice::from_ref(&first)).await;
    let second = rotated(&store, &rotation(refresh_key(&first), 2, at(60))).await;
    assert_eq!(store.revoke(&Scope::One(second.slot, second.id)).await.unwrap(), gone([&second]));
    for (number, record) in (3..).zip([&first, &second]) {
        assert_gone(&store, record).await;
        let again = rotation(refresh_key(record), number, at(61));
        assert_eq!(store.rotate(&again).await.unwrap(), Rotate::Unknown);
        assert_eq!(store.find(by_refresh(record)).await.unwrap(), None);
    }
}

pub(super) async fn ends_expired_ones_too(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let expired = [
        record(1).absolute_until(at(1)).build(),
        record(2).idle_until(at(1)).build(),
        record(3).found_expired(at(1)).build(),
    ];
    put_all(&store, &expired).await;
    let subject = expired[0].subject.clone().unwrap();
    let _ = store.revoke(&Scope::All { subject, slot: expired[0].slot }).await.unwrap();
    for record in &expired {
        assert_gone(&store, record).await;
        assert_eq!(store.find(by_id(record)).await.unwrap(), None);
    }
}
