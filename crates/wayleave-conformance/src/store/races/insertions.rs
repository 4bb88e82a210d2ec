//! Races of sign-ins (R024).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Gone, Insert, InsertLimit, Replaces, Rotate, Scope, Update};
use wayleave_core::record::Record;

use super::{CONTENDERS, of_round};
use crate::bench::Bench;
use crate::fixtures::{at, by_id, by_token, entries, person, refresh_key, rotation, session_token};
use crate::store::Store;
use crate::store::ask::{assert_gone, assert_kept, find, listed, put, put_all, rotated, update};
use crate::together::{both, boxed, together};

async fn insert_together(
    store: &Store,
    records: &[Record],
    limit: Option<InsertLimit>,
    replaces: Option<&Record>,
) -> Vec<Insert> {
    let replaces = replaces.map(|record| Replaces::any(record.id));
    together(records.iter().cloned().map(|record| {
        let store = Arc::clone(store);
        async move { store.insert(&record, limit, replaces, at(500)).await.unwrap() }
    }))
    .await
}

/// R024, A16: 50 sign-ins at a limit of 3 leave exactly 3; every other one was evicted, and said so once.
pub(in crate::store) async fn inserts_at_the_limit_evict_exactly(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let at_limit = if round.is_multiple_of(2) { AtLimit::EvictOldest } else { AtLimit::EvictLeastRecentlySeen };
        let records: Vec<_> = (0..50).map(|number| of_round(round, number)).collect();
        let limit = InsertLimit { most: 3, at_limit };
        let mut evicted = Vec::new();
        for outcome in insert_together(&store, &records, Some(limit), None).await {
            match outcome {
                Insert::Done { replaced: None, evicted: more, marked: false } => evicted.extend(more),
                other @ (Insert::Done { .. } | Insert::Exists | Insert::Refused | Insert::Conflict) => {
                    panic!("{other:?}")
                }
            }
        }
        assert_eq!(evicted.len(), 47, "{at_limit:?}");
        let evicted: BTreeSet<_> = evicted.iter().map(|gone| gone.id).collect();
        assert_eq!(evicted.len(), 47, "one was evicted twice");
        for record in &records {
            if evicted.contains(&record.id) {
                assert_gone(&store, record).await;
            } else {
                assert_kept(&store, record).await;
            }
        }
        assert_eq!(listed(&store, &person(round)).await.len(), 3);
    }
}

/// R024, A16: of 50 sign-ins at a limit of 3 exactly 3 succeed.
pub(in crate::store) async fn inserts_at_the_limit_are_refused_exactly(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let records: Vec<_> = (0..50).map(|number| of_round(round, number)).collect();
        let limit = InsertLimit { most: 3, at_limit: AtLimit::Refuse };
        let outcomes = insert_together(&store, &records, Some(limit), None).await;
        let mut done = 0;
        for (record, outcome) in records.iter().zip(outcomes) {
            match outcome {
                Insert::Done { replaced: None, evicted, marked: false } if evicted.is_empty() => {
                    done += 1;
                    assert_kept(&store, record).await;
                }
                Insert::Refused => assert_gone(&store, record).await,
                other @ (Insert::Done { .. } | Insert::Exists | Insert::Conflict) => panic!("{other:?}"),
            }
        }
        assert_eq!(done, 3);
        assert_eq!(listed(&store, &person(round)).await.len(), 3);
    }
}

