//! Measures what a live session costs in the memory store.
#![allow(clippy::unwrap_used, clippy::panic, reason = "fixtures of a test")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wayleave_core::authentication::{Authentication, Level, Method, Methods};
use wayleave_core::entries::Entries;
use wayleave_core::id::{FamilyId, IdPrefix, SessionId};
use wayleave_core::memory::{MemoryOptions, MemoryStore};
use wayleave_core::permission::Permissions;
use wayleave_core::ports::{Insert, Lookup, SessionStore};
use wayleave_core::record::{Client, Fingerprint, Record, Revision};
use wayleave_core::routing::RoutingKey;
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;
use wayleave_core::token::{TokenHash, TokenKey};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const MOST_BYTES: usize = 300;

/// At most 300 bytes for each live cookie session, all indices included, whatever the number of sessions: these counts
/// lie before, at and after the points where tables double.
#[test]
fn a_session_takes_at_most_300_bytes() {
    let store = MemoryStore::new(MemoryOptions::default());
    let mut held = 0;
    for sessions in [20_000, 35_000, 37_000, 50_000] {
        for n in held..sessions {
            let inserted = ready(store.insert(&cookie_session(n), None, None, NOW)).unwrap();
            assert_eq!(inserted, Insert::Done { replaced: None, evicted: vec![], marked: false });
        }
        held = sessions;
        let each = store.footprint() / usize::try_from(sessions).unwrap();
        assert!(each <= MOST_BYTES, "{each} bytes for each of {sessions} sessions");
        // A measurement that missed the records would be of no use.
        assert!(each >= 200, "{each} bytes for each of {sessions} sessions");
    }
    let last = cookie_session(held - 1);
    let found = ready(store.find(Lookup::Token(TokenKey { slot: last.slot, hash: last.token }))).unwrap();
    assert_eq!(found.as_deref(), Some(&last));
}

/// What a browser's session of an account looks like: 27 characters of account id, six permissions, a label that
/// many browsers have in common, a network of its own, and two entries of data.
fn cookie_session(n: u64) -> Record {
    let routing = RoutingKey::new([7; 16]);
    let subject: Subject = format!("user:user_{n:022}").parse().unwrap();
    let slot = routing.slot_of(&subject);
    let mut data = Entries::new();
    data.set("shopping_cart", format!("cart-{n:07}").as_bytes()).unwrap();
    data.set("display_mode", format!("dark-{n:07}").as_bytes()).unwrap();
    let permissions = Permissions::new([
        "read:profile",
        "write:profile",
        "read:messages",
        "write:messages",
        "join:groups",
        "book:sessions",
    ]);
    Record {
        id: SessionId::new(IdPrefix::new("web").unwrap(), bytes(n, b"id"), slot, &routing),
        slot,
        family: FamilyId(bytes(n, b"fa")),
        token: TokenHash(bytes(n, b"to")),
        kind: "web".parse().unwrap(),
        subject: Some(subject),
        actor: None,
        permissions: permissions.unwrap(),
        authentication: Some(Authentication {
            methods: Methods::only(Method::Password).with(Method::Link),
            at: NOW,
            level: Level::ONE,
        }),
        epoch: 3,
        remembered: n.is_multiple_of(3),
        licence: None,
        created_at: NOW.plus(Duration::from_millis(n)),
        last_seen_at: NOW.plus(Duration::from_millis(n * 7)),
        idle_expires_at: Some(NOW.plus(Duration::from_secs(1800 + n))),
        token_expires_at: NOW.plus(Duration::from_secs(86_400 + n)),
        absolute_expires_at: NOW.plus(Duration::from_secs(86_400 * 30 + n)),
        expired_at: None,
        client: Client {
            label: Some(format!("Firefox {} on Linux", 100 + n % 100).into()),
            network: Some(format!("203.{}.{}.0/24", n / 256 % 256, n % 256).into()),
            fingerprint: Some(Fingerprint(bytes(n, b"fi"))),
        },
        context: Entries::new(),
        data,
        refresh: None,
        confirmation: None,
        revision: Revision(2),
    }
}

fn bytes<const N: usize>(n: u64, what: &[u8; 2]) -> [u8; N] {
    let mut bytes = [what[0]; N];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes[8..10].copy_from_slice(what);
    bytes
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store waits for nothing"),
    }
}
