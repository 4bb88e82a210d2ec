//! The database's verdict on a refresh token is that of [`wayleave_core::refresh::judge`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use wayleave_conformance::fixtures::{
    BASE, HOUR, TICK, at, bytes, fingerprint, person, record, refresh_token, rotation,
};
use wayleave_core::ports::{Gone, Rotate, Rotation, SessionStore};
use wayleave_core::record::{LastRotation, Limit, MAX_CLOCK_SKEW, Record, Refresh};
use wayleave_core::refresh::{Verdict, judge};
use wayleave_core::token::{TokenHash, TokenKey};

use crate::fresh;

const CASES: u32 = 1500;

/// Picks from small tables, by bytes that look random.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.0.next().unwrap()) % choices.len()]
    }
}

/// A record, and who presents what when. Most are close to one of the boundaries.
fn case(number: u32) -> (Record, Rotation) {
    let mut dice = Dice(bytes::<64>("judge", number).to_vec().into_iter());
    let rotated_at = at(1_000);
    let ten = Duration::from_secs(10);
    let nanosecond = Duration::from_nanos(1);
    let window = dice.of(&[ten, ten, ten + nanosecond, ten - nanosecond, Duration::ZERO, TICK, Duration::MAX]);
    let now = match dice.of(&[0, 0, 1, 2, 3, 4, 5, 6]) {
        0 => rotated_at,
        1 => rotated_at.plus(ten - TICK),
        2 => rotated_at.plus(ten),
        3 => rotated_at.plus(ten + TICK),
        4 => rotated_at.minus(ten - TICK),
        5 => rotated_at.minus(ten),
        _ => rotated_at.plus(HOUR),
    };
    let held = record(number).of(&person(number)).build();
    let token = |offset| refresh_token(number + offset, held.slot);
    let [ours, theirs] = [1, 2].map(|number| Some(fingerprint(number)));
    let clients = [ours, ours, ours, ours, theirs, None];
    let last = LastRotation {
        predecessor: token(1_000_000),
        at: rotated_at,
        client: dice.of(&clients),
        sealed_pair: if dice.of(&[true, true, true, false]) { Box::new([7; 40]) } else { Box::default() },
    };
    let current = refresh_token(number, held.slot);
    let refresh = Refresh { current, generation: 3, last: dice.of(&[true, true, true, false]).then_some(last) };
    let far = now.plus(HOUR);
    let mut times = |usual| dice.of(&[usual, usual, usual, usual, usual, now, now.plus(TICK), now.minus(TICK)]);
    let (absolute_expires_at, token_expires_at, idle) = (times(far), times(far), times(far));
    let held = Record {
        created_at: dice.of(&[BASE, BASE, BASE, now.plus(MAX_CLOCK_SKEW), now.plus(MAX_CLOCK_SKEW).plus(TICK)]),
        absolute_expires_at,
        token_expires_at,
        idle_expires_at: dice.of(&[None, Some(idle)]),
        expired_at: dice.of(&[None, None, None, None, Some(BASE)]),
        refresh: dice.of(&[true, true, true, true, true, true, true, false]).then_some(refresh),
        ..held
    };
    let hash = dice.of(&[current, current, token(1_000_000), token(1_000_000), token(1_000_000), token(2_000_000)]);
    let presented = TokenKey { slot: held.slot, hash };
    let asks = Rotation { client: dice.of(&clients), window, ..rotation(presented, 3_000_000 + number, now) };
    (held, asks)
}

/// A token of the record's lineage, put down as spent.
fn spent(statements: &mut String, hash: TokenHash, record: &Record) {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let (hash, family) = (hex(&hash.0), hex(&record.family.0));
    writeln!(statements, "INSERT INTO wayleave.spent_refresh_tokens VALUES ('\\x{hash}', '\\x{family}', 0, 0);")
        .unwrap();
}

/// R064, R065, R066: in every case.
#[tokio::test]
async fn the_database_judges_as_the_core_does() {
    let (store, database) = fresh().await;
    let cases: Vec<_> = (0..CASES).map(case).collect();
    let mut statements = String::new();
    for (held, asks) in &cases {
        SessionStore::insert(&store, held, None, None, BASE).await.map(drop).unwrap();
        if held.refresh.as_ref().is_none_or(|refresh| refresh.current != asks.presented.hash) {
            spent(&mut statements, asks.presented.hash, held);
        }
    }
    for part in statements.lines().collect::<Vec<_>>().chunks(200) {
        database.psql(&part.join("\n")).unwrap();
    }
    let mut seen = BTreeMap::<_, u32>::new();
    for (number, (held, asks)) in cases.iter().enumerate() {
        let verdict = judge(held, asks.presented.hash, asks.client, asks.now, asks.window);
        let outcome = store.rotate(asks).await.unwrap();
        let kept = Arc::new(held.clone());
        match verdict {
            Verdict::Rotate => {
                let Rotate::Done { record, previous } = outcome else { panic!("{number}: {outcome:?}") };
                assert_eq!((record.token, previous), (asks.next.token, held.token), "{number}");
            }
            Verdict::Repeat => {
                let sealed_pair = held.last_rotation().unwrap().sealed_pair.clone();
                assert_eq!(outcome, Rotate::Repeat { record: kept, sealed_pair }, "{number}");
            }
            Verdict::Reuse => assert_eq!(outcome, Rotate::Reuse(vec![Gone::from_record(held)]), "{number}"),
            Verdict::Expired(limit) => assert_eq!(outcome, Rotate::Expired(kept, limit), "{number}"),
        }
        *seen.entry(format!("{verdict:?}")).or_default() += 1;
    }
    for verdict in [
        Verdict::Rotate,
        Verdict::Repeat,
        Verdict::Reuse,
        Verdict::Expired(Limit::Idle),
        Verdict::Expired(Limit::Absolute),
    ] {
        assert!(seen.get(&format!("{verdict:?}")).is_some_and(|times| *times > 30), "{seen:?}");
    }
}
