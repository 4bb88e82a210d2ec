//! Which keys are taken, and what becomes of them in a rotation.

use wayleave_core::seal::Place;
use wayleave_testkit::entropy::SeededEntropy;

use super::*;

fn hex(seed: u64) -> String {
    let mut bytes = [0; KEY_BYTES];
    SeededEntropy::new(seed).fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A missing, short or repeated-byte key refuses to start.
#[test]
fn what_is_no_key_is_refused() {
    let good = hex(1);
    let table = [
        ("", InvalidKey::Missing),
        ("   ", InvalidKey::Missing),
        (&good[..127], InvalidKey::Length { characters: 127 }),
        (&good[..64], InvalidKey::Length { characters: 64 }),
        (&format!("{good}00"), InvalidKey::Length { characters: 130 }),
        (&format!("{}zz", &good[..126]), InvalidKey::NotHex),
        (&"00".repeat(64), InvalidKey::Repeated),
        (&"ab".repeat(64), InvalidKey::Repeated),
        (&"0123456789ab".repeat(11)[..128], InvalidKey::Repeated),
    ];
    for (text, expected) in table {
        assert_eq!(SessionKey::from_hex(text).unwrap_err(), expected, "{text}");
    }
    for text in [good.clone(), good.to_uppercase(), format!(" {good}\n"), "0123456789abcdef".repeat(8)] {
        assert!(SessionKey::from_hex(&text).is_ok(), "{text}");
    }
}

/// R062: keys are never printed.
#[test]
fn keys_show_nothing() {
    let keys = SessionKeys::from_hex(&hex(1)).unwrap();
    assert_eq!(format!("{keys:?}"), "SessionKeys { keys: 1, .. }");
    assert_eq!(format!("{:?}", SessionKey::from_hex(&hex(1)).unwrap()), "SessionKey(..)");
}

/// R155: three generations; the newest seals, all open, and what is gone opens nothing.
#[test]
fn rotation_keeps_what_was_sealed() {
    let place = Place { purpose: "test", name: b"1" };
    let list = |seeds: &[u64]| {
        let keys: Vec<_> = seeds.iter().map(|seed| hex(*seed)).collect();
        SessionKeys::from_hex(&keys.join(",")).unwrap()
    };
    let first = list(&[1]);
    let sealed = first.ring().unwrap().seal(place, b"x", [5; 32]);
    for rotated in [list(&[2, 1]), list(&[3, 2, 1])] {
        assert_eq!(rotated.ring().unwrap().open(place, &sealed).unwrap().as_slice(), b"x");
        assert_ne!(rotated.ring().unwrap().newest(), first.ring().unwrap().newest());
        assert_eq!(*rotated.routing_key_hex(), *first.routing_key_hex());
    }
    assert!(list(&[3, 2]).ring().unwrap().open(place, &sealed).is_err());
    let kept = list(&[3, 2]).with_routing_key(&first.routing_key_hex()).unwrap();
    assert_eq!(*kept.routing_key_hex(), *first.routing_key_hex());
}

#[test]
fn a_list_holds_every_key_once() {
    assert_eq!(SessionKeys::from_hex(&format!("{0},{0}", hex(1))).unwrap_err(), InvalidKey::Twice);
    assert_eq!(SessionKeys::from_hex(&format!("{},", hex(1))).unwrap_err(), InvalidKey::Missing);
    let many: Vec<_> = (0..17).map(hex).collect();
    assert_eq!(SessionKeys::from_hex(&many.join(",")).unwrap_err(), InvalidKey::TooMany);
    let keys = SessionKeys::from_hex(&hex(1)).unwrap();
    for routing in ["", "00", &"0".repeat(31), &"g".repeat(32), &"0".repeat(33)] {
        assert!(SessionKeys::from_hex(&hex(1)).unwrap().with_routing_key(routing).is_err(), "{routing}");
    }
    assert_eq!(keys.routing_key_hex().len(), 32);
}
