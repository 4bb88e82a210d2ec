//! Tests of records: the instants at which they end, and what an update may change. Their fixture serves other modules.

use proptest::prelude::*;

use super::*;
use crate::authentication::{Level, Method, Methods};
use crate::id::IdPrefix;
use crate::routing::RoutingKey;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const TICK: Duration = Duration::from_millis(1);

/// When the fixture signed in and was last seen.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A standard session of `user:1`, opened and last seen at [`START`]: idle for 30 minutes, token for 12 hours,
/// absolute for 7 days, refresh at generation 3.
pub(crate) fn record() -> Record {
    Record {
        id: id(1),
        slot: Slot(1),
        family: FamilyId([1; 16]),
        token: TokenHash([1; 32]),
        kind: "standard".parse().unwrap(),
        subject: Some("user:1".parse().unwrap()),
        actor: None,
        permissions: Permissions::new(["read:profile", "write:messages"]).unwrap(),
        authentication: Some(Authentication { methods: Methods::only(Method::Password), at: START, level: Level::ONE }),
        epoch: 4,
        remembered: false,
        licence: None,
        created_at: START,
        last_seen_at: START,
        idle_expires_at: Some(START.plus(30 * MINUTE)),
        token_expires_at: START.plus(12 * HOUR),
        absolute_expires_at: START.plus(7 * DAY),
        expired_at: None,
        client: Client {
            label: Some("Firefox on Linux".into()),
            network: None,
            fingerprint: Some(Fingerprint([1; 32])),
        },
        context: Entries::new(),
        data: entries("cart"),
        refresh: Some(Refresh {
            current: TokenHash([0xc3; 32]),
            generation: 3,
            last: Some(LastRotation {
                predecessor: TokenHash([0xc2; 32]),
                at: START,
                client: Some(Fingerprint([1; 32])),
                sealed_pair: Box::from([0; 8]),
            }),
        }),
        confirmation: None,
        revision: Revision(9),
    }
}

fn id(n: u8) -> SessionId {
    SessionId::new(IdPrefix::FALLBACK, [n; 16], Slot(1), &RoutingKey::new([7; 16]))
}

fn entries(key: &str) -> Entries {
    let mut entries = Entries::new();
    entries.set(key, b"value").unwrap();
    entries
}

