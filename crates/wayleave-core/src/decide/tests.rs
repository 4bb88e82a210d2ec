//! Tests of decisions: a table of everything that can speak against a session, and the order in which it does.

use super::*;
use crate::authentication::{Level, Method, Methods};
use crate::policy::{IdleLimit, Kinds, Remembered};
use crate::record::MAX_CLOCK_SKEW;
use crate::record::tests::{DAY, HOUR, MINUTE, SECOND, START, record};

const TICK: Duration = Duration::from_millis(1);
const KNOWN: Fingerprint = Fingerprint([1; 32]);
const OTHER: Fingerprint = Fingerprint([2; 32]);

struct Case {
    policy: Policy,
    timeout: SessionTimeout,
    record: Record,
    standing: Standing,
    fingerprint: Option<Fingerprint>,
    activity: Option<Activity>,
    now: Timestamp,
}

/// A session in good order, ten minutes old, under a policy that would let it be idle for half an hour.
fn good() -> Case {
    let standard = Kinds::default().policy(&"standard".parse().unwrap()).unwrap().clone();
    Case {
        policy: Policy {
            idle_limit: IdleLimit::Fixed(30 * MINUTE),
            ceiling: only("read:profile write:messages"),
            ..standard
        },
        timeout: SessionTimeout::default(),
        record: record(),
        standing: Standing { active: true, until: None, epoch: 4, ceiling: Ceiling::Any, licensed: true },
        fingerprint: Some(KNOWN),
        activity: None,
        now: START.plus(10 * MINUTE),
    }
}

fn run(case: &Case) -> Decision {
    let Case { policy, timeout, record, standing, fingerprint, activity, now } = case;
    let presented = Presented { fingerprint: *fingerprint, activity: activity.unwrap_or_else(|| record.activity()) };
    decide(policy, *timeout, record, standing, presented, *now)
}

fn names(text: &str) -> Permissions {
    Permissions::new(text.split_whitespace()).unwrap()
}

fn only(text: &str) -> Ceiling {
    Ceiling::Only(names(text))
}

fn valid(text: &str) -> Decision {
    Decision::Valid { permissions: names(text), drifted: false }
}

fn full() -> Decision {
    valid("read:profile write:messages")
}

fn idle() -> Decision {
    Decision::Expired(Limit::Idle)
}

type Change = fn(&mut Case);

fn check(rows: Vec<(&str, Change, Decision)>) {
    for (name, change, expected) in rows {
        let mut case = good();
        change(&mut case);
        assert_eq!(run(&case), expected, "{name}");
    }
}

fn authenticated(case: &mut Case, level: Level) {
    case.record.authentication = Some(Authentication { methods: Methods::only(Method::Password), at: START, level });
}

/// R020, R026: what the subject's standing and the kind's demands say against a session.
#[test]
fn standing_and_demands_are_checked_every_time() {
    let refused = |refusal| Decision::Refused(refusal);
    check(vec![
        ("in good order", |_| (), full()),
        ("disabled", |c| c.standing.active = false, refused(Refusal::Disabled)),
        ("epoch one ahead", |c| c.standing.epoch = 5, refused(Refusal::Superseded)),
        ("epoch far ahead", |c| c.standing.epoch = u64::MAX, refused(Refusal::Superseded)),
        ("record from a later epoch", |c| c.standing.epoch = 3, full()),
        ("licence not asked for", |c| c.standing.licensed = false, full()),
        ("licence asked for and held", |c| c.policy.requires_licence = true, full()),
        (
            "licence asked for and gone",
            |c| (c.policy.requires_licence, c.standing.licensed) = (true, false),
            refused(Refusal::Unlicensed),
        ),
        (
            "a licence in the record alone",
            |c| {
                (c.policy.requires_licence, c.standing.licensed) = (true, false);
                c.record.licence = Some("licence".into());
            },
            refused(Refusal::Unlicensed),
        ),
        ("level raised above the sign-in", |c| c.policy.level = Level::TWO, refused(Refusal::Level)),
        (
            "level two of two",
            |c| {
                c.policy.level = Level::TWO;
                authenticated(c, Level::TWO);
            },
            full(),
        ),
        (
            "level two of three",
            |c| {
                c.policy.level = Level::THREE;
                authenticated(c, Level::TWO);
            },
            refused(Refusal::Level),
        ),
        (
            "level three of two",
            |c| {
                c.policy.level = Level::TWO;
                authenticated(c, Level::THREE);
            },
            full(),
        ),
        ("a subject that never proved itself", |c| c.record.authentication = None, refused(Refusal::Level)),
    ]);
}

