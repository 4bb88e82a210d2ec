//! Tests of stored hashes: the published vectors, hostile PHC strings, and passwords that differ in one byte.

use argon2::{AssociatedData, ParamsBuilder};

use super::*;

const CHEAP: Parameters = Parameters::dangerous_cheap_for_tests();

fn password(text: &str) -> Password {
    Password::new(text.to_owned()).unwrap()
}

/// RFC 9106 section 5.3, for the implementation underneath.
#[test]
fn argon2id_gives_the_tag_of_rfc_9106() {
    let params =
        ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(AssociatedData::new(&[4; 12]).unwrap()).build();
    let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params.unwrap()).unwrap();
    let mut tag = [0; 32];
    argon2.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

/// R093: reads and agrees with the reference implementation's vector.
#[test]
fn a_hash_of_the_reference_implementation_is_read() {
    let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let stored = StoredHash::decode(text.as_bytes()).unwrap();
    assert!(stored.matches(&password("password")).unwrap());
    assert!(!stored.matches(&password("passwore")).unwrap());
    assert_eq!(stored.encode().unwrap(), text);
    assert!(stored.is_outdated(Parameters::FLOOR), "its salt has 8 bytes");
}

/// R093: new hashes are PHC strings with at least the floor's parameters and 16 bytes of salt.
#[test]
fn a_new_hash_is_a_phc_string_at_the_floor() {
    let stored = StoredHash::make(&password("correct horse"), Parameters::FLOOR, [7; SALT]).unwrap();
    let text = stored.encode().unwrap();
    assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"), "{text}");
    let back = StoredHash::decode(text.as_bytes()).unwrap();
    assert!(back == stored && !back.is_outdated(Parameters::FLOOR));
    assert!(back.matches(&password("correct horse")).unwrap());
}

/// A55, R095: every one of these is a password of its own.
#[test]
fn passwords_differ_to_the_byte() {
    let long = "x".repeat(72);
    let longest = "y".repeat(1023);
    let pairs = [
        ("pass\0word", "pass\0wore"),
        ("pass\0word", "pass"),
        ("password ", "password"),
        (" password", "password"),
        ("password\n", "password"),
        ("Password", "password"),
        ("\u{e9}t\u{e9} 2026", "e\u{301}te\u{301} 2026"),
        ("\u{212b}ngstrom", "\u{c5}ngstrom"),
        (&format!("{long}a"), &format!("{long}b")),
        (&format!("{long}a"), &long),
        (&format!("{longest}a"), &format!("{longest}b")),
    ];
    for (one, other) in pairs {
        let stored = StoredHash::make(&password(one), CHEAP, [1; SALT]).unwrap();
        assert!(stored.matches(&password(one)).unwrap(), "{one:?}");
        assert!(!stored.matches(&password(other)).unwrap(), "{one:?} {other:?}");
        let stored = StoredHash::make(&password(other), CHEAP, [1; SALT]).unwrap();
        assert!(!stored.matches(&password(one)).unwrap(), "{other:?} {one:?}");
    }
}

/// A54: what a store hands back is bounded before anything is allocated for it.
#[test]
fn hostile_hashes_are_refused() {
    use UnreadableHash::{Algorithm as Other, Malformed, TooCostly};
    let salt = "BwcHBwcHBwcHBwcHBwcHBw";
    let hash = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let cases = [
        (format!("$argon2id$v=19$m=67108864,t=1,p=1${salt}${hash}"), TooCostly),
        (format!("$argon2id$v=19$m=4294967295,t=4294967295,p=4294967295${salt}${hash}"), TooCostly),
        (format!("$argon2id$v=19$m=19456,t=100000,p=1${salt}${hash}"), TooCostly),
        (format!("$argon2id$v=19$m=1048576,t=64,p=1${salt}${hash}"), TooCostly),
        (format!("$argon2id$v=19$m=19456,t=2,p=200${salt}${hash}"), TooCostly),
        (format!("$argon2id$v=19$m=4294967296,t=1,p=1${salt}${hash}"), Malformed),
        (format!("$argon2id$v=19$m=19456,t=0,p=1${salt}${hash}"), Malformed),
        (format!("$argon2id$v=19$m=19456,t=2${salt}${hash}"), Malformed),
        (format!("$argon2id$v=19$m=19456,t=2,p=1${salt}"), Malformed),
        (format!("$argon2id$v=19$m=19456,t=2,p=1$AAAA${hash}"), Malformed),
        (format!("$argon2id$v=19$m=19456,t=2,p=1${salt}$AAAAAAAAAAAAAA"), Malformed),
        (format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${hash}$more"), Malformed),
        (format!("$argon2id$v=16$m=19456,t=2,p=1${salt}${hash}"), Other),
        (format!("$argon2i$v=19$m=19456,t=2,p=1${salt}${hash}"), Other),
        (format!("$argon2d$v=19$m=19456,t=2,p=1${salt}${hash}"), Other),
        (format!("$argon2id$v=19$m=19456,t=2,p=1,keyid=AAAA${salt}${hash}"), Other),
        ("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(), Malformed),
        ("".into(), Malformed),
        ("hunter2".into(), Malformed),
        ("$".repeat(10_000), Malformed),
    ];
    for (text, expected) in cases {
        assert_eq!(StoredHash::decode(text.as_bytes()).unwrap_err(), expected, "{text}");
    }
    assert_eq!(StoredHash::decode(&[0xff; 20]).unwrap_err(), Malformed);
}

/// R094: what falls short of the target is made again, what exceeds it is left alone.
#[test]
fn outdated_is_what_falls_short() {
    let at = |memory_kib, passes| Parameters::bounded(Cost { memory_kib, passes, lanes: 1 }).unwrap();
    let cases = [
        (at(4096, 3), true),
        (at(19_456, 1), true),
        (at(19_456, 2), false),
        (at(65_536, 2), false),
        (at(19_456, 3), false),
    ];
    for (parameters, expected) in cases {
        let stored = StoredHash::decoy(parameters, [1; SALT], [1; OUTPUT]);
        assert_eq!(stored.is_outdated(Parameters::FLOOR), expected, "{parameters:?}");
    }
}

#[test]
fn a_hash_is_not_printed() {
    let stored = StoredHash::decoy(CHEAP, [0xAB; SALT], [0xCD; OUTPUT]);
    let shown = format!("{stored:?}");
    assert!(!shown.contains("171") && !shown.contains("205"), "{shown}");
}
