//! Derived keys: distinct, stable where they must outlast rotation, and good for what older ones made.

use std::collections::BTreeSet;

use wayleave_core::id::{IdPrefix, SessionId};
use wayleave_core::seal::Place;

use super::super::{MasterKeys, Purpose};
use super::{Counting, GOOD};

fn keys(text: &str) -> MasterKeys {
    MasterKeys::parse(text).unwrap()
}

/// R006: every purpose has a key of its own, and another master key has others.
#[test]
fn purposes_have_keys_of_their_own() {
    let ours = keys(GOOD);
    let theirs = keys(&GOOD.replace("d1e8", "d1e9"));
    let all: BTreeSet<[u8; 32]> = Purpose::ALL.iter().flat_map(|p| [*ours.derive(*p), *theirs.derive(*p)]).collect();
    assert_eq!(all.len(), 2 * Purpose::ALL.len());
    assert!(all.iter().all(|key| *key != [0; 32]));
}

/// The derivation is frozen: HKDF-SHA256 (RFC 5869) of the key with these labels, computed with another implementation.
#[test]
fn derivation_is_frozen() {
    let hex = |purpose| keys(GOOD).derive(purpose).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(Purpose::Sealing), SEALING);
    assert_eq!(hex(Purpose::Routing), ROUTING);
}

const SEALING: &str = "cc5b2fc5c3092fd7f5edb5f23fe54852e0319f922514aa308037239783361cf5";
const ROUTING: &str = "8c4b3fcb735fc302995387e05c2b53b638cef3def37ff8f3fe76812d6a9447a5";

/// R155: three generations; each opens what it sealed before, and the newest seals.
#[test]
fn old_envelopes_open_after_rotation() {
    let entropy = Counting::default();
    let place = Place { purpose: "test", name: b"1" };
    let mut current = keys(GOOD);
    let mut envelopes = Vec::new();
    for generation in 0..3_u8 {
        envelopes.push(current.key_ring().unwrap().seal(place, &[generation], [generation; 32]));
        current = current.rotated(&entropy).unwrap();
    }
    let ring = current.key_ring().unwrap();
    for (generation, envelope) in envelopes.iter().enumerate() {
        assert_eq!(ring.open(place, envelope).unwrap().as_slice(), [u8::try_from(generation).unwrap()]);
    }
    assert_eq!(ring.newest(), current.newest());
    assert!(keys(&GOOD.replace("d1e8", "d1e9")).key_ring().unwrap().open(place, &envelopes[0]).is_err());
}

/// Rotation signs nobody out, forgives nobody and forges nothing: slots, counters, the audit chain and references stay;
/// what is short-lived changes.
#[test]
fn what_must_last_lasts() {
    let entropy = Counting::default();
    let subject = "user:1".parse().unwrap();
    let before = keys(GOOD);
    let id = SessionId::new(IdPrefix::FALLBACK, [7; 16], before.routing().slot_of(&subject), &before.routing());
    let after = keys(GOOD).rotated(&entropy).unwrap().rotated(&entropy).unwrap();
    assert_eq!(id.slot(&after.routing()), after.routing().slot_of(&subject));
    for purpose in Purpose::ALL {
        let lasts = matches!(
            purpose,
            Purpose::Routing
                | Purpose::Counters
                | Purpose::Audit
                | Purpose::SessionReference
                | Purpose::Bus
                | Purpose::CredentialIdentifier
        );
        assert_eq!(*before.derive(purpose) == *after.derive(purpose), lasts, "{purpose:?}");
        assert_eq!(after.derive_all(purpose).count(), 3);
        assert!(after.derive_all(purpose).any(|key| *key == *before.derive(purpose)), "{purpose:?}");
    }
}