/// R026: a guest has no standing that could speak against it, and none that could give it anything.
#[test]
fn guests_have_no_standing() {
    fn guest(case: &mut Case) {
        (case.record.subject, case.record.authentication, case.record.epoch) = (None, None, 0);
    }
    check(vec![
        ("a guest", guest, full()),
        ("with a disabled standing", |c| (guest(c), c.standing.active = false).0, full()),
        ("with a later epoch", |c| (guest(c), c.standing.epoch = 9).0, full()),
        ("with the unrestricted standing", |c| (guest(c), c.standing = Standing::UNRESTRICTED).0, full()),
        ("its kind still limits it", |c| (guest(c), c.policy.ceiling = only("read:profile")).0, valid("read:profile")),
        ("and so does time", |c| (guest(c), c.now = START.plus(30 * MINUTE)).0, idle()),
        (
            "and its fingerprint",
            |c| {
                guest(c);
                (c.policy.fingerprint, c.fingerprint) = (FingerprintMode::Revoke, Some(OTHER));
            },
            Decision::Refused(Refusal::Fingerprint),
        ),
    ]);
}

/// R013, R014: limits apply, each to the millisecond, under the settings of this moment.
#[test]
fn limits_apply_under_the_settings_of_the_moment() {
    check(vec![
        ("a millisecond before the idle end", |c| c.now = START.plus(30 * MINUTE).minus(TICK), full()),
        ("at the idle end", |c| c.now = START.plus(30 * MINUTE), idle()),
        ("policy lowered below the age", |c| c.policy.idle_limit = IdleLimit::Fixed(10 * MINUTE), idle()),
        ("policy lowered, not yet passed", |c| c.policy.idle_limit = IdleLimit::Fixed(11 * MINUTE), full()),
        (
            "policy raised after the end",
            |c| {
                (c.policy.idle_limit, c.now) = (IdleLimit::Fixed(DAY), START.plus(30 * MINUTE));
            },
            idle(),
        ),
        (
            "limit removed after the end",
            |c| {
                (c.policy.idle_limit, c.now) = (IdleLimit::None, START.plus(30 * MINUTE));
            },
            idle(),
        ),
        (
            "administrators' timeout passed",
            |c| {
                c.policy.idle_limit = IdleLimit::SessionTimeout;
                c.timeout = SessionTimeout::from_minutes(10).unwrap();
            },
            idle(),
        ),
        (
            "administrators' timeout not passed",
            |c| {
                c.policy.idle_limit = IdleLimit::SessionTimeout;
                c.timeout = SessionTimeout::from_minutes(11).unwrap();
            },
            full(),
        ),
        (
            "administrators' timeout does not bind a fixed limit",
            |c| {
                c.timeout = SessionTimeout::from_minutes(5).unwrap();
            },
            full(),
        ),
        (
            "remembered sessions have their own limit",
            |c| {
                c.policy.idle_limit = IdleLimit::SessionTimeout;
                c.timeout = SessionTimeout::from_minutes(5).unwrap();
                c.policy.remembered = Some(Remembered { absolute_limit: 30 * DAY, idle_limit: 30 * DAY });
                c.record.remembered = true;
            },
            full(),
        ),
        (
            "only if they are remembered",
            |c| {
                c.policy.idle_limit = IdleLimit::SessionTimeout;
                c.timeout = SessionTimeout::from_minutes(5).unwrap();
                c.policy.remembered = Some(Remembered { absolute_limit: 30 * DAY, idle_limit: 30 * DAY });
            },
            idle(),
        ),
        (
            "activity that is not written down yet",
            |c| {
                let seen_at = START.plus(20 * MINUTE);
                c.activity = Some(Activity { seen_at, idle_expires_at: Some(seen_at.plus(30 * MINUTE)) });
                c.now = START.plus(49 * MINUTE);
            },
            full(),
        ),
        (
            "token ended",
            |c| (c.record.idle_expires_at, c.record.token_expires_at) = (None, c.now),
            Decision::Expired(Limit::Token),
        ),
        ("absolute end", |c| c.record.absolute_expires_at = c.now, Decision::Expired(Limit::Absolute)),
        ("opened by a node a little ahead", |c| c.now = START.minus(MAX_CLOCK_SKEW), full()),
        (
            "opened under a clock that was far ahead",
            |c| c.now = START.minus(MAX_CLOCK_SKEW).minus(TICK),
            Decision::Expired(Limit::NotBefore),
        ),
        (
            "found expired, clock set back an hour",
            |c| {
                (c.record.expired_at, c.now) = (Some(START.plus(HOUR)), START);
            },
            idle(),
        ),
        (
            "found expired, clock set back a year",
            |c| {
                (c.record.expired_at, c.now) = (Some(START.plus(HOUR)), START.minus(365 * DAY));
            },
            idle(),
        ),
    ]);
}

