//! Tests of what is this store's own: its bounds, its shards, its indices. `wayleave-conformance` tests the port.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::id::{FamilyId, IdPrefix, SessionId};
use crate::ports::NextPair;
use crate::record::Activity;
use crate::record::tests::{MINUTE, START};
use crate::routing::RoutingKey;
use crate::token::TokenHash;

const TICK: Duration = Duration::from_millis(1);

/// The nth session of `user:1` in a slot, with a refresh side, ending `minutes` after it was opened.
fn session(n: u32, slot: u16, minutes: u32) -> Record {
    let mut record = crate::record::tests::record();
    record.id = SessionId::new(IdPrefix::FALLBACK, wide(n), Slot(slot), &RoutingKey::new([7; 16]));
    record.slot = Slot(slot);
    record.family = FamilyId(wide(n));
    record.token = token(n, 0);
    record.refresh.as_mut().unwrap().current = refresh(n, 0);
    record.refresh.as_mut().unwrap().last = None;
    record.idle_expires_at = Some(START.plus(minutes * MINUTE));
    record
}

fn without_refresh(record: Record) -> Record {
    Record { refresh: None, ..record }
}

fn wide<const N: usize>(n: u32) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    bytes
}

fn token(n: u32, generation: u32) -> TokenHash {
    numbered(b't', n, generation)
}

fn refresh(n: u32, generation: u32) -> TokenHash {
    numbered(b'r', n, generation)
}

fn numbered(kind: u8, n: u32, generation: u32) -> TokenHash {
    let mut bytes = wide::<32>(n);
    bytes[4..8].copy_from_slice(&generation.to_le_bytes());
    bytes[8] = kind;
    TokenHash(bytes)
}

/// The exchange of the nth session's refresh token of one generation for the next.
fn exchange(n: u32, slot: u16, generation: u32) -> Rotation {
    Rotation {
        presented: TokenKey { slot: Slot(slot), hash: refresh(n, generation) },
        next: NextPair {
            token: token(n, generation + 1),
            refresh: refresh(n, generation + 1),
            sealed: Box::from([7; 16]),
        },
        token_expires_at: START.plus(5 * MINUTE),
        activity: Activity { seen_at: START, idle_expires_at: Some(START) },
        client: None,
        window: Duration::ZERO,
        now: START,
    }
}

fn store(options: MemoryOptions) -> MemoryStore {
    MemoryStore::new(options)
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits for nothing"),
    }
}

fn put(store: &MemoryStore, record: &Record) {
    let inserted = ready(store.insert(record, None, None, START)).unwrap();
    assert_eq!(inserted, Insert::Done { replaced: None, evicted: vec![], marked: false });
}

fn find(store: &MemoryStore, record: &Record) -> Option<Arc<Record>> {
    ready(store.find(Lookup::Id(record.slot, record.id))).unwrap()
}

fn held(store: &MemoryStore) -> (usize, usize) {
    (store.books.records.load(Ordering::Relaxed), store.books.spent_tokens.load(Ordering::Relaxed))
}

/// Whether nothing at all is left behind: no record, no index entry, no shared value, no spent token.
fn assert_empty(store: &MemoryStore) {
    assert_eq!(held(store), (0, 0));
    assert_eq!(store.interned.read().in_use(), 0);
    for shard in &store.shards {
        assert_eq!(shard.read().entries(), [0; 8]);
    }
}

/// R064: a full store refuses, and changes nothing by it.
#[test]
fn a_full_store_takes_no_more_until_something_ends() {
    let store = store(MemoryOptions { most_records: 2, ..MemoryOptions::default() });
    put(&store, &session(1, 1, 10));
    put(&store, &session(2, 1, 20));
    let third = session(3, 1, 30);
    let insert = |now| ready(store.insert(&third, None, None, now));
    assert!(matches!(insert(START), Err(StoreError::Full)));
    assert!(matches!(insert(START.plus(10 * MINUTE).minus(TICK)), Err(StoreError::Full)));
    assert_eq!(find(&store, &third), None);
    assert_eq!(held(&store), (2, 0));
    // The instant at which the first ends makes room for one, and not for two.
    assert!(matches!(insert(START.plus(10 * MINUTE)), Ok(Insert::Done { .. })));
    assert_eq!(find(&store, &session(1, 1, 10)), None);
    assert!(find(&store, &session(2, 1, 20)).is_some());
    assert_eq!(held(&store), (2, 0));
    let fourth = session(4, 1, 30);
    assert!(matches!(ready(store.insert(&fourth, None, None, START.plus(10 * MINUTE))), Err(StoreError::Full)));
}

