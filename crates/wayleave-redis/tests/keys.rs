//! What lies in the server: hashes and envelopes, each of use in its own place only; what is not ours, or broken; and
//! how long it all lasts.

use std::sync::Arc;
use std::time::Duration;

use wayleave_conformance::fixtures::{
    BASE, DAY, at, by_id, by_refresh, by_token, bytes, entries, fingerprint, full, listing, person, record,
    refresh_key, rotation, routing, ticket, touch,
};
use wayleave_core::id::{IdPrefix, SessionId, Slot};
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{
    Deposit, Insert, InsertLimit, Listing, Lookup, Replaces, Rotate, Rotation, Scope, SessionStore, StoreError, Swept,
    Update,
};
use wayleave_core::record::{Client, Record};
use wayleave_core::seal::KeyRing;
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::token::{RefreshToken, SessionToken};
use wayleave_redis::{Options, RedisStore, Servers};
use wayleave_testkit::servers::redis::Redis;

use crate::{key, options, raw, single};

async fn put(store: &RedisStore, record: &Record) {
    let outcome = store.insert(record, None, None, BASE).await.unwrap();
    assert!(matches!(outcome, Insert::Done { .. }), "{outcome:?}");
}

/// A store on a server of its own, with its prefix.
async fn private() -> (RedisStore, Redis, String) {
    let server = Redis::private(&[]).unwrap();
    let options = options(Servers::single(server.url()));
    let prefix = options.prefix.clone().into();
    (RedisStore::open(options).await.unwrap(), server, prefix)
}

async fn names(server: &Redis) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut raw(&server.url()).await).await.unwrap();
    names.sort();
    names
}

/// All keys with their values, as the server writes them to its disk, uncompressed.
async fn everything(server: &Redis) -> Vec<u8> {
    let mut connection = raw(&server.url()).await;
    let () =
        redis::cmd("CONFIG").arg("SET").arg("rdbcompression").arg("no").query_async(&mut connection).await.unwrap();
    let mut all = Vec::new();
    for name in names(server).await {
        let value: Option<Vec<u8>> = redis::cmd("DUMP").arg(&name).query_async(&mut connection).await.unwrap();
        all.extend(name);
        all.extend(value.unwrap_or_default());
    }
    all
}

