//! Derived keys: distinct, stable where they must outlast rotation, and good for what older ones made.

use std::collections::BTreeSet;

use wayleave_core::id::{IdPrefix, SessionId};
use wayleave_core::seal::{KeyId, Place};

use super::super::{KeyProblem, MasterKeys, Purpose};
use super::{Counting, GOOD};

fn keys(text: &str) -> MasterKeys {
    MasterKeys::parse(text).unwrap()
}

fn rotated(keys: MasterKeys, entropy: &Counting) -> MasterKeys {
    keys.announced(entropy).unwrap().advanced()
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
        current = rotated(current, &entropy);
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
    let after = rotated(rotated(keys(GOOD), &entropy), &entropy);
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
                | Purpose::Fingerprint
        );
        assert_eq!(*before.derive(purpose) == *after.derive(purpose), lasts, "{purpose:?}");
        assert_eq!(after.derive_all(purpose).count(), 3);
        assert!(after.derive_all(purpose).any(|key| *key == *before.derive(purpose)), "{purpose:?}");
    }
}

/// R155: a key that is announced opens what is sealed with it elsewhere, seals nothing here, and changes nothing that lasts,
/// however often that is asked for, and however the file is read.
#[test]
fn a_key_is_known_before_it_seals() {
    let entropy = Counting::default();
    let place = Place { purpose: "test", name: b"1" };
    let before = keys(GOOD);
    let announced = keys(&keys(GOOD).announced(&entropy).unwrap().announced(&entropy).unwrap().text());
    assert_eq!((announced.next(), announced.newest()), (Some(KeyId(2)), before.newest()));
    assert_eq!(announced.ids().collect::<Vec<_>>(), [KeyId(2), KeyId(1)]);
    let advanced = keys(&keys(&announced.text()).advanced().text());
    assert_eq!((advanced.next(), advanced.newest()), (None, KeyId(2)));
    for purpose in Purpose::ALL {
        assert_eq!(*announced.derive(purpose), *before.derive(purpose), "{purpose:?}");
        assert!(announced.derive_all(purpose).any(|key| *key == *advanced.derive(purpose)), "{purpose:?}");
    }
    let [one, two] = [&announced, &advanced].map(|keys| keys.key_ring().unwrap());
    assert_eq!((one.newest(), two.newest()), (KeyId(1), KeyId(2)));
    let envelope = two.seal(place, b"new", [1; 32]);
    assert_eq!(one.open(place, &envelope).unwrap().as_slice(), b"new");
    assert!(before.key_ring().unwrap().open(place, &envelope).is_err());
    let third = advanced.advanced();
    assert_eq!(third.newest(), KeyId(2), "there is nothing to go on to");
}

/// `next` stands before one key, and first.
#[test]
fn the_next_key_comes_first() {
    let [one, two, three] = ["d1e8", "d1e9", "d1ea"].map(|end| GOOD.replace("d1e8", end).trim().to_owned());
    let read = |text: &str| MasterKeys::parse(text).map(|keys| keys.next());
    assert_eq!(read(&format!("next 2 {two}\n1 {one}")).unwrap(), Some(KeyId(2)));
    assert_eq!(read(&format!("next\t2 {two}\n1 {one}")).unwrap(), Some(KeyId(2)));
    for (text, line, problem) in [
        (format!("1 {one}\nnext 2 {two}"), Some(2), KeyProblem::NextNotFirst),
        (format!("next 3 {three}\nnext 2 {two}\n1 {one}"), Some(2), KeyProblem::NextNotFirst),
        (format!("next 1 {two}\n1 {one}"), Some(2), KeyProblem::Duplicate),
        (format!("next 2 {two}"), None, KeyProblem::Malformed),
        (format!("next {two}\n1 {one}"), Some(1), KeyProblem::NoNumber),
        (format!("next2 {two}\n1 {one}"), Some(1), KeyProblem::NoNumber),
    ] {
        assert_eq!(read(&text), Err((line, problem)), "{text}");
    }
}