#[test]
fn a_full_store_takes_what_replaces_or_evicts() {
    let store = store(MemoryOptions { most_records: 2, ..MemoryOptions::default() });
    put(&store, &session(1, 1, 10));
    put(&store, &session(2, 2, 10));
    let elsewhere = session(2, 2, 10).id;
    assert!(matches!(
        ready(store.insert(&session(3, 1, 10), None, Some(Replaces::any(elsewhere)), START)).unwrap(),
        Insert::Done { replaced: Some(gone), .. } if gone.id == elsewhere
    ));
    let limit = InsertLimit { most: 1, at_limit: crate::policy::AtLimit::EvictOldest };
    assert!(matches!(
        ready(store.insert(&session(4, 1, 10), Some(limit), None, START)).unwrap(),
        Insert::Done { evicted, .. } if evicted.len() == 2
    ));
    assert_eq!(held(&store), (1, 0));
}

/// Spent tokens are bounded, and none is forgotten for it: the exchange is refused instead.
#[test]
fn a_store_full_of_spent_tokens_exchanges_no_more() {
    let store = store(MemoryOptions { most_spent_tokens: 2, ..MemoryOptions::default() });
    put(&store, &session(1, 1, 10));
    let late = |generation| Rotation { now: START.plus(9 * MINUTE), ..exchange(1, 1, generation) };
    assert!(matches!(ready(store.rotate(&late(0))).unwrap(), Rotate::Done { .. }));
    assert!(matches!(ready(store.rotate(&late(1))).unwrap(), Rotate::Done { .. }));
    assert!(matches!(ready(store.rotate(&late(2))), Err(StoreError::Full)));
    // Nothing changed: the same token is still the current one, and the first is still known as spent.
    let found = find(&store, &session(1, 1, 10)).unwrap();
    assert_eq!(found.refresh.as_ref().unwrap().current, refresh(1, 2));
    assert!(matches!(ready(store.rotate(&late(0))).unwrap(), Rotate::Reuse(gone) if gone.len() == 1));
    assert_empty(&store);
}

/// R064: the port's promise of remembered tokens, to the last one.
#[test]
fn as_many_spent_tokens_are_kept_as_the_port_demands() {
    let store = MemoryStore::default();
    put(&store, &session(1, 1, 10));
    let rotations = u32::try_from(Rotation::SPENT_KEPT).unwrap() + 1;
    for generation in 0..rotations {
        assert!(matches!(ready(store.rotate(&exchange(1, 1, generation))).unwrap(), Rotate::Done { .. }));
    }
    assert_eq!(held(&store), (1, Rotation::SPENT_KEPT));
    let presented = |generation| TokenKey { slot: Slot(1), hash: refresh(1, generation) };
    assert_eq!(ready(store.find(Lookup::Refresh(presented(0)))).unwrap(), None);
    assert!(ready(store.find(Lookup::Refresh(presented(1)))).unwrap().is_some());
    assert!(matches!(ready(store.rotate(&exchange(1, 1, 1))).unwrap(), Rotate::Reuse(_)));
    assert_empty(&store);
}

/// R064: a spent token ends whatever its family has become, also what was opened anew without a refresh side.
#[test]
fn a_family_keeps_its_spent_tokens_through_reauthentication() {
    for next in [session(2, 1, 10), without_refresh(session(2, 1, 10))] {
        let store = MemoryStore::default();
        let first = session(1, 1, 10);
        put(&store, &first);
        let _ = ready(store.rotate(&exchange(1, 1, 0))).unwrap();
        let next = Record { family: first.family, ..next };
        let inserted = ready(store.insert(&next, None, Some(Replaces::any(first.id)), START)).unwrap();
        assert!(matches!(inserted, Insert::Done { replaced: Some(_), .. }));
        let spent = TokenKey { slot: Slot(1), hash: refresh(1, 0) };
        assert_eq!(ready(store.find(Lookup::Refresh(spent))).unwrap().as_deref(), Some(&next));
        assert_eq!(ready(store.rotate(&exchange(1, 1, 0))).unwrap(), Rotate::Reuse(vec![Gone::from_record(&next)]));
        assert_empty(&store);
    }
}

