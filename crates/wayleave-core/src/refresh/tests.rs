//! Tests of rotation: the table of verdicts, and who can open the answer that is kept for a lost one.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::id::Slot;
use crate::record::tests::{DAY, HOUR, MINUTE, SECOND, START, record};
use crate::routing::RoutingKey;

const CURRENT: TokenHash = TokenHash([0xc3; 32]);
const PREDECESSOR: TokenHash = TokenHash([0xc2; 32]);
const OLDER: TokenHash = TokenHash([0xc1; 32]);
const STRANGE: TokenHash = TokenHash([0x55; 32]);
const OURS: Option<Fingerprint> = Some(Fingerprint([1; 32]));
const OTHER: Option<Fingerprint> = Some(Fingerprint([2; 32]));
const WINDOW: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(1);

struct Case {
    record: Record,
    presented: TokenHash,
    client: Option<Fingerprint>,
    now: Timestamp,
    window: Duration,
}

type Row = (&'static str, fn(&mut Case), Verdict);

/// The fixture was rotated at [`START`]; every case changes something about a retry with the predecessor one second
/// later, from the same client, in a window of ten seconds.
fn check(rows: &[Row]) {
    for (name, change, expected) in rows {
        let mut case =
            Case { record: record(), presented: PREDECESSOR, client: OURS, now: START.plus(SECOND), window: WINDOW };
        change(&mut case);
        let Case { record, presented, client, now, window } = case;
        assert_eq!(judge(&record, presented, client, now, window), *expected, "{name}");
    }
}

fn last(case: &mut Case) -> &mut crate::record::LastRotation {
    case.record.refresh.as_mut().unwrap().last.as_mut().unwrap()
}

/// R063, R068, A42: the current token rotates as long as the session lives, however its access token stands.
#[test]
fn the_current_token_rotates_until_the_session_ends() {
    check(&[
        ("current", |c| c.presented = CURRENT, Verdict::Rotate),
        ("from another client", |c| (c.presented, c.client) = (CURRENT, OTHER), Verdict::Rotate),
        ("without a window", |c| (c.presented, c.window) = (CURRENT, Duration::ZERO), Verdict::Rotate),
        (
            "first generation",
            |c| {
                c.presented = CURRENT;
                c.record.refresh.as_mut().unwrap().last = None;
            },
            Verdict::Rotate,
        ),
        (
            "after the access token's end",
            |c| {
                (c.presented, c.now) = (CURRENT, START.plus(13 * HOUR));
                c.record.idle_expires_at = None;
            },
            Verdict::Rotate,
        ),
        (
            "a millisecond before the idle end",
            |c| (c.presented, c.now) = (CURRENT, START.plus(30 * MINUTE).minus(TICK)),
            Verdict::Rotate,
        ),
        (
            "at the idle end",
            |c| (c.presented, c.now) = (CURRENT, START.plus(30 * MINUTE)),
            Verdict::Expired(Limit::Idle),
        ),
        (
            "a millisecond before the absolute end",
            |c| {
                (c.presented, c.now) = (CURRENT, START.plus(7 * DAY).minus(TICK));
                c.record.idle_expires_at = None;
            },
            Verdict::Rotate,
        ),
        (
            "at the absolute end",
            |c| {
                (c.presented, c.now) = (CURRENT, START.plus(7 * DAY));
                c.record.idle_expires_at = None;
            },
            Verdict::Expired(Limit::Absolute),
        ),
        (
            "found expired, clock set back a year",
            |c| {
                (c.presented, c.now) = (CURRENT, START.minus(365 * DAY));
                c.record.expired_at = Some(START);
            },
            Verdict::Expired(Limit::Idle),
        ),
    ]);
}

/// R064, R066, A38, A40: the predecessor is answered again inside the window, from the same client, while the successor
/// is unused. Anything else that was spent ends the family.
#[test]
fn a_spent_token_ends_the_family_except_inside_the_window() {
    check(&[
        ("inside", |_| (), Verdict::Repeat),
        ("at the instant of rotation", |c| c.now = START, Verdict::Repeat),
        ("a millisecond before the end", |c| c.now = START.plus(WINDOW).minus(TICK), Verdict::Repeat),
        ("at the end", |c| c.now = START.plus(WINDOW), Verdict::Reuse),
        ("a millisecond after the end", |c| c.now = START.plus(WINDOW).plus(TICK), Verdict::Reuse),
        ("no window, at the instant of rotation", |c| (c.window, c.now) = (Duration::ZERO, START), Verdict::Reuse),
        ("no window, a second later", |c| c.window = Duration::ZERO, Verdict::Reuse),
        ("another client", |c| c.client = OTHER, Verdict::Reuse),
        ("a client without fingerprint", |c| c.client = None, Verdict::Reuse),
        ("rotated by a client without fingerprint", |c| last(c).client = None, Verdict::Reuse),
        ("a deployment that takes no fingerprints", |c| (last(c).client, c.client) = (None, None), Verdict::Repeat),
        (
            "successor used: the pair before was forgotten",
            |c| c.record.refresh.as_mut().unwrap().last = None,
            Verdict::Reuse,
        ),
        (
            "successor used: another predecessor took its place",
            |c| {
                let refresh = c.record.refresh.as_mut().unwrap();
                (refresh.current, refresh.generation) = (STRANGE, 4);
                last(c).predecessor = CURRENT;
            },
            Verdict::Reuse,
        ),
        ("the predecessor's predecessor", |c| c.presented = OLDER, Verdict::Reuse),
        ("a token that leads here by no known way", |c| c.presented = STRANGE, Verdict::Reuse),
        ("a record without refresh", |c| c.record.refresh = None, Verdict::Reuse),
        (
            "a record without refresh, its last token",
            |c| (c.record.refresh, c.presented) = (None, CURRENT),
            Verdict::Reuse,
        ),
    ]);
}

/// A15: a clock set back does not hold the window open, one that runs a little behind does not close it.
#[test]
fn the_window_is_measured_in_both_directions() {
    check(&[
        ("a node 5 ms behind", |c| c.now = START.minus(5 * TICK), Verdict::Repeat),
        ("behind by less than the window", |c| c.now = START.minus(WINDOW).plus(TICK), Verdict::Repeat),
        ("behind by the window", |c| c.now = START.minus(WINDOW), Verdict::Reuse),
        ("back an hour", |c| c.now = START.minus(HOUR), Verdict::Reuse),
        ("back a year", |c| c.now = START.minus(365 * DAY), Verdict::Reuse),
        ("ahead to the end of time", |c| c.now = Timestamp::MAX, Verdict::Reuse),
        ("back to the beginning of time", |c| c.now = Timestamp::MIN, Verdict::Reuse),
    ]);
}

/// R064, R068: a spent token stays a theft after the session's end; the window does not outlast the session, but it
/// does outlast an access token that is shorter.
#[test]
fn reuse_is_judged_before_expiry() {
    check(&[
        ("older token, session idle", |c| (c.presented, c.now) = (OLDER, START.plus(HOUR)), Verdict::Reuse),
        ("older token, session past its end", |c| (c.presented, c.now) = (OLDER, START.plus(8 * DAY)), Verdict::Reuse),
        ("older token, found expired", |c| (c.presented, c.record.expired_at) = (OLDER, Some(START)), Verdict::Reuse),
        ("predecessor, session past its end", |c| c.now = START.plus(8 * DAY), Verdict::Reuse),
        ("inside the window, idle end passed", |c| c.record.idle_expires_at = Some(START.plus(SECOND)), Verdict::Reuse),
        ("inside the window, absolute end passed", |c| c.record.absolute_expires_at = START, Verdict::Reuse),
        ("inside the window, found expired", |c| c.record.expired_at = Some(START), Verdict::Reuse),
        ("inside the window, access token ended", |c| c.record.token_expires_at = START.plus(SECOND), Verdict::Repeat),
    ]);
}

proptest! {
    /// R065, R066: only the current token rotates, only the predecessor repeats, and neither after the session's end.
    #[test]
    fn no_other_token_brings_a_pair(
        presented in prop::sample::select(vec![CURRENT, PREDECESSOR, OLDER, STRANGE]),
        client in prop::sample::select(vec![OURS, OTHER, None]),
        now in -20_000..20_000_i64, window in 0..15_000_u64,
        idle in prop::option::of(0..20_000_i64), absolute in 0..20_000_i64, found_expired: bool,
    ) {
        let instant = |millis: i64| Timestamp::from_millis(START.as_millis() + millis);
        let mut record = record();
        record.idle_expires_at = idle.map(instant);
        record.absolute_expires_at = instant(absolute);
        record.expired_at = found_expired.then_some(START);
        let alive = !found_expired && now < absolute && idle.is_none_or(|end| now < end);
        match judge(&record, presented, client, instant(now), Duration::from_millis(window)) {
            Verdict::Rotate => prop_assert!(alive && presented == CURRENT),
            Verdict::Repeat => prop_assert!(
                alive && presented == PREDECESSOR && client == OURS && now.unsigned_abs() < window
            ),
            Verdict::Reuse => prop_assert!(presented != CURRENT),
            Verdict::Expired(limit) => prop_assert!(!alive && presented == CURRENT && limit != Limit::Token),
        }
    }
}

fn token(n: u8) -> RefreshToken {
    RefreshToken::new([n; 32], Slot(513), &RoutingKey::new([7; 16]))
}

fn pair() -> Pair {
    Pair { access: Zeroizing::new("wl_access".into()), refresh: Zeroizing::new("rt_refresh".into()) }
}

fn texts(pair: &Pair) -> [&str; 2] {
    [pair.access.as_str(), pair.refresh.as_str()]
}

/// R066: the predecessor opens the pair that replaced it, however often, and no other token does.
#[test]
fn only_the_predecessor_opens_the_pair() {
    let sealed = seal_pair(&token(1), &pair(), [3; seal::SALT]);
    for _ in 0..3 {
        assert_eq!(texts(&open_pair(&token(1), &sealed).unwrap()), ["wl_access", "rt_refresh"]);
    }
    let read_again = RefreshToken::parse(&token(1).reveal()).unwrap();
    assert_eq!(texts(&open_pair(&read_again, &sealed).unwrap()), ["wl_access", "rt_refresh"]);
    let mut near = [1; 32];
    near[31] ^= 1;
    for stranger in [token(0), token(2), RefreshToken::new(near, Slot(513), &RoutingKey::new([7; 16]))] {
        assert_eq!(open_pair(&stranger, &sealed).err(), Some(CannotOpen));
    }
    let clear = ["wl_access", "rt_refresh"].map(str::as_bytes);
    assert!(clear.iter().all(|clear| !sealed.windows(clear.len()).any(|window| window == *clear)));
}

/// R154, A73: every bit of the kept pair counts, and so does its length.
#[test]
fn a_changed_pair_does_not_open() {
    let sealed = seal_pair(&token(1), &pair(), [3; seal::SALT]);
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open_pair(&token(1), &changed).err(), Some(CannotOpen), "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(open_pair(&token(1), &sealed[..length]).err(), Some(CannotOpen), "{length} bytes");
    }
}

