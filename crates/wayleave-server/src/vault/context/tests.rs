//! What a record says of the vault, over time.

use wayleave_core::authentication::{Authentication, Level};
use wayleave_core::id::{FamilyId, IdPrefix, SessionId, Slot};
use wayleave_core::permission::Permissions;
use wayleave_core::record::{Client, Revision};
use wayleave_core::routing::RoutingKey;
use wayleave_core::token::TokenHash;

use super::*;

const UNUSED: Duration = Duration::from_secs(900);
const DAY: Duration = Duration::from_secs(86_400);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + seconds)
}

fn lifetime() -> Lifetime {
    Lifetime { unused: UNUSED, session_ends_at: at(0).plus(DAY) }
}

fn record(methods: Option<Methods>, vault: Option<VaultContext>) -> Record {
    let slot = Slot(0);
    let mut context = Entries::new();
    if let Some(vault) = vault {
        vault.put(&mut context).unwrap();
    }
    Record {
        id: SessionId::new(IdPrefix::FALLBACK, [1; 16], slot, &RoutingKey::new([0; 16])),
        slot,
        family: FamilyId([1; 16]),
        token: TokenHash([1; 32]),
        kind: "standard".parse().unwrap(),
        subject: Some("user:user_AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap()),
        actor: None,
        permissions: Permissions::none(),
        authentication: methods.map(|methods| Authentication { methods, at: at(0), level: Level::ONE }),
        epoch: 0,
        remembered: false,
        licence: None,
        created_at: at(0),
        last_seen_at: at(0),
        idle_expires_at: None,
        token_expires_at: at(0).plus(DAY),
        absolute_expires_at: at(0).plus(DAY),
        expired_at: None,
        client: Client::default(),
        context,
        data: Entries::new(),
        refresh: None,
        confirmation: None,
        revision: Revision::default(),
    }
}

fn opaque(vault: VaultContext) -> Record {
    record(Some(Methods::only(Method::Opaque)), Some(vault))
}

#[test]
fn only_a_sign_in_by_opaque_holds_a_vault() {
    let open = VaultContext::open(Right::Write, lifetime(), at(0));
    let lacking = |methods, vault| judge(&record(methods, vault), Right::Read, UNUSED, at(1)).unwrap_err();
    for (method, word) in [
        (Method::Password, "password"),
        (Method::ServiceKey, "service"),
        (Method::Ethereum, "wallet"),
        (Method::InternetComputer, "wallet"),
        (Method::ZeroKnowledge, "anonymous"),
        (Method::Link, "link"),
    ] {
        // Also where the record says that it is open: as after a proof by another method.
        for vault in [None, Some(open)] {
            let refusal = lacking(Some(Methods::only(method)), vault);
            assert_eq!(refusal, Refusal::Required(Lacking::Opaque(Some(method))), "{method:?}");
            assert_eq!(Lacking::Opaque(Some(method)).as_str(), word);
        }
    }
    assert_eq!(lacking(None, Some(open)), Refusal::Required(Lacking::Opaque(None)));
    assert_eq!(Lacking::Opaque(None).as_str(), "anonymous");
    assert_eq!(lacking(Some(Methods::only(Method::Opaque)), None), Refusal::Required(Lacking::Opening));
    assert_eq!(judge(&opaque(open), Right::Write, UNUSED, at(1)), Ok(open));
}

#[test]
fn reading_is_not_writing() {
    let read = opaque(VaultContext::open(Right::Read, lifetime(), at(0)));
    assert!(judge(&read, Right::Read, UNUSED, at(1)).is_ok());
    assert_eq!(judge(&read, Right::Write, UNUSED, at(1)), Err(Refusal::Required(Lacking::Write)));
    let write = opaque(VaultContext::open(Right::Write, lifetime(), at(0)));
    for right in [Right::Read, Right::Write] {
        assert!(judge(&write, right, UNUSED, at(1)).is_ok());
    }
}

/// The instant of the end itself is too late, as with every limit of a session.
#[test]
fn it_is_over_when_it_goes_unused() {
    let open = VaultContext::open(Right::Write, lifetime(), at(0));
    let ends = |context: VaultContext, seconds| context.end(UNUSED, at(seconds));
    assert_eq!((ends(open, 0), ends(open, 899), ends(open, 900)), (None, None, Some(End::Unused)));
    let used = open.used(lifetime(), at(600));
    assert_eq!((ends(used, 1499), ends(used, 1500)), (None, Some(End::Unused)));
    assert_eq!(used.used(lifetime(), at(10)), used, "an older use takes nothing away");
    let late = open.used(lifetime(), at(0).plus(DAY).minus(Duration::from_secs(60)));
    assert_eq!(late.ends_at, at(0).plus(DAY), "never past the session");
}

/// R017: what ended does not come back, and a wrong clock or a longer lifetime of the past keeps nothing open.
#[test]
fn no_clock_keeps_it_open() {
    let open = VaultContext::open(Right::Write, lifetime(), at(0));
    for ended in [End::Locked, End::Unused] {
        let over = VaultContext { ended: Some(ended), ..open };
        assert_eq!(over.end(UNUSED, at(1)), Some(ended));
        assert_eq!(judge(&opaque(over), Right::Read, UNUSED, at(1)), Err(Refusal::Over(ended)));
    }
    // Five minutes are what two clocks may lie apart.
    assert_eq!(open.end(UNUSED, at(-300)), None);
    assert_eq!(open.end(UNUSED, at(-301)), Some(End::Unused));
    assert_eq!(open.end(UNUSED / 3, at(299)), Some(End::Unused));
    assert_eq!(open.end(UNUSED / 3, at(300)), None);
}

#[test]
fn its_form_is_fixed() {
    let time = Timestamp::from_millis(0x0102_0304_0506);
    for (right, ended, bytes) in [
        (Right::Read, None, [1, 1, 0]),
        (Right::Write, Some(End::Locked), [1, 2, 1]),
        (Right::Write, Some(End::Unused), [1, 2, 2]),
    ] {
        let context = VaultContext { right, ended, opened_at: time, ends_at: Timestamp::MAX };
        let times = [0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0xe6, 0x77, 0xd2, 0x1f, 0xdb, 0xff];
        assert_eq!(context.encode().as_slice(), [bytes.as_slice(), &times].concat());
        assert_eq!(VaultContext::decode(&context.encode()), Some(context));
    }
    let good = VaultContext::open(Right::Read, lifetime(), at(0)).encode();
    for length in 0..good.len() {
        assert_eq!(VaultContext::decode(&good[..length]), None, "{length}");
    }
    assert_eq!(VaultContext::decode(&[good.as_slice(), &[0]].concat()), None);
    for (place, byte) in [(0, 0), (0, 2), (1, 0), (1, 3), (2, 3)] {
        let mut bad = good;
        bad[place] = byte;
        assert_eq!(VaultContext::decode(&bad), None, "{place}");
    }
}