/// Each row: what makes the record reach one limit alone, when that limit is, and which one it is.
type Boundary = (&'static str, fn(&mut Record), Option<Duration>, Duration, Limit);

const BOUNDARIES: [Boundary; 9] = [
    ("stored idle end", |_| (), None, Duration::from_secs(1800), Limit::Idle),
    ("idle limit in force, shorter", |_| (), Some(Duration::from_secs(300)), Duration::from_secs(300), Limit::Idle),
    ("idle limit in force, longer", |_| (), Some(DAY), Duration::from_secs(1800), Limit::Idle),
    ("idle limit in force alone", |r| r.idle_expires_at = None, Some(HOUR), HOUR, Limit::Idle),
    ("token", |r| r.idle_expires_at = None, None, Duration::from_secs(12 * 3600), Limit::Token),
    (
        "token with refresh gone",
        |r| (r.idle_expires_at, r.refresh) = (None, None),
        None,
        Duration::from_secs(12 * 3600),
        Limit::Token,
    ),
    (
        "absolute",
        |r| (r.idle_expires_at, r.token_expires_at) = (None, Timestamp::MAX),
        Some(YEAR),
        Duration::from_secs(7 * 86_400),
        Limit::Absolute,
    ),
    ("absolute before idle", |r| r.absolute_expires_at = START.plus(SECOND), Some(SECOND), SECOND, Limit::Absolute),
    (
        "idle before token",
        |r| r.token_expires_at = START.plus(30 * MINUTE),
        None,
        Duration::from_secs(1800),
        Limit::Idle,
    ),
];

/// R013, R014: every limit is closed: a millisecond before it the session lives, at it and after it not.
#[test]
fn limits_are_closed_to_the_millisecond() {
    for (name, spoil, idle, after, limit) in BOUNDARIES {
        let mut record = record();
        spoil(&mut record);
        let end = START.plus(after);
        let passed = |now| record.passed(now, idle, record.activity());
        assert_eq!(passed(end.minus(TICK)), None, "{name}: a millisecond before");
        assert_eq!(passed(end), Some(limit), "{name}: at the limit");
        assert_eq!(passed(end.plus(TICK)), Some(limit), "{name}: a millisecond after");
    }
}

/// R013, R015: the idle limit counts from the latest activity that is known, written down or not.
#[test]
fn activity_moves_the_idle_end_only() {
    let mut record = record();
    record.token_expires_at = record.absolute_expires_at;
    let mut now = START;
    let mut activity = record.activity();
    while record.passed(now, Some(30 * MINUTE), activity).is_none() {
        activity = Activity { seen_at: now, idle_expires_at: Some(now.plus(30 * MINUTE)) };
        now = now.plus(MINUTE);
    }
    // R014: activity every minute, and still dead at the absolute limit, to the minute.
    assert_eq!(now, record.absolute_expires_at);
    assert_eq!(record.passed(now, Some(30 * MINUTE), activity), Some(Limit::Absolute));
    assert_eq!(record.passed(now, Some(30 * MINUTE), record.activity()), Some(Limit::Absolute));
}

/// R013: lowering the idle limit acts at once, raising or removing it revives nothing.
#[test]
fn a_changed_idle_limit_only_shortens() {
    let record = record();
    for (after, idle, expected) in [
        (10 * MINUTE, Some(30 * MINUTE), None),
        (10 * MINUTE, Some(11 * MINUTE), None),
        (10 * MINUTE, Some(10 * MINUTE), Some(Limit::Idle)),
        (10 * MINUTE, Some(5 * MINUTE), Some(Limit::Idle)),
        (10 * MINUTE, Some(Duration::ZERO), Some(Limit::Idle)),
        (31 * MINUTE, Some(30 * MINUTE), Some(Limit::Idle)),
        (31 * MINUTE, Some(DAY), Some(Limit::Idle)),
        (31 * MINUTE, Some(Duration::MAX), Some(Limit::Idle)),
        (31 * MINUTE, None, Some(Limit::Idle)),
    ] {
        assert_eq!(record.passed(START.plus(after), idle, record.activity()), expected, "{after:?} {idle:?}");
    }
}

/// Clocks that a node may show after any accident (A15).
fn clocks(around: Timestamp) -> [Timestamp; 13] {
    [
        around,
        around.minus(TICK),
        around.plus(TICK),
        around.minus(HOUR),
        around.plus(HOUR),
        around.minus(YEAR),
        around.plus(YEAR),
        Timestamp::MIN,
        Timestamp::MAX,
        Timestamp::from_millis(-1),
        Timestamp::from_seconds(i64::MIN),
        Timestamp::from_seconds(i64::from(i32::MAX) + 1),
        Timestamp::from_seconds(i64::MAX),
    ]
}

/// R017, A15: a record found expired stays so whatever the clock, the limits and the activity say.
#[test]
fn expiry_is_terminal() {
    let mut record = record();
    record.expired_at = Some(START.plus(30 * MINUTE));
    let forever = Activity { seen_at: Timestamp::MAX, idle_expires_at: None };
    for now in clocks(START) {
        for idle in [None, Some(Duration::ZERO), Some(YEAR), Some(Duration::MAX)] {
            for activity in [record.activity(), forever] {
                assert!(record.passed(now, idle, activity).is_some(), "{now:?} {idle:?} {activity:?}");
            }
        }
    }
}

/// A15: no clock and no length makes a verdict panic, and the last instant of all is past every limit.
#[test]
fn absurd_times_are_survived() {
    for absolute in clocks(START) {
        for token in clocks(START) {
            let mut record = record();
            (record.absolute_expires_at, record.token_expires_at) = (absolute, token);
            record.created_at = Timestamp::MIN;
            for seen_at in clocks(START) {
                for idle in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
                    for now in clocks(START) {
                        let activity = Activity { seen_at, idle_expires_at: idle.map(|limit| seen_at.plus(limit)) };
                        let passed = record.passed(now, idle, activity);
                        assert_eq!(passed == Some(Limit::Absolute), now >= absolute);
                        assert!(now < Timestamp::MAX || passed.is_some());
                    }
                }
            }
        }
    }
}

