//! The concurrency limit inside `insert` (R024).

use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Gone, Insert, InsertLimit, Replaces};
use wayleave_core::record::{MAX_CLOCK_SKEW, Record};

use super::Store;
use super::ask::{assert_gone, assert_kept, gone, listed, put, put_all, put_within, sorted};
use crate::bench::Bench;
use crate::fixtures::{TICK, at, neighbours, person, record, touch};

const ALL: [AtLimit; 3] = [AtLimit::EvictOldest, AtLimit::EvictLeastRecentlySeen, AtLimit::Refuse];

/// R024: the session that was created first ends, whichever was used last.
pub(super) async fn evicts_the_oldest(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let oldest = record(1).created(at(1)).seen(at(50)).build();
    let middle = record(2).created(at(2)).build();
    let newest = record(3).created(at(3)).build();
    // Not in the order of their ages.
    put_all(&store, &[middle.clone(), oldest.clone(), newest.clone()]).await;
    let new = record(4).created(at(60)).build();
    let outcome = put_within(&store, &new, 3, AtLimit::EvictOldest, at(60)).await;
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: vec![Gone::from_record(&oldest)], marked: false });
    assert_gone(&store, &oldest).await;
    for kept in [&middle, &newest, &new] {
        assert_kept(&store, kept).await;
    }
}

/// R024: the session that was used least recently ends, as far as `touch` wrote it down.
pub(super) async fn evicts_the_least_recently_seen(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let oldest = record(1).created(at(1)).build();
    let idle = record(2).created(at(2)).build();
    let seen = record(3).created(at(3)).seen(at(40)).build();
    put_all(&store, &[oldest.clone(), idle.clone(), seen.clone()]).await;
    assert_eq!(store.touch(&[touch(&oldest, at(50), None)]).await.unwrap(), 1);
    let new = record(4).created(at(60)).build();
    let outcome = put_within(&store, &new, 3, AtLimit::EvictLeastRecentlySeen, at(60)).await;
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: vec![Gone::from_record(&idle)], marked: false });
    assert_gone(&store, &idle).await;
    assert_kept(&store, &seen).await;
    assert_kept(&store, &new).await;
    assert_kept(&store, &Record { last_seen_at: at(50), ..oldest }).await;
}

/// R024: the new session is refused, and those that are there stay.
pub(super) async fn refuses(bench: Bench<Store>) {
    let store = bench.fresh().await;
    let held = [record(1).build(), record(2).build()];
    put_all(&store, &held).await;
    let new = record(3).build();
    assert_eq!(put_within(&store, &new, 2, AtLimit::Refuse, at(60)).await, Insert::Refused);
    assert_gone(&store, &new).await;
    for record in &held {
        assert_kept(&store, record).await;
    }
    let outcome = put_within(&store, &new, 3, AtLimit::Refuse, at(60)).await;
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false });
}

pub(super) async fn ends_the_replaced_one_also_when_it_refuses(bench: Bench<Store>) {
    let store = bench.fresh().await;
    // The replaced one is a guest, so its end makes no room.
    let guest = record(1).guest().build();
    let held = record(2).build();
    put_all(&store, &[guest.clone(), held.clone()]).await;
    let limit = InsertLimit { most: 1, at_limit: AtLimit::Refuse };
    let new = record(3).build();
    let outcome = store.insert(&new, Some(limit), Some(Replaces::any(guest.id)), at(60)).await.unwrap();
    assert_eq!(outcome, Insert::Refused);
    assert_gone(&store, &guest).await;
    assert_gone(&store, &new).await;
    assert_kept(&store, &held).await;
}

pub(super) async fn does_not_count_the_replaced_one(bench: Bench<Store>) {
    for at_limit in ALL {
        let store = bench.fresh().await;
        let held = record(1).created(at(1)).build();
        let old = record(2).created(at(2)).build();
        put_all(&store, &[held.clone(), old.clone()]).await;
        let new = record(3).created(at(60)).build();
        let limit = InsertLimit { most: 2, at_limit };
        let outcome = store.insert(&new, Some(limit), Some(Replaces::any(old.id)), at(60)).await.unwrap();
        let replaced = Some(Gone::from_record(&old));
        assert_eq!(outcome, Insert::Done { replaced, evicted: Vec::new(), marked: false }, "{at_limit:?}");
        assert_gone(&store, &old).await;
        assert_kept(&store, &held).await;
        assert_kept(&store, &new).await;
    }
}