/// What was in before the revocation began is gone; what began after it ended is in; in between, the revocation, the
/// lookups and the list tell one story.
pub(in crate::store) async fn revocation_and_inserts_agree(bench: Bench<Store>) {
    struct Span {
        began: u64,
        ended: u64,
        gone: Vec<Gone>,
    }
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let records: Vec<_> = (0..CONTENDERS).map(|number| of_round(round, number)).collect();
        let (early, late) = records.split_at(4);
        put_all(&store, early).await;
        let clock = Arc::new(AtomicU64::new(1));
        let tick = |clock: &AtomicU64| clock.fetch_add(1, Ordering::SeqCst);
        let mut tasks: Vec<_> = late
            .iter()
            .map(|record| {
                let (store, clock, record) = (Arc::clone(&store), Arc::clone(&clock), record.clone());
                boxed(async move {
                    let began = tick(&clock);
                    put(&store, &record).await;
                    Span { began, ended: tick(&clock), gone: Vec::new() }
                })
            })
            .collect();
        let scope = Scope::All { subject: person(round), slot: records[0].slot };
        let middle = tasks.len() / 2;
        tasks.insert(middle, {
            let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
            boxed(async move {
                let began = tick(&clock);
                let gone = store.revoke(&scope).await.unwrap();
                Span { began, ended: tick(&clock), gone }
            })
        });
        let mut spans = together(tasks).await;
        let revocation = spans.remove(middle);
        let gone: BTreeSet<_> = revocation.gone.iter().map(|gone| gone.id).collect();
        assert_eq!(gone.len(), revocation.gone.len(), "one is named twice");
        let listed: BTreeSet<_> = listed(&store, &person(round)).await.iter().map(|record| record.id).collect();
        let before = early.iter().map(|record| (record, 0, 0));
        let during = late.iter().zip(&spans).map(|(record, span)| (record, span.began, span.ended));
        for (record, began, ended) in before.chain(during) {
            let lives = find(&store, by_token(record)).await.is_some();
            assert_eq!(lives, find(&store, by_id(record)).await.is_some());
            assert_eq!(lives, listed.contains(&record.id));
            assert_eq!(lives, !gone.contains(&record.id));
            assert!(!lives || ended > revocation.began, "it outlived a revocation that began after it was in");
            assert!(lives || began < revocation.ended, "it was ended by a revocation before it");
        }
    }
}

async fn assert_inserted_once(store: &Store, round: u32, records: &[Record]) {
    let outcomes = insert_together(store, records, None, None).await;
    let done: Vec<_> = (0..records.len()).filter(|index| matches!(outcomes[*index], Insert::Done { .. })).collect();
    let [winner] = done[..] else {
        panic!("{} of {CONTENDERS} were inserted", done.len());
    };
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Insert::Exists).count(), records.len() - 1);
    assert_kept(store, &records[winner]).await;
    assert_eq!(listed(store, &person(round)).await.len(), 1);
}

pub(in crate::store) async fn a_token_is_inserted_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let slot = of_round(round, 0).slot;
        let token = session_token(round * 1000, slot);
        let records: Vec<_> = (0..CONTENDERS).map(|n| Record { token, ..of_round(round, n) }).collect();
        assert_inserted_once(&store, round, &records).await;
    }
}

pub(in crate::store) async fn an_id_is_inserted_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let id = of_round(round, 0).id;
        let records: Vec<_> = (0..CONTENDERS).map(|n| Record { id, ..of_round(round, n) }).collect();
        assert_inserted_once(&store, round, &records).await;
    }
}

/// All of them get in, and exactly one is told that it ended the old one.
pub(in crate::store) async fn a_record_is_replaced_once(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let old = of_round(round, 999);
        put(&store, &old).await;
        let records: Vec<_> = (0..CONTENDERS).map(|number| of_round(round, number)).collect();
        let mut told = Vec::new();
        for outcome in insert_together(&store, &records, None, Some(&old)).await {
            match outcome {
                Insert::Done { replaced, evicted, marked: false } if evicted.is_empty() => told.extend(replaced),
                other @ (Insert::Done { .. } | Insert::Exists | Insert::Refused | Insert::Conflict) => {
                    panic!("{other:?}")
                }
            }
        }
        assert_eq!(told, [Gone::from_record(&old)]);
        assert_gone(&store, &old).await;
        for record in &records {
            assert_kept(&store, record).await;
        }
    }
}