/// R006: what was sealed under the same secret for another purpose, or holds no two texts, is no pair.
#[test]
fn only_pairs_open_as_pairs() {
    let predecessor = token(1);
    for (purpose, plain) in [
        (&b"another purpose"[..], &b"wl_access\nrt_refresh"[..]),
        (b"", b"wl_access\nrt_refresh"),
        (PURPOSE, b"wl_access rt_refresh"),
        (PURPOSE, b""),
        (PURPOSE, b"\xff\n\xff"),
    ] {
        let sealed = seal::seal_under(predecessor.secret(), purpose, plain, [3; seal::SALT]);
        assert_eq!(open_pair(&predecessor, &sealed).err(), Some(CannotOpen), "{purpose:?} {plain:?}");
    }
}

/// The form of kept pairs is frozen: stores hold them across upgrades.
#[test]
fn frozen_vectors_hold() {
    let vectors: Value = serde_json::from_str(include_str!("../../../../spec/vectors/envelopes.json")).unwrap();
    let rows = vectors["pairs"].as_array().unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let text = |field: &str| row[field].as_str().unwrap();
        let bytes = |field: &str| -> Vec<u8> {
            let digits = text(field).as_bytes().chunks(2);
            digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
        };
        let predecessor = RefreshToken::parse(text("predecessor")).unwrap();
        let opened = open_pair(&predecessor, &bytes("envelope")).unwrap();
        assert_eq!(texts(&opened), [text("access"), text("refresh")], "{row}");
        let salt = bytes("salt").try_into().unwrap();
        assert_eq!(seal_pair(&predecessor, &opened, salt).as_ref(), bytes("envelope"), "{row}");
    }
}

/// Tags are equal where token and client are, and nowhere else.
#[test]
fn tags_tell_clients_apart() {
    let tokens = [TokenHash([1; 32]), TokenHash([2; 32])];
    let clients = [None, Some(Fingerprint([0; 32])), Some(Fingerprint([1; 32]))];
    let all = || tokens.into_iter().flat_map(|token| clients.map(|client| (token, client)));
    for one in all() {
        for other in all() {
            assert_eq!(client_tag(one.0, one.1) == client_tag(other.0, other.1), one == other, "{one:?} {other:?}");
        }
    }
}