#[test]
fn a_pair_that_exists_is_not_brought_in() {
    let store = MemoryStore::default();
    put(&store, &session(1, 1, 10));
    put(&store, &session(2, 1, 10));
    let mut rotation = exchange(1, 1, 0);
    rotation.next.token = token(2, 0);
    assert!(matches!(ready(store.rotate(&rotation)), Err(StoreError::Unavailable(None))));
    assert_eq!(find(&store, &session(1, 1, 10)).unwrap().token, token(1, 0));
}

#[test]
fn the_prefix_of_an_id_counts() {
    let store = MemoryStore::default();
    let record = session(1, 1, 10);
    put(&store, &record);
    let made_up = SessionId::from_bytes(IdPrefix::new("prof").unwrap(), &record.id.bytes());
    assert_eq!(ready(store.find(Lookup::Id(Slot(1), made_up))).unwrap(), None);
    assert_eq!(ready(store.revoke(&Scope::One(Slot(1), made_up))).unwrap(), []);
    let same = Record { id: made_up, token: token(9, 9), refresh: None, ..record };
    assert_eq!(ready(store.insert(&same, None, None, START)).unwrap(), Insert::Exists);
}

/// Everybody's list survives what comes and goes: who stays is listed exactly once.
#[test]
fn everybodys_list_survives_changes() {
    let store = MemoryStore::default();
    let slot = |n: u32| u16::try_from(n % 97).unwrap();
    for n in 0..1000 {
        put(&store, &session(n, slot(n), 10));
    }
    let mut seen = Vec::new();
    let mut listing = Listing { subject: None, after: None, most: 13 };
    let mut fresh = 1000;
    loop {
        let page = ready(store.list(&listing)).unwrap();
        assert!(page.records.len() <= 13);
        seen.extend(page.records.iter().map(|record| record.id));
        // Every third of the first thousand goes sooner or later, and new ones take their places.
        let gone = session((fresh * 3) % 999, slot((fresh * 3) % 999), 10);
        let _ = ready(store.revoke(&Scope::One(gone.slot, gone.id))).unwrap();
        put(&store, &session(fresh, slot(fresh), 10));
        fresh += 1;
        listing.after = page.next;
        if listing.after.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len());
    assert!((0..1000).filter(|n| n % 3 != 0).all(|n| distinct.contains(&session(n, slot(n), 10).id)));
}

#[test]
fn a_page_looks_at_a_bounded_number_of_places() {
    let store = MemoryStore::default();
    for n in 0..70_000 {
        put(&store, &without_refresh(Record { subject: None, ..session(n, 0, if n < 69_000 { 10 } else { 20 }) }));
    }
    let mut swept = Swept::default();
    while swept.records < 69_000 {
        swept.records += ready(store.sweep(START.plus(15 * MINUTE), 10_000)).unwrap().records;
    }
    let mut listing = Listing { subject: None, after: None, most: 1000 };
    let first = ready(store.list(&listing)).unwrap();
    assert_eq!(first.records.len(), 0);
    listing.after = first.next;
    let second = ready(store.list(&listing)).unwrap();
    assert_eq!((second.records.len(), second.next), (1000, None));
}

#[test]
fn a_sweep_goes_on_where_it_stopped_and_comes_back() {
    let store = MemoryStore::default();
    let ends = |n: u32| if n.is_multiple_of(2) { 10 } else { 20 };
    for n in 0..5000 {
        put(&store, &session(n, u16::try_from(n % 50).unwrap(), ends(n)));
    }
    let sweep = |minutes: u32, most| ready(store.sweep(START.plus(minutes * MINUTE), most)).unwrap();
    assert_eq!(sweep(10, 100), Swept { records: 0, tickets: 0, more: false });
    assert_eq!(sweep(11, 0), Swept { records: 0, tickets: 0, more: true });
    assert_eq!(sweep(11, 777), Swept { records: 777, tickets: 0, more: true });
    // With a later limit, what the broken-off round passed by goes as well.
    assert_eq!(sweep(21, 4000), Swept { records: 4000, tickets: 0, more: true });
    assert_eq!(sweep(21, 4000), Swept { records: 223, tickets: 0, more: false });
    assert_empty(&store);
}