/// The one key whose name has `part` in it.
async fn key_with(server: &Redis, part: &str) -> Vec<u8> {
    let found: Vec<_> = names(server).await.into_iter().filter(|name| contains(name, part.as_bytes())).collect();
    let [one] = &found[..] else {
        panic!("{} keys have {part}", found.len());
    };
    one.clone()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// R002: neither tokens nor sealed values lie in the server.
#[tokio::test]
async fn no_secret_lies_in_the_server() {
    let (store, server, _) = private().await;
    let token = SessionToken::new(bytes("canary", 1), Slot(7), &routing());
    let refresh = RefreshToken::new(bytes("canary", 2), Slot(7), &routing());
    let mut held = Record {
        slot: Slot(7),
        token: token.hash(),
        client: Client {
            label: Some("canary-label".into()),
            network: Some("canary-net".into()),
            fingerprint: Some(fingerprint(98)),
        },
        context: entries(&[("canary-context-key", b"canary-context")]),
        data: entries(&[("canary-data-key", b"canary-data")]),
        ..full(1)
    };
    held.refresh.as_mut().unwrap().current = refresh.hash();
    put(&store, &held).await;
    let client = Some(fingerprint(99));
    let exchange = Rotation { client, ..rotation(refresh_key(&held), 5, at(60)) };
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
    let payload = Ticket { payload: Box::new(*b"canary-payload"), ..ticket(1, Purpose::Challenge, at(100)) };
    assert_eq!(store.deposit(&payload, 10, BASE).await.unwrap(), Deposit::Done);
    let all = everything(&server).await;
    // What is looked for is found where it may be.
    assert!(contains(&all, &held.token.0) || contains(&all, &exchange.next.token.0));
    let (session_text, refresh_text) = (token.reveal(), refresh.reveal());
    for secret in [
        session_text.as_bytes(),
        refresh_text.as_bytes(),
        &bytes::<32>("canary", 1),
        &bytes::<32>("canary", 2),
        b"canary",
        &fingerprint(98).0,
        &fingerprint(99).0,
    ] {
        assert!(!contains(&all, secret), "{:?}", String::from_utf8_lossy(secret));
    }
}

/// R154: an envelope that was moved to another record opens nowhere.
#[tokio::test]
async fn a_moved_envelope_does_not_open() {
    let (store, server, _) = private().await;
    for field in ["cli", "ctx", "data"] {
        let (ours, theirs) = (full(1), Record { token: record(2).build().token, ..full(2) });
        put(&store, &ours).await;
        put(&store, &theirs).await;
        let mut connection = raw(&server.url()).await;
        let holders: Vec<_> = names(&server).await.into_iter().filter(|name| contains(name, b":x:")).collect();
        assert_eq!(holders.len(), 2);
        let one: Vec<u8> = redis::cmd("HGET").arg(&holders[0]).arg(field).query_async(&mut connection).await.unwrap();
        let () = redis::cmd("HSET").arg(&holders[1]).arg(field).arg(one).query_async(&mut connection).await.unwrap();
        let found = [store.find(by_id(&ours)).await, store.find(by_id(&theirs)).await];
        let corrupt = found.iter().filter(|found| matches!(found, Err(StoreError::Corrupt(_)))).count();
        assert_eq!(corrupt, 1, "{field}");
        for record in [ours, theirs] {
            assert_eq!(store.revoke(&Scope::One(record.slot, record.id)).await.unwrap().len(), 1);
        }
    }
}

/// R155: what an older key sealed is read, and what is written is sealed by the newest.
#[tokio::test]
async fn a_ring_opens_what_its_older_keys_sealed() {
    let (store, server, prefix) = private().await;
    put(&store, &full(1)).await;
    let with = |ring: KeyRing| Options {
        sealing: Arc::new(ring),
        prefix: prefix.clone().into(),
        ..options(Servers::single(server.url()))
    };
    let newer = RedisStore::open(with(KeyRing::new(key(2), [key(1)]).unwrap())).await.unwrap();
    let held = newer.find(by_id(&full(1))).await.unwrap().unwrap();
    assert_eq!(*held, full(1));
    assert!(matches!(newer.update(&held, held.revision).await.unwrap(), Update::Done(_)));
    assert!(matches!(store.find(by_id(&full(1))).await, Err(StoreError::Corrupt(_))));
    let newest = RedisStore::open(with(KeyRing::new(key(2), []).unwrap())).await.unwrap();
    assert!(newest.find(by_id(&full(1))).await.unwrap().is_some());
}

/// What is broken, of a later version, or of a foreign type is an error where it is asked for, is left out of lists, and
/// keeps nobody from signing in, out, or sweeping.
#[tokio::test]
async fn broken_and_foreign_keys_stand_in_nobodys_way() {
    type Break = (&'static str, fn(&[u8]) -> redis::Cmd);
    let breaks: [Break; 9] = [
        ("another version", |name| cmd(&[b"HSET", name, b"v", b"2"])),
        ("no version", |name| cmd(&[b"HDEL", name, b"v"])),
        ("no token", |name| cmd(&[b"HDEL", name, b"tok"])),
        ("no family", |name| cmd(&[b"HDEL", name, b"fam"])),
        ("an end that is no number", |name| cmd(&[b"HSET", name, b"abs", b"never"])),
        ("an end that never comes", |name| cmd(&[b"HSET", name, b"abs", b"nan"])),
        ("a revision that is no number", |name| cmd(&[b"HSET", name, b"rev", b"-"])),
        ("a level that is none", |name| cmd(&[b"HSET", name, b"lvl", b"9"])),
        ("a string", |name| cmd(&[b"SET", name, b"foreign"])),
    ];
    for (what, broken) in breaks {
        let (store, server, _) = private().await;
        let held = record(1).idle_until(at(100)).build();
        put(&store, &held).await;
        let name = key_with(&server, ":s:").await;
        let () = broken(&name).query_async(&mut raw(&server.url()).await).await.unwrap();
        for lookup in [by_token(&held), by_id(&held), by_refresh(&held)] {
            let found = store.find(lookup).await;
            assert!(matches!(found, Err(StoreError::Corrupt(_))), "{what}: {found:?}");
        }
        // What scripts do not look at, a whole new record may replace. The rest they leave as it is.
        if what != "a level that is none" {
            let before = everything(&server).await;
            let change = store.update(&held, held.revision).await;
            assert!(matches!(change, Err(StoreError::Corrupt(_))), "{what}: {change:?}");
            let exchanged = store.rotate(&rotation(refresh_key(&held), 9, at(30))).await;
            assert!(matches!(exchanged, Err(StoreError::Corrupt(_))), "{what}: {exchanged:?}");
            let touched = store.touch(&[touch(&held, at(30), Some(at(900)))]).await;
            assert!(matches!(touched, Ok(0) | Err(StoreError::Corrupt(_))), "{what}: {touched:?}");
            assert!(everything(&server).await == before, "{what}");
        }
        let whole = record(2).created(at(1)).build();
        let limit = InsertLimit { most: 5, at_limit: AtLimit::Refuse };
        let outcome = store.insert(&whole, Some(limit), None, at(1)).await.unwrap();
        assert!(matches!(outcome, Insert::Done { .. }), "{what}: {outcome:?}");
        for listing in [listing(&person(0)), Listing { subject: None, after: None, most: 10 }] {
            let page = store.list(&listing).await.unwrap();
            assert_eq!(page.records.iter().map(|record| record.id).collect::<Vec<_>>(), [whole.id], "{what}");
        }
        store.census(at(2)).await.unwrap();
        let swept = store.sweep(at(200), 10).await.unwrap();
        assert!(!swept.more, "{what}");
        let subject = person(0);
        let ended = store.revoke(&Scope::All { subject, slot: whole.slot }).await.unwrap();
        assert!(ended.iter().any(|gone| gone.id == whole.id), "{what}");
        assert_eq!(store.find(by_id(&whole)).await.unwrap(), None);
    }
}

fn cmd(words: &[&[u8]]) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

/// An index that somebody overwrote is an error for those who need it, and left out by what goes over everything.
#[tokio::test]
async fn a_foreign_index_is_left_alone() {
    let (store, server, _) = private().await;
    let (ours, theirs) = (record(1).build(), record(2).of(&person(7)).idle_until(at(10)).build());
    assert_ne!(ours.slot.0 >> 8, theirs.slot.0 >> 8);
    put(&store, &ours).await;
    let indexes: Vec<_> = ["}:a", "}:e:standard"].into();
    for part in &indexes {
        let name = key_with(&server, part).await;
        let () = redis::cmd("SET").arg(name).arg("foreign").query_async(&mut raw(&server.url()).await).await.unwrap();
    }
    put(&store, &theirs).await;
    let everybody = store.list(&Listing { subject: None, after: None, most: 10 }).await.unwrap();
    assert_eq!(everybody.records.iter().map(|record| record.id).collect::<Vec<_>>(), [theirs.id]);
    assert_eq!(store.census(at(20)).await.unwrap().ended, 1);
    assert_eq!(store.sweep(at(20), 10).await.unwrap().records, 1);
}

/// A field that a later version adds survives this version's changes.
#[tokio::test]
async fn fields_of_a_later_version_are_kept() {
    let (store, server, _) = private().await;
    let held = record(1).build();
    put(&store, &held).await;
    let mut connection = raw(&server.url()).await;
    let name = key_with(&server, ":s:").await;
    let () = redis::cmd("HSET").arg(&name).arg("later").arg("x").query_async(&mut connection).await.unwrap();
    assert!(matches!(store.update(&held, held.revision).await.unwrap(), Update::Done(_)));
    let exchange = rotation(refresh_key(&held), 2, at(60));
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
    let later: String = redis::cmd("HGET").arg(&name).arg("later").query_async(&mut connection).await.unwrap();
    assert_eq!(later, "x");
}

/// Everything of a record lasts a while longer than it may live, and no longer, whether it is swept or not.
#[tokio::test]
async fn keys_of_a_record_end_by_themselves() {
    let (store, server, _) = private().await;
    let held = record(1).absolute_until(BASE.plus(7 * DAY)).build();
    put(&store, &held).await;
    let exchange = rotation(refresh_key(&held), 2, at(60));
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
    let mut connection = raw(&server.url()).await;
    let (mut of_record, mut shared) = (0, Vec::new());
    for name in names(&server).await {
        let left: i64 = redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
        if left < 0 {
            shared.push(String::from_utf8(name).unwrap().split('}').next_back().unwrap().to_owned());
        } else {
            of_record += 1;
            let left = Duration::from_millis(left.try_into().unwrap());
            assert!((96 * DAY..=97 * DAY).contains(&left), "{left:?} of {}", String::from_utf8_lossy(&name));
        }
    }
    shared.sort();
    // The record's two halves, its token, its two refresh tokens, its family, its subject.
    assert_eq!((of_record, shared), (7, vec![":a".into(), ":e:standard".into(), ":k".into(), ":p".into()]));
}

/// What ended by itself is in no answer, and the sweep clears the indexes of it.
#[tokio::test]
async fn a_sweep_clears_what_ended_by_itself() {
    let (store, server, _) = private().await;
    let (lost, kept) = (record(1).idle_until(at(10)).build(), record(2).build());
    put(&store, &lost).await;
    let of_lost: Vec<_> = names(&server).await;
    put(&store, &kept).await;
    let mut connection = raw(&server.url()).await;
    for name in of_lost {
        if [&b":s:"[..], b":x:", b":t:", b":r:"].iter().any(|part| contains(&name, part)) {
            let () = redis::cmd("DEL").arg(name).query_async(&mut connection).await.unwrap();
        }
    }
    for lookup in [by_token(&lost), by_id(&lost), by_refresh(&lost)] {
        assert_eq!(store.find(lookup).await.unwrap(), None);
    }
    let everybody = Listing { subject: None, after: None, most: 10 };
    let listed = |page: wayleave_core::ports::Page| page.records.iter().map(|record| record.id).collect::<Vec<_>>();
    assert_eq!(listed(store.list(&listing(&person(0))).await.unwrap()), [kept.id]);
    assert_eq!(listed(store.list(&everybody).await.unwrap()), [kept.id]);
    assert_eq!(store.sweep(at(20), 1).await.unwrap(), Swept { records: 0, tickets: 0, more: true });
    assert_eq!(store.sweep(at(20), 1).await.unwrap(), Swept { records: 0, tickets: 0, more: false });
    let subject = person(0);
    assert_eq!(store.revoke(&Scope::All { subject, slot: kept.slot }).await.unwrap().len(), 1);
    let left = names(&server).await;
    let left: Vec<_> = left.iter().map(|name| String::from_utf8_lossy(name)).collect();
    // The subject and the family still name what is gone, and end by themselves as it did.
    assert!(left.iter().all(|name| name.contains(":u:") || name.contains(":f:")), "{left:?}");
}

/// R064: as many spent tokens as the port demands are known, and no more are kept.
#[tokio::test]
async fn a_family_remembers_so_much_and_no_more() {
    let (store, server, _) = private().await;
    let rotations = u32::try_from(Rotation::SPENT_KEPT).unwrap() + 100;
    let mut held = record(0).build();
    put(&store, &held).await;
    let mut spent = Vec::new();
    for number in 1..=rotations {
        spent.push(refresh_key(&held));
        let exchange = rotation(refresh_key(&held), number, at(number.into()));
        let Rotate::Done { record, .. } = store.rotate(&exchange).await.unwrap() else {
            panic!("not rotated");
        };
        held = (*record).clone();
    }
    let kept = names(&server).await.iter().filter(|name| contains(name, b":r:")).count();
    assert_eq!(kept, Rotation::SPENT_KEPT + 1);
    for key in &spent[spent.len() - Rotation::SPENT_KEPT..] {
        assert!(store.find(Lookup::Refresh(*key)).await.unwrap().is_some());
    }
    assert_eq!(store.find(Lookup::Refresh(spent[0])).await.unwrap(), None);
    assert_eq!(store.revoke(&Scope::One(held.slot, held.id)).await.unwrap().len(), 1);
    assert_eq!(names(&server).await, Vec::<Vec<u8>>::new());
}

/// Of the slot all bits count, also those that many share a hash slot by.
#[tokio::test]
async fn a_slot_counts_in_full() {
    let (store, _server, _) = private().await;
    let held = record(1).build();
    put(&store, &held).await;
    let slot = Slot(held.slot.0 ^ 1);
    for scope in [
        Scope::One(slot, held.id),
        Scope::Family(slot, held.family),
        Scope::All { subject: person(0), slot },
        Scope::Others { subject: person(0), slot, keep: record(2).build().id },
    ] {
        assert_eq!(store.revoke(&scope).await.unwrap(), [], "{scope:?}");
    }
    let misrouted = Record { slot, ..held.clone() };
    assert_eq!(store.update(&misrouted, held.revision).await.unwrap(), Update::Missing);
    assert_eq!(store.touch(&[touch(&misrouted, at(1), None)]).await.unwrap(), 0);
    assert_eq!(store.rotate(&rotation(refresh_key(&misrouted), 3, at(1))).await.unwrap(), Rotate::Unknown);
    let listing = Listing { subject: Some((slot, person(0))), ..listing(&person(0)) };
    assert_eq!(store.list(&listing).await.unwrap().records, []);
    assert_eq!(store.find(by_id(&held)).await.unwrap().as_deref(), Some(&held));
}

/// An id is that of a record only with the prefix that its kind gave it.
#[tokio::test]
async fn an_id_counts_with_its_prefix() {
    let (store, _server, _) = private().await;
    let held = record(1).build();
    put(&store, &held).await;
    let other = SessionId::from_bytes(IdPrefix::new("other").unwrap(), &held.id.bytes());
    assert_eq!(store.find(Lookup::Id(held.slot, other)).await.unwrap(), None);
    assert_eq!(store.revoke(&Scope::One(held.slot, other)).await.unwrap(), []);
    let renamed = Record { id: other, ..held.clone() };
    assert_eq!(store.update(&renamed, held.revision).await.unwrap(), Update::Missing);
    assert_eq!(store.touch(&[touch(&renamed, at(1), None)]).await.unwrap(), 0);
    let in_place = Some(Replaces { id: other, expected: Some(held.revision) });
    assert_eq!(store.insert(&record(2).build(), None, in_place, at(1)).await.unwrap(), Insert::Conflict);
    let outcome = store.insert(&record(2).build(), None, Some(Replaces::any(other)), at(1)).await.unwrap();
    assert_eq!(outcome, Insert::Done { replaced: None, evicted: Vec::new(), marked: false });
    assert_eq!(store.find(by_id(&held)).await.unwrap().as_deref(), Some(&held));
}

/// A pair that leads to another session already is not given a second meaning.
#[tokio::test]
async fn a_pair_that_is_in_use_is_refused() {
    let (store, _server, _) = private().await;
    let (ours, theirs) = (record(1).build(), record(2).build());
    put(&store, &ours).await;
    put(&store, &theirs).await;
    let exchange = rotation(refresh_key(&ours), 3, at(60));
    let mut taken = [exchange.clone(), exchange.clone()];
    taken[0].next.token = theirs.token;
    taken[1].next.refresh = refresh_key(&theirs).hash;
    for exchange in taken {
        let refused = store.rotate(&exchange).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        for record in [&ours, &theirs] {
            for lookup in [by_token(record), by_refresh(record)] {
                assert_eq!(store.find(lookup).await.unwrap().as_deref(), Some(record));
            }
        }
    }
    assert!(matches!(store.rotate(&exchange).await.unwrap(), Rotate::Done { .. }));
}

/// A server that is full refuses what adds, changes nothing then, and lets sessions end.
#[tokio::test]
async fn a_full_server_lets_sessions_end() {
    let (store, server, _) = private().await;
    let held = record(1).build();
    put(&store, &held).await;
    server.node().cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let before = everything(&server).await;
    let new = record(2).family(held.family).build();
    let limit = InsertLimit { most: 1, at_limit: AtLimit::EvictOldest };
    for limit in [None, Some(limit)] {
        let refused = store.insert(&new, limit, None, at(1)).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    }
    let refused = store.rotate(&rotation(refresh_key(&held), 3, at(1))).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    let refused = store.update(&held, held.revision).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    let refused = store.deposit(&ticket(1, Purpose::Setup, at(100)), 10, BASE).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert!(matches!(store.ping().await, Err(StoreError::Full)));
    let after = everything(&server).await;
    assert!(after == before, "a refused operation left something behind");
    assert_eq!(store.find(by_id(&held)).await.unwrap().as_deref(), Some(&held));
    assert_eq!(store.revoke(&Scope::One(held.slot, held.id)).await.unwrap().len(), 1);
    assert_eq!(store.find(by_id(&held)).await.unwrap(), None);
}

/// Two deployments on one server do not see each other.
#[tokio::test]
async fn prefixes_keep_deployments_apart() {
    let (one, server) = single().await;
    let two = RedisStore::open(options(Servers::single(server.url()))).await.unwrap();
    let held = record(1).build();
    put(&one, &held).await;
    assert_eq!(two.find(by_id(&held)).await.unwrap(), None);
    let everybody = Listing { subject: None, after: None, most: 10 };
    assert_eq!(two.list(&everybody).await.unwrap().records, []);
    assert_eq!(two.census(at(1)).await.unwrap().live, []);
    put(&two, &held).await;
    assert_eq!(two.sweep(held.absolute_expires_at.plus(DAY), 10).await.unwrap().records, 1);
    assert!(one.find(by_id(&held)).await.unwrap().is_some());
}