/// R013: the span of a record says the same as its limits.
#[test]
fn only_the_idle_limit_can_be_passed_within_the_span() {
    let unused = Activity { seen_at: Timestamp::MAX, idle_expires_at: None };
    for created in clocks(START) {
        for (absolute, token) in clocks(START).into_iter().flat_map(|end| clocks(START).map(|token| (end, token))) {
            for expired_at in [None, Some(START)] {
                let mut record = record();
                record.created_at = created;
                (record.absolute_expires_at, record.token_expires_at) = (absolute, token);
                record.expired_at = expired_at;
                let span = record.times().span();
                for now in clocks(START)
                    .into_iter()
                    .chain([created.minus(MAX_CLOCK_SKEW), created.minus(MAX_CLOCK_SKEW).minus(TICK)])
                {
                    assert_eq!(span.contains(&now), record.passed(now, None, unused).is_none(), "{now:?} {record:?}");
                }
            }
        }
    }
}

#[test]
fn a_record_ends_at_its_first_end() {
    type Spoil = fn(&mut Record);
    let cases: [(&str, Spoil, Timestamp); 8] = [
        ("idle", |_| (), START.plus(30 * MINUTE)),
        ("absolute without idle", |r| r.idle_expires_at = None, START.plus(7 * DAY)),
        ("absolute before idle", |r| r.idle_expires_at = Some(START.plus(8 * DAY)), START.plus(7 * DAY)),
        ("token without refresh", |r| (r.idle_expires_at, r.refresh) = (None, None), START.plus(12 * HOUR)),
        ("idle before token without refresh", |r| r.refresh = None, START.plus(30 * MINUTE)),
        (
            "absolute before token without refresh",
            |r| (r.idle_expires_at, r.refresh, r.token_expires_at) = (None, None, Timestamp::MAX),
            START.plus(7 * DAY),
        ),
        ("found expired", |r| r.expired_at = Some(START.plus(MINUTE)), START.plus(MINUTE)),
        ("found expired late", |r| r.expired_at = Some(START.plus(HOUR)), START.plus(30 * MINUTE)),
    ];
    for (name, spoil, expected) in cases {
        let mut record = record();
        spoil(&mut record);
        assert_eq!(record.ends_at(), expected, "{name}");
    }
}

/// Another record that differs from the fixture in every field.
fn changed() -> Record {
    Record {
        id: id(2),
        slot: Slot(2),
        family: FamilyId([2; 16]),
        token: TokenHash([2; 32]),
        kind: "web".parse().unwrap(),
        subject: Some("user:2".parse().unwrap()),
        actor: Some("user:3".parse().unwrap()),
        permissions: Permissions::new(["read:profile"]).unwrap(),
        authentication: None,
        epoch: 5,
        remembered: true,
        licence: Some("licence".into()),
        created_at: START.plus(MINUTE),
        last_seen_at: START.plus(2 * MINUTE),
        idle_expires_at: Some(START.plus(32 * MINUTE)),
        token_expires_at: START.plus(13 * HOUR),
        absolute_expires_at: START.plus(8 * DAY),
        expired_at: Some(START.plus(3 * MINUTE)),
        client: Client::default(),
        context: entries("vault"),
        data: entries("basket"),
        refresh: None,
        confirmation: Some(KeyConfirmation::Jkt([2; 32])),
        revision: Revision(77),
    }
}

/// An update takes over what may change and nothing else. Destructured, so that a new field forces a decision here too.
#[test]
fn an_update_leaves_alone_what_never_changes() {
    let (before, change) = (record(), changed());
    let Record {
        id,
        slot,
        family,
        token,
        kind,
        subject,
        actor,
        permissions,
        authentication,
        epoch,
        remembered,
        licence,
        created_at,
        last_seen_at,
        idle_expires_at,
        token_expires_at,
        absolute_expires_at,
        expired_at,
        client,
        context,
        data,
        refresh,
        confirmation,
        revision,
    } = before.updated_from(&change);

    macro_rules! kept { ($($field:ident)*) => { $(
        assert_ne!(before.$field, change.$field, "the fixture must differ in {}", stringify!($field));
        assert_eq!($field, before.$field, "{} changed", stringify!($field));
    )* } }
    macro_rules! taken { ($($field:ident)*) => { $(
        assert_ne!(before.$field, change.$field, "the fixture must differ in {}", stringify!($field));
        assert_eq!($field, change.$field, "{} was not taken over", stringify!($field));
    )* } }
    kept!(id slot family token kind subject created_at absolute_expires_at refresh);
    taken!(actor permissions authentication epoch remembered licence last_seen_at idle_expires_at token_expires_at
           expired_at client context data confirmation);
    assert_eq!(revision, Revision(10));
}