/// Everything wrong at once, and then one thing less at a time: what is answered is always the first in this order.
#[test]
fn reasons_have_an_order() {
    let reasons: [(Change, Change, Decision); 8] = [
        (
            |c| c.record.absolute_expires_at = c.now,
            |c| c.record.absolute_expires_at = Timestamp::MAX,
            Decision::Expired(Limit::Absolute),
        ),
        (
            |c| c.record.idle_expires_at = Some(c.now),
            |c| c.record.idle_expires_at = None,
            Decision::Expired(Limit::Idle),
        ),
        (
            |c| c.record.token_expires_at = c.now,
            |c| c.record.token_expires_at = Timestamp::MAX,
            Decision::Expired(Limit::Token),
        ),
        (|c| c.standing.active = false, |c| c.standing.active = true, Decision::Refused(Refusal::Disabled)),
        (|c| c.standing.epoch = 5, |c| c.standing.epoch = 4, Decision::Refused(Refusal::Superseded)),
        (
            |c| (c.policy.requires_licence, c.standing.licensed) = (true, false),
            |c| c.standing.licensed = true,
            Decision::Refused(Refusal::Unlicensed),
        ),
        (|c| c.policy.level = Level::TWO, |c| c.policy.level = Level::ONE, Decision::Refused(Refusal::Level)),
        (
            |c| (c.policy.fingerprint, c.fingerprint) = (FingerprintMode::Revoke, Some(OTHER)),
            |c| c.fingerprint = Some(KNOWN),
            Decision::Refused(Refusal::Fingerprint),
        ),
    ];
    let mut case = good();
    for (spoil, _, _) in &reasons {
        spoil(&mut case);
    }
    for (at, (_, repair, expected)) in reasons.iter().enumerate() {
        assert_eq!(run(&case), *expected, "reason {at}");
        repair(&mut case);
    }
    assert_eq!(run(&case), full());
}

/// R027: each mode against each pair of fingerprints. Two that are there and differ are a drift, and so is none where
/// the session ends by a drift.
#[test]
fn fingerprints_are_judged_by_mode() {
    use FingerprintMode::{Observe, Off, Revoke, StepUp};
    let drifted = Decision::Valid { permissions: names("read:profile write:messages"), drifted: true };
    let drift = (Some(KNOWN), Some(OTHER));
    let hidden = (Some(KNOWN), None);
    let no_drift = [(Some(KNOWN), Some(KNOWN)), (None, Some(KNOWN)), (None, Some(OTHER)), (None, None)];
    let mut rows = vec![
        (Off, drift, full()),
        (Observe, drift, drifted.clone()),
        (StepUp, drift, drifted),
        (Revoke, drift, Decision::Refused(Refusal::Fingerprint)),
        (Off, hidden, full()),
        (Observe, hidden, full()),
        (StepUp, hidden, full()),
        (Revoke, hidden, Decision::Refused(Refusal::Fingerprint)),
    ];
    for mode in [Off, Observe, StepUp, Revoke] {
        rows.extend(no_drift.map(|prints| (mode, prints, full())));
    }
    for (mode, prints, expected) in rows {
        let mut case = good();
        case.policy.fingerprint = mode;
        (case.record.client.fingerprint, case.fingerprint) = prints;
        assert_eq!(run(&case), expected, "{mode:?} {prints:?}");
    }
}

/// R026: over every combination of three names, a session may do exactly what record, kind and account all allow.
#[test]
fn permissions_are_the_intersection() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let subset = |bits: usize| {
        let names = NAMES.into_iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        Permissions::new(names.map(|(_, name)| name)).unwrap()
    };
    // Eight subsets, and no ceiling at all, which cuts nothing.
    let ceiling = |bits: usize| if bits == 8 { (Ceiling::Any, 7) } else { (Ceiling::Only(subset(bits)), bits) };
    let mut case = good();
    for granted in 0..8 {
        case.record.permissions = subset(granted);
        for kind in 0..9 {
            let (of_kind, kind) = ceiling(kind);
            case.policy.ceiling = of_kind;
            for account in 0..9 {
                let (of_account, account) = ceiling(account);
                case.standing.ceiling = of_account;
                let expected = Decision::Valid { permissions: subset(granted & kind & account), drifted: false };
                assert_eq!(run(&case), expected, "{granted:03b} {kind:03b} {account:03b}");
            }
        }
    }
}