/// A change and a replacement of what it was made on: one of them is made, and the other is told so.
pub(in crate::store) async fn a_record_is_replaced_as_it_was_or_not_at_all(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let old = of_round(round, 0);
        put(&store, &old).await;
        let new = Record { family: old.family, ..of_round(round, 1) };
        let change = Record { data: entries(&[("k", b"v")]), ..old.clone() };
        let (first, second) = (Arc::clone(&store), Arc::clone(&store));
        let (changing, replacing, replaces) = (change.clone(), new.clone(), Replaces::exactly(&old));
        let (changed, replaced) =
            both(round, async move { update(&first, &changing, changing.revision).await }, async move {
                second.insert(&replacing, None, Some(replaces), at(500)).await.unwrap()
            })
            .await;
        match (changed, replaced) {
            (Update::Done(_), Insert::Conflict) => {
                assert_kept(&store, &old.updated_from(&change)).await;
                assert_gone(&store, &new).await;
            }
            (Update::Missing, Insert::Done { replaced, .. }) => {
                assert_eq!(replaced, Some(Gone::from_record(&old)));
                assert_gone(&store, &old).await;
                assert_kept(&store, &new).await;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What takes the place of a session is as much the subject's, and of the lineage, as what it replaces: a revocation of
/// all of them ends the one or the other, and nothing slips through between.
pub(in crate::store) async fn a_replacement_does_not_outlive_a_revocation(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let old = of_round(round, 0);
        put(&store, &old).await;
        let new = Record { family: old.family, ..of_round(round, 1) };
        let scope = if round / 2 % 2 == 0 {
            Scope::All { subject: person(round), slot: old.slot }
        } else {
            Scope::Family(old.slot, old.family)
        };
        let (first, second) = (Arc::clone(&store), Arc::clone(&store));
        let (inserting, replaces) = (new.clone(), Replaces::exactly(&old));
        let (replaced, ended) = both(
            round,
            async move { first.insert(&inserting, None, Some(replaces), at(500)).await.unwrap() },
            async move { second.revoke(&scope).await.unwrap() },
        )
        .await;
        match replaced {
            Insert::Done { replaced, .. } => {
                assert_eq!(replaced, Some(Gone::from_record(&old)));
                assert_eq!(ended, [Gone::from_record(&new)], "what came in its place was not ended");
            }
            Insert::Conflict => assert_eq!(ended, [Gone::from_record(&old)]),
            other @ (Insert::Exists | Insert::Refused) => panic!("{other:?}"),
        }
        assert_gone(&store, &old).await;
        assert_gone(&store, &new).await;
    }
}

/// R064: nor does it outlive the replay of a token that its lineage had spent.
pub(in crate::store) async fn a_replacement_does_not_outlive_a_replay(bench: Bench<Store>) {
    let store = bench.fresh().await;
    for round in bench.rounds() {
        let first = of_round(round, 0);
        put(&store, &first).await;
        let held = rotated(&store, &rotation(refresh_key(&first), round * 1000 + 500, at(60))).await;
        let new = Record { family: first.family, ..of_round(round, 1) };
        let replay = rotation(refresh_key(&first), round * 1000 + 501, at(500));
        let (one, two) = (Arc::clone(&store), Arc::clone(&store));
        let (inserting, replaces) = (new.clone(), Replaces::exactly(&held));
        let (replaced, judged) = both(
            round,
            async move { one.insert(&inserting, None, Some(replaces), at(500)).await.unwrap() },
            async move { two.rotate(&replay).await.unwrap() },
        )
        .await;
        let ended = match replaced {
            Insert::Done { .. } => &new,
            Insert::Conflict => &held,
            other @ (Insert::Exists | Insert::Refused) => panic!("{other:?}"),
        };
        assert_eq!(judged, Rotate::Reuse(vec![Gone::from_record(ended)]), "{replaced:?}");
        assert_gone(&store, &held).await;
        assert_gone(&store, &new).await;
    }
}