/// A record has ended by its idle, absolute or terminal end, or by its token's where nothing renews that.
pub(super) async fn does_not_count_ended_ones(bench: Bench<Store>) {
    for at_limit in ALL {
        let store = bench.fresh().await;
        let now = at(60);
        let ended = [
            record(1).idle_until(now).build(),
            record(2).absolute_until(now).build(),
            record(3).found_expired(at(30)).build(),
            record(4).without_refresh().token_until(now).build(),
            // Found under a clock that was ahead, and has been set back since.
            record(5).found_expired(at(1000)).build(),
        ];
        put_all(&store, &ended).await;
        let outcome = put_within(&store, &record(6).build(), 1, at_limit, now).await;
        assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: true }, "{at_limit:?}");
    }
}

/// R017, R024: what was not counted has ended for good. Activity that is written down later does not bring it back,
/// beside the session that came instead.
pub(super) async fn marks_what_it_does_not_count(bench: Bench<Store>) {
    let now = at(60);
    for at_limit in ALL {
        let store = bench.fresh().await;
        let ended = record(1).idle_until(now).build();
        let known = record(2).found_expired(at(30)).build();
        let others = [record(3).kind("web").idle_until(now).build(), record(4).of(&person(1)).idle_until(now).build()];
        put_all(&store, &[ended.clone(), known.clone()]).await;
        put_all(&store, &others).await;
        let outcome = put_within(&store, &record(5).build(), 1, at_limit, now).await;
        assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: true }, "{at_limit:?}");
        let marked = Record { expired_at: Some(now), revision: ended.revision.next(), ..ended.clone() };
        assert_kept(&store, &marked).await;
        assert_eq!(store.touch(&[touch(&ended, at(59), Some(at(659)))]).await.unwrap(), 0);
        assert_kept(&store, &marked).await;
        assert_kept(&store, &known).await;
        for other in &others {
            assert_kept(&store, other).await;
        }
    }
}

/// What a clock that was ahead has opened makes room before any other, and also where otherwise nobody does: it would
/// stand in the way until that time comes.
pub(super) async fn what_was_opened_in_the_future_makes_room_first(bench: Bench<Store>) {
    let now = at(60);
    for at_limit in ALL {
        let store = bench.fresh().await;
        let old = record(1).created(at(1)).build();
        let slightly = record(2).created(now.plus(MAX_CLOCK_SKEW)).build();
        let far = record(3).created(now.plus(MAX_CLOCK_SKEW).plus(TICK)).build();
        put_all(&store, &[old.clone(), slightly.clone(), far.clone()]).await;
        let outcome = put_within(&store, &record(4).created(at(2)).build(), 3, at_limit, now).await;
        let evicted = vec![Gone::from_record(&far)];
        assert_eq!(outcome, Insert::Done { replaced: None, evicted, marked: false }, "{at_limit:?}");
        assert_gone(&store, &far).await;
        for held in [&old, &slightly] {
            assert_kept(&store, held).await;
        }
        // There is none of them any more, so that the next one is as any.
        let outcome = put_within(&store, &record(5).created(now).build(), 3, at_limit, now).await;
        assert_eq!(outcome == Insert::Refused, at_limit == AtLimit::Refuse, "{at_limit:?}");
    }
}

