//! The map and its limits.

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn data() -> SessionData {
    SessionData::new_at(HOUR, NOW)
}

/// R013: the boundary is closed.
#[test]
fn the_end_itself_is_too_late() {
    let data = data();
    assert!(!data.is_expired_at(NOW.plus(Duration::from_millis(3_599_999))));
    assert!(data.is_expired_at(NOW.plus(HOUR)));
}

/// A15: no lifetime is so long that it overflows, and none is extended for ever.
#[test]
fn absurd_lifetimes_are_cut() {
    let mut data = SessionData::new_at(Duration::MAX, NOW);
    let last = NOW.plus(SessionData::MAX_LIFETIME);
    assert_eq!(data.expires_at(), last);
    data.extend_at(Duration::MAX, NOW.plus(HOUR));
    assert_eq!(data.expires_at(), last);
    data.extend_at(HOUR, NOW);
    assert_eq!(data.expires_at(), NOW.plus(HOUR));
    SessionData::new(Duration::MAX).extend(Duration::MAX);
}

#[test]
fn typed_values_are_json() {
    let mut data = data();
    data.set_as("cart", &vec![1, 2, 3]).unwrap();
    assert_eq!(data.get("cart"), Some("[1,2,3]"));
    assert_eq!(data.get_as::<Vec<u8>>("cart").unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(data.get_as::<u8>("nothing").unwrap(), None);
    let error = data.get_as::<bool>("cart").unwrap_err();
    assert_eq!(error.to_string(), "the session's \"cart\" is not of the type it was asked as");
    assert_eq!(data.get("cart"), Some("[1,2,3]"), "a value that cannot be read stays");
    let nan = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(data.set_as("cart", &nan).is_err());
}

#[test]
fn limits_say_by_how_much() {
    let mut full = data();
    for n in 0..64 {
        full.set(format!("key{n:02}"), "v".repeat(251));
    }
    assert_eq!(full.check(), Ok(()));
    let mut keys = full.clone();
    keys.set("one-more", "");
    assert_eq!(keys.check(), Err(TooLarge::Keys { by: 1 }));
    full.set("key00", "v".repeat(260));
    assert_eq!(full.check(), Err(TooLarge::Bytes { by: 9 }));
    for key in [String::new(), "k".repeat(65)] {
        let mut data = data();
        data.set(key, "v");
        assert_eq!(data.check(), Err(TooLarge::Key));
    }
}

#[test]
fn succession_is_compare_and_set() {
    let fresh = data();
    let first = fresh.clone().succeed(None).unwrap();
    assert_eq!(first.revision(), Some(1));
    assert!(matches!(fresh.succeed(Some(&first)), Err(SaveError::Conflict)), "new data replaces nothing");
    let second = first.clone().succeed(Some(&first)).unwrap();
    assert_eq!(second.revision(), Some(2));
    assert!(matches!(first.clone().succeed(Some(&second)), Err(SaveError::Conflict)));
    assert!(matches!(first.succeed(None), Err(SaveError::Gone)), "what is gone stays gone");
}

#[test]
fn nothing_personal_is_printed() {
    let mut data = data();
    data.set("name", "Ann Example");
    let printed = format!("{data:?}");
    assert!(printed.contains("name") && !printed.contains("Ann"), "{printed}");
}
