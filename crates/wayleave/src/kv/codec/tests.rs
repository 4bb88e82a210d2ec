//! There and back, and everything that is not one of ours.

use std::time::Duration;

use proptest::prelude::*;
use wayleave_core::authentication::Method;

use super::*;

fn signed_in() -> SessionData {
    let mut data = SessionData::new_at(Duration::from_secs(3600), Timestamp::from_seconds(1_700_000_000));
    data.set("user_id", "123");
    data.set("", "");
    data.remove("");
    data.set_schema(7);
    data.set_handle(Some(Handle([9; 16])));
    data.set_principal(Some(Principal {
        subject: "user:123".parse().unwrap(),
        permissions: Permissions::new(["read:profile", "write:messages"]).unwrap(),
        authentication: Authentication {
            methods: Methods::only(Method::Password),
            at: Timestamp::from_seconds(1_700_000_000),
            level: Level::ONE,
        },
        epoch: 3,
        generation: 4,
        remembered: true,
    }));
    data.at_revision(Some(9))
}

#[test]
fn what_is_written_is_read() {
    for data in [signed_in(), SessionData::new_at(Duration::ZERO, Timestamp::MIN)] {
        assert_eq!(SessionData::from_bytes(&data.to_bytes()).unwrap(), data);
    }
}

/// R156: a byte less or more, and every cut, is refused as a whole.
#[test]
fn nothing_is_read_by_half() {
    let bytes = signed_in().to_bytes();
    for end in 0..bytes.len() {
        assert_eq!(SessionData::from_bytes(&bytes[..end]), Err(Undecodable), "{end}");
    }
    assert_eq!(SessionData::from_bytes(&[bytes.as_slice(), &[0]].concat()), Err(Undecodable));
    let other_version = [&[2], &bytes[1..]].concat();
    assert_eq!(SessionData::from_bytes(&other_version), Err(Undecodable));
}

/// One state has one form: keys come in order, once each, and flags that nobody knows are none of ours.
#[test]
fn only_the_canonical_form_is_read() {
    let mut data = SessionData::new_at(Duration::from_secs(1), Timestamp::MIN);
    data.set("a", "1");
    data.set("b", "2");
    let bytes = data.to_bytes();
    let swapped = bytes.iter().map(|byte| match byte {
        b'a' => b'b',
        b'b' => b'a',
        other => *other,
    });
    assert_eq!(SessionData::from_bytes(&swapped.collect::<Vec<_>>()), Err(Undecodable));
    let twice = bytes.iter().map(|byte| if *byte == b'b' { b'a' } else { *byte });
    assert_eq!(SessionData::from_bytes(&twice.collect::<Vec<_>>()), Err(Undecodable));
    let mut early = bytes.clone();
    early[9] = 0xff;
    assert_eq!(SessionData::from_bytes(&early), Err(Undecodable), "a time before all times");
    let mut flagged = bytes;
    flagged[29] = 8;
    assert_eq!(SessionData::from_bytes(&flagged), Err(Undecodable));
    flagged[29] = REMEMBERED;
    assert_eq!(SessionData::from_bytes(&flagged), Err(Undecodable));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(data) = SessionData::from_bytes(&bytes) {
            prop_assert_eq!(SessionData::from_bytes(&data.to_bytes()), Ok(data));
        }
    }

    #[test]
    fn any_values_survive(values in proptest::collection::btree_map("[a-z]{1,8}", ".{0,20}", 0..20)) {
        let mut data = SessionData::new_at(Duration::from_secs(1), Timestamp::MIN);
        for (key, value) in values {
            data.set(key, value);
        }
        prop_assert_eq!(SessionData::from_bytes(&data.to_bytes()).unwrap(), data);
    }
}