/// R014, R017: an update neither passes the absolute limit, nor forgets that the record was found expired, nor takes
/// back activity that was written in between.
#[test]
fn an_update_moves_times_in_one_direction() {
    let before = record();
    let update = |change: fn(&mut Record)| {
        let mut changed = before.clone();
        change(&mut changed);
        before.updated_from(&changed)
    };
    for late in [before.absolute_expires_at, before.absolute_expires_at.plus(TICK), Timestamp::MAX] {
        let mut changed = before.clone();
        changed.token_expires_at = late;
        assert_eq!(before.updated_from(&changed).token_expires_at, before.absolute_expires_at);
    }
    let ended = update(|r| r.expired_at = Some(START.plus(SECOND)));
    assert_eq!(ended.expired_at, Some(START.plus(SECOND)));
    assert_eq!(ended.updated_from(&before).expired_at, Some(START.plus(SECOND)), "revived");
    assert_eq!(ended.updated_from(&changed()).expired_at, Some(START.plus(SECOND)), "moved");

    let touched =
        Record { last_seen_at: START.plus(MINUTE), idle_expires_at: Some(START.plus(31 * MINUTE)), ..record() };
    assert_eq!(touched.updated_from(&before).activity(), touched.activity());
    assert_eq!(before.updated_from(&touched).activity(), touched.activity());
    let shortened = update(|r| r.idle_expires_at = Some(START.plus(MINUTE)));
    assert_eq!(shortened.activity(), Activity { seen_at: START, idle_expires_at: Some(START.plus(MINUTE)) });
}

#[test]
fn revisions_do_not_wrap_round() {
    assert_eq!(Revision(1).next(), Revision(2));
    assert_eq!(Revision(u64::MAX).next(), Revision(u64::MAX));
}

/// Each row: the idle end on record, when the new activity was (against a record seen at second 100), its idle end, and
/// what comes of them.
#[test]
fn activity_moves_forward_end_by_end() {
    let at = |seconds: u64| START.plus(Duration::from_secs(seconds));
    for (held, seen, new, expected) in [
        (Some(700), 160, Some(760), (160, Some(760))),
        (Some(700), 100, Some(700), (100, Some(700))),
        // A late one under a longer limit, and a new one under a shorter limit: end by end.
        (Some(700), 40, Some(940), (100, Some(940))),
        (Some(700), 160, Some(460), (160, Some(700))),
        (Some(700), 40, Some(640), (100, Some(700))),
        // No end is later than any, unless it is of an activity that is not later.
        (Some(700), 101, None, (101, None)),
        (Some(700), 100, None, (100, Some(700))),
        (Some(700), 99, None, (100, Some(700))),
        (None, 160, Some(760), (160, None)),
        (None, 40, Some(640), (100, None)),
        (None, 160, None, (160, None)),
        (None, 40, None, (100, None)),
    ] {
        let activity = |seen, end: Option<u64>| Activity { seen_at: at(seen), idle_expires_at: end.map(at) };
        let moved = activity(100, held).moved_forward(activity(seen, new));
        assert_eq!(moved, activity(expected.0, expected.1), "{held:?}, {new:?} at {seen}");
    }
}

#[test]
fn texts_fit_up_to_their_limits() {
    type Put = fn(&mut Record, Box<str>);
    let texts: [(usize, Put); 3] = [
        (MAX_LABEL, |record, text| record.client.label = Some(text)),
        (MAX_NETWORK, |record, text| record.client.network = Some(text)),
        (MAX_LICENCE, |record, text| record.licence = Some(text)),
    ];
    assert!(record().fits());
    for (most, put) in texts {
        // Bytes count, not characters.
        for (text, fits) in [("x".repeat(most), true), ("x".repeat(most + 1), false), ("ü".repeat(most / 2 + 1), false)]
        {
            let mut record = record();
            put(&mut record, text.into());
            assert_eq!(record.fits(), fits, "{most}");
        }
    }
}