/// An end that was moved forward to an earlier time is noticed by the sweep.
#[test]
fn a_sweep_notices_what_an_update_ended() {
    let store = MemoryStore::default();
    let record = session(1, 1, 60);
    put(&store, &record);
    assert_eq!(ready(store.sweep(START.plus(MINUTE), 10)).unwrap(), Swept::default());
    let expired = Record { expired_at: Some(START), ..record.clone() };
    assert!(matches!(ready(store.update(&expired, record.revision)).unwrap(), Update::Done(_)));
    assert_eq!(ready(store.sweep(START.plus(MINUTE), 10)).unwrap().records, 1);
    assert_empty(&store);
}

/// Tickets of all purposes together are bounded.
#[test]
fn a_store_full_of_tickets_takes_no_more() {
    let store = store(MemoryOptions { most_tickets: 2, ..MemoryOptions::default() });
    let deposit = |purpose, n, now| {
        let ticket = Ticket { purpose, key: wide(n), payload: Box::new([]), expires_at: START.plus(MINUTE) };
        ready(store.deposit(&ticket, 100, now)).unwrap()
    };
    assert_eq!(deposit(Purpose::Challenge, 1, START), Deposit::Done);
    assert_eq!(deposit(Purpose::Setup, 1, START), Deposit::Done);
    assert_eq!(deposit(Purpose::Replay, 1, START), Deposit::Full);
    assert_eq!(deposit(Purpose::Setup, 1, START), Deposit::Exists);
    assert_eq!(deposit(Purpose::Replay, 1, START.plus(MINUTE)), Deposit::Done);
    assert_eq!(ready(store.take(Purpose::Setup, wide(1), START)).unwrap(), None);
}

/// Whichever of two shards is asked for first, the lower one is locked while the higher one is waited for.
#[test]
fn shards_are_locked_in_one_order() {
    // Only a wrong order comes near this.
    const MOST_LOOKS: u32 = 100_000_000;
    for (one, other) in [(3, 30), (30, 3)] {
        let store = MemoryStore::default();
        let higher = store.shards[30].write();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(store.lock_two(one, Some(other)).unwrap()));
            let waits = (0..MOST_LOOKS).any(|_| {
                std::thread::yield_now();
                store.shards[3].try_write().is_none()
            });
            drop(higher);
            assert!(waits, "the higher shard was locked first for ({one}, {other})");
        });
    }
}

/// Sessions that replace each other crosswise between two shards, from many threads: nobody waits for ever, and
/// nothing is lost or left over.
#[test]
fn sessions_replace_each_other_across_shards() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 500;
    let store = MemoryStore::default();
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, barrier) = (&store, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let mut before: Option<SessionId> = None;
                for round in 0..ROUNDS {
                    let slot = if (thread + round).is_multiple_of(2) { 3 } else { 30 };
                    let record = session(thread * ROUNDS + round, slot, 10);
                    let inserted = ready(store.insert(&record, None, before.map(Replaces::any), START)).unwrap();
                    assert!(
                        matches!(inserted, Insert::Done { replaced, .. } if replaced.as_ref().map(|gone| gone.id) == before)
                    );
                    before = Some(record.id);
                }
            });
        }
    });
    assert_eq!(held(&store), (usize::try_from(THREADS).unwrap(), 0));
}