/// The clock that is wrong may be the one that is looked at: what was opened in the future counts, and is not marked as
/// ended, so that it serves wherever the clock is right.
pub(super) async fn what_was_opened_in_the_future_goes_on(bench: Bench<Store>) {
    let now = at(60);
    for at_limit in ALL {
        let store = bench.fresh().await;
        let far = record(1).created(now.plus(2 * MAX_CLOCK_SKEW)).build();
        put(&store, &far).await;
        let outcome = put_within(&store, &record(2).created(now).build(), 2, at_limit, now).await;
        assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false }, "{at_limit:?}");
        assert_kept(&store, &far).await;
        assert_eq!(store.census(now).await.unwrap().ended, 0, "{at_limit:?}");
        assert_eq!(store.touch(&[touch(&far, now.plus(3 * MAX_CLOCK_SKEW), None)]).await.unwrap(), 1, "{at_limit:?}");
        // Where nobody else has to go, those in the future alone do not always make room enough.
        let outcome = put_within(&store, &record(3).created(now).build(), 1, at_limit, now).await;
        assert_eq!(outcome == Insert::Refused, at_limit == AtLimit::Refuse, "{at_limit:?}");
    }
}

/// The last millisecond of a session counts, and so does one whose token can still be renewed.
pub(super) async fn counts_until_the_very_end(bench: Bench<Store>) {
    let now = at(60);
    for held in [
        record(1).idle_until(now.plus(TICK)).build(),
        record(1).absolute_until(now.plus(TICK)).build(),
        record(1).without_refresh().token_until(now.plus(TICK)).build(),
        record(1).token_until(at(30)).build(),
        record(1).without_refresh().idle_until(now.plus(TICK)).build(),
    ] {
        let store = bench.fresh().await;
        put(&store, &held).await;
        let outcome = put_within(&store, &record(2).build(), 1, AtLimit::Refuse, now).await;
        assert_eq!(outcome, Insert::Refused, "{held:?}");
    }
}

pub(super) async fn does_not_count_other_kinds(bench: Bench<Store>) {
    for at_limit in ALL {
        let store = bench.fresh().await;
        let other = record(1).kind("web").build();
        put(&store, &other).await;
        let new = record(2).created(at(60)).build();
        let outcome = put_within(&store, &new, 1, at_limit, at(60)).await;
        assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false }, "{at_limit:?}");
        assert_kept(&store, &other).await;
        assert_kept(&store, &new).await;
    }
}

/// Not even of one that shares the slot.
pub(super) async fn does_not_count_other_subjects(bench: Bench<Store>) {
    let (ours, theirs) = neighbours();
    for at_limit in ALL {
        let store = bench.fresh().await;
        let other = record(1).of(&theirs).build();
        let new = record(2).of(&ours).created(at(60)).build();
        assert_eq!(other.slot, new.slot);
        put(&store, &other).await;
        let outcome = put_within(&store, &new, 1, at_limit, at(60)).await;
        assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false }, "{at_limit:?}");
        assert_kept(&store, &other).await;
    }
}

/// Guests have no subject whose records could be counted, even where two share a slot.
pub(super) async fn does_not_hold_for_guests(bench: Bench<Store>) {
    for at_limit in ALL {
        let store = bench.fresh().await;
        let first = record(1).guest().build();
        put(&store, &first).await;
        let same_slot = Record { subject: None, ..record(2).build() };
        for second in [record(3).guest().build(), same_slot, Record { subject: None, ..record(4).build() }] {
            let outcome = put_within(&store, &second, 1, at_limit, at(60)).await;
            assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false }, "{at_limit:?}");
            assert_kept(&store, &second).await;
        }
        assert_kept(&store, &first).await;
    }
}

/// When the limit was lowered, a new session brings the subject down to it.
pub(super) async fn evicts_as_many_as_it_takes(bench: Bench<Store>) {
    for at_limit in [AtLimit::EvictOldest, AtLimit::EvictLeastRecentlySeen] {
        let store = bench.fresh().await;
        let held: Vec<_> = (1..=5).map(|n| record(n).created(at(n.into())).build()).collect();
        put_all(&store, &held).await;
        let new = record(6).created(at(60)).build();
        let Insert::Done { replaced: None, evicted, marked: false } =
            put_within(&store, &new, 2, at_limit, at(60)).await
        else {
            panic!("not inserted");
        };
        assert_eq!(sorted(evicted), gone(&held[..4]), "{at_limit:?}");
        let live: Vec<_> = listed(&store, &person(0)).await.iter().map(|record| record.id).collect();
        assert_eq!(live, [new.id, held[4].id], "{at_limit:?}");
    }
}