/// R017: a session that a wrong clock opened is not honoured as soon as the clock is right, however far ahead its ends
/// lie; one that another node opened a little ahead is. It has not ended either: see [`Limit::NotBefore`].
#[test]
fn what_was_opened_in_the_future_is_not_honoured() {
    for (ahead, refused) in
        [(Duration::ZERO, false), (MAX_CLOCK_SKEW, false), (MAX_CLOCK_SKEW + TICK, true), (YEAR, true)]
    {
        let now = START.minus(ahead);
        let record = record();
        assert_eq!(record.passed(now, None, record.activity()), refused.then_some(Limit::NotBefore), "{ahead:?}");
        assert_eq!(record.was_opened_ahead(now), refused, "{ahead:?}");
        assert!(!record.has_ended(now), "{ahead:?}");
    }
}

prop_compose! {
    /// A record whose ends fall anywhere within ten seconds, in any order.
    fn any_record()(
        absolute in 0..10_000_i64, token in 0..10_000_i64, idle in prop::option::of(0..10_000_i64),
        expired in prop::option::weighted(0.2, 0..10_000_i64), with_refresh: bool,
    ) -> Record {
        let fixture = record();
        Record {
            created_at: Timestamp::MIN,
            last_seen_at: Timestamp::MIN,
            absolute_expires_at: Timestamp::from_millis(absolute),
            token_expires_at: Timestamp::from_millis(token),
            idle_expires_at: idle.map(Timestamp::from_millis),
            expired_at: expired.map(Timestamp::from_millis),
            refresh: fixture.refresh.clone().filter(|_| with_refresh),
            ..fixture
        }
    }
}

prop_compose! {
    fn any_activity()(seen_at in 0..100_i64, idle in prop::option::of(0..200_i64)) -> Activity {
        Activity { seen_at: Timestamp::from_millis(seen_at), idle_expires_at: idle.map(Timestamp::from_millis) }
    }
}

proptest! {
    /// R013, R014: once over, over at every later instant.
    #[test]
    fn expiry_is_monotonic(record in any_record(), idle in prop::option::of(0..10_000_u64), a in 0..12_000_i64, b in 0..12_000_i64) {
        let idle = idle.map(Duration::from_millis);
        let (early, late) = (Timestamp::from_millis(a.min(b)), Timestamp::from_millis(a.max(b)));
        if record.passed(early, idle, record.activity()).is_some() {
            prop_assert!(record.passed(late, idle, record.activity()).is_some());
        }
    }

    /// Stores count and sweep by `ends_at`; requests are judged by `passed`. The two agree on what lives.
    #[test]
    fn ends_at_agrees_with_passed(record in any_record(), now in 0..12_000_i64) {
        let now = Timestamp::from_millis(now);
        let over = match record.passed(now, None, record.activity()) {
            None | Some(Limit::NotBefore) => false,
            Some(Limit::Token) => record.refresh.is_none(),
            Some(Limit::Idle | Limit::Absolute) => true,
        };
        // A clock behind `expired_at` is the one exception: dead for requests, not yet swept.
        prop_assume!(record.expired_at.is_none_or(|expired| expired <= now));
        prop_assert_eq!(over, now >= record.ends_at());
    }

    /// Moving forward takes nothing back, and doing it again changes nothing.
    #[test]
    fn activity_never_moves_back(held in any_activity(), new in any_activity()) {
        let moved = held.moved_forward(new);
        let ends = |activity: Activity| activity.idle_expires_at.unwrap_or(Timestamp::MAX);
        prop_assert!(moved.seen_at >= held.seen_at && moved.seen_at >= new.seen_at);
        prop_assert!(ends(moved) >= ends(held));
        prop_assert_eq!(moved.moved_forward(new), moved);
        prop_assert_eq!(held.moved_forward(held), held);
    }

    /// R014: no sequence of updates moves the absolute end.
    #[test]
    fn updates_never_reach_past_the_absolute_end(before in any_record(), changes in prop::collection::vec(any_record(), 1..5)) {
        let after = changes.iter().fold(before.clone(), |record, change| record.updated_from(change));
        let end = before.absolute_expires_at;
        prop_assert_eq!(after.absolute_expires_at, end);
        prop_assert!(after.ends_at() <= end);
        prop_assert_eq!(after.passed(end, None, after.activity()), Some(Limit::Absolute));
    }
}