/// What happens to a store, with small numbers so that things meet.
#[derive(Clone, Debug)]
enum Step {
    Insert { n: u32, refreshes: bool, limit: Option<u32>, replaces: Option<u32> },
    Rotate { n: u32, generation: u32 },
    Revoke { n: u32, all: bool },
    Touch { n: u32, minutes: u32 },
    Sweep { minutes: u32 },
    Erase { most: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0_u32..12;
    prop_oneof![
        4 => (n.clone(), any::<bool>(), proptest::option::of(1_u32..4), proptest::option::of(n.clone()))
            .prop_map(|(n, refreshes, limit, replaces)| Step::Insert { n, refreshes, limit, replaces }),
        4 => (n.clone(), 0_u32..3).prop_map(|(n, generation)| Step::Rotate { n, generation }),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, all)| Step::Revoke { n, all }),
        1 => (n, 0_u32..40).prop_map(|(n, minutes)| Step::Touch { n, minutes }),
        1 => (0_u32..12).prop_map(|minutes| Step::Sweep { minutes }),
        1 => (1_u32..3).prop_map(|most| Step::Erase { most }),
    ]
}

/// Four slots in three shards: two of them share one.
fn place(n: u32) -> u16 {
    [0, 40, 1, 2][usize::try_from(n % 4).unwrap()]
}

proptest! {
    /// Whatever happens, every index leads to exactly the records that are there, the books are right, and when the
    /// last record has gone nothing is left.
    #[test]
    fn indices_and_books_agree(steps in proptest::collection::vec(step(), 0..80)) {
        let store = MemoryStore::default();
        for step in steps {
            match step {
                Step::Insert { n, refreshes, limit, replaces } => {
                    let record = session(n, place(n), n % 10 + 1);
                    // Three families, so that some have several sessions.
                    let record = Record { family: FamilyId(wide(n % 3)), ..record };
                    let record = if refreshes { record } else { without_refresh(record) };
                    let limit = limit.map(|most| InsertLimit { most, at_limit: crate::policy::AtLimit::EvictOldest });
                    let replaces = replaces.map(|n| Replaces::any(session(n, place(n), 1).id));
                    let _ = ready(store.insert(&record, limit, replaces, START)).unwrap();
                }
                Step::Rotate { n, generation } => {
                    // A pair that is taken already is refused; that is not what is tested here.
                    let _ = ready(store.rotate(&exchange(n, place(n), generation)));
                }
                Step::Revoke { n, all } => {
                    let Record { slot, id, subject, .. } = session(n, place(n), 1);
                    let scope = match subject {
                        Some(subject) if all => Scope::All { subject, slot },
                        Some(_) | None => Scope::One(slot, id),
                    };
                    let _ = ready(store.revoke(&scope)).unwrap();
                }
                Step::Touch { n, minutes } => {
                    let Record { slot, id, .. } = session(n, place(n), 1);
                    let seen_at = START.plus(minutes * MINUTE);
                    let activity = Activity { seen_at, idle_expires_at: Some(seen_at.plus(MINUTE)) };
                    ready(store.touch(&[Touch { id, slot, activity }])).unwrap();
                }
                Step::Erase { most } => {
                    assert!(ready(store.erase_pairs(START.plus(TICK), most)).unwrap() <= most);
                }
                Step::Sweep { minutes } => {
                    ready(store.sweep(START.plus(minutes * MINUTE), 3)).unwrap();
                }
            }
            let listed = ready(store.list(&Listing { subject: None, after: None, most: 1000 })).unwrap().records;
            prop_assert_eq!(listed.len(), held(&store).0);
            for record in &listed {
                let found = find(&store, record);
                prop_assert_eq!(found.as_ref(), Some(record));
                let key = TokenKey { slot: record.slot, hash: record.token };
                let found = ready(store.find(Lookup::Token(key))).unwrap();
                prop_assert_eq!(found.as_ref(), Some(record));
                if let Some(refresh) = &record.refresh {
                    let key = TokenKey { slot: record.slot, hash: refresh.current };
                    let found = ready(store.find(Lookup::Refresh(key))).unwrap();
                    prop_assert_eq!(found.as_ref(), Some(record));
                }
            }
            let sealed = listed.iter().filter_map(|held| held.last_rotation()).filter(|last| !last.sealed_pair.is_empty());
            let indexed: usize = store.shards.iter().map(|shard| shard.read().entries()[6]).sum();
            prop_assert_eq!(indexed, sealed.count());
            let spent: usize = store.shards.iter().map(|shard| shard.read().entries()[7]).sum();
            prop_assert_eq!(spent, held(&store).1);
        }
        while ready(store.sweep(Timestamp::MAX, 1000)).unwrap().more {}
        assert_empty(&store);
    }
}