/// R026: a demotion bites at the next request, and a promotion gives an open session nothing that it was not granted.
#[test]
fn a_demotion_bites_and_a_promotion_does_not() {
    check(vec![
        ("account demoted", |c| c.standing.ceiling = only("read:profile"), valid("read:profile")),
        ("account stripped", |c| c.standing.ceiling = Ceiling::Only(Permissions::none()), valid("")),
        ("account promoted", |c| c.standing.ceiling = only("read:profile write:messages admin"), full()),
        ("kind narrowed", |c| c.policy.ceiling = only("write:messages"), valid("write:messages")),
        ("kind widened", |c| c.policy.ceiling = Ceiling::Any, full()),
        ("nothing granted", |c| c.record.permissions = Permissions::none(), valid("")),
        ("granted above the kind", |c| c.record.permissions = names("admin read:profile"), valid("read:profile")),
    ]);
}

/// The same arguments give the same answer.
#[test]
fn decisions_are_pure() {
    let case = good();
    assert_eq!(run(&case), run(&case));
}

/// R025: a sign-in is fresh for less than the demanded time, to the millisecond, and a clock set back does not renew it.
#[test]
fn freshness_has_a_closed_boundary() {
    let five = 5 * MINUTE;
    let signed_in = record();
    let fresh_at = |now: Timestamp, most: Duration| fresh(&signed_in, most, now);
    for (name, now, most, expected) in [
        ("at once", START, five, true),
        ("a millisecond before", START.plus(five).minus(TICK), five, true),
        ("at the boundary", START.plus(five), five, false),
        ("a millisecond after", START.plus(five).plus(TICK), five, false),
        ("a year after", START.plus(365 * DAY), five, false),
        ("nothing is fresh enough", START, Duration::ZERO, false),
        ("a millisecond is", START, TICK, true),
        ("a node a second behind", START.minus(SECOND), five, true),
        ("clock set back by the demanded time", START.minus(five), five, false),
        ("clock set back an hour", START.minus(HOUR), five, false),
        ("clock set back a year", START.minus(365 * DAY), five, false),
        ("end of time", Timestamp::MAX, five, false),
        ("any sign-in will do", Timestamp::MAX, Duration::MAX, true),
    ] {
        let wanted = if expected { Ok(()) } else { Err(StepUp { max_age: most }) };
        assert_eq!(fresh_at(now, most), wanted, "{name}");
    }
    let guest = Record { authentication: None, ..record() };
    assert_eq!(fresh(&guest, Duration::MAX, START), Err(StepUp { max_age: Duration::MAX }));
}

/// R025: neither activity nor rotation makes a sign-in fresh.
#[test]
fn use_does_not_refresh_the_sign_in() {
    let used = Record { last_seen_at: START.plus(HOUR), created_at: START.plus(HOUR), ..record() };
    assert_eq!(fresh(&used, 5 * MINUTE, START.plus(HOUR)), Err(StepUp { max_age: 5 * MINUTE }));
}

/// R020: a standing that ends by itself ends at its very instant.
#[test]
fn a_standing_ends_by_itself() {
    check(vec![
        ("just before", |case| case.standing.until = Some(case.now.plus(TICK)), full()),
        ("at its end", |case| case.standing.until = Some(case.now), Decision::Refused(Refusal::Disabled)),
    ]);
}

/// R013, R017: what an earlier session timeout had ended stays ended under a longer one.
#[test]
fn a_longer_timeout_revives_nothing() {
    fn under_the_timeout(case: &mut Case, dead_before: Timestamp) {
        case.policy.idle_limit = IdleLimit::SessionTimeout;
        case.timeout = SessionTimeout::from_minutes(1440).unwrap().with_dead_before(dead_before);
        case.activity = Some(Activity { seen_at: START, idle_expires_at: None });
    }
    check(vec![
        ("active after", |case| under_the_timeout(case, START.minus(TICK)), full()),
        ("active before", |case| under_the_timeout(case, START), idle()),
        (
            "not under the timeout",
            |case| {
                under_the_timeout(case, START);
                case.policy.idle_limit = IdleLimit::Fixed(30 * MINUTE);
            },
            full(),
        ),
    ]);
}
