//! Tests of envelopes: that they open in their place under their key, and nowhere else.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const PLACE: Place<'static> = Place { purpose: "session data", name: b"sess_1" };
const PLAIN: &[u8] = b"{\"cart\":[\"a\",\"b\"]}";

fn key(id: u32, byte: u8) -> SealingKey {
    SealingKey::new(KeyId(id), [byte; KEY])
}

fn ring(newest: SealingKey) -> KeyRing {
    KeyRing::new(newest, []).unwrap()
}

fn random() -> [u8; SALT] {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).unwrap();
    salt
}

/// Opens without looking at the commitment, as a naive reader would.
fn open_uncommitted(key: &SealingKey, place: Place<'_>, envelope: &[u8]) -> Result<Vec<u8>, CannotOpen> {
    let (header, rest) = envelope.split_at(HEADER);
    let (body, tag) = rest[COMMITMENT..].split_at(rest.len() - COMMITMENT - TAG);
    let Derived { cipher, nonce, .. } = derive(key, &header[HEADER - SALT..], &place.context())?;
    let mut plain = body.to_vec();
    let aad = [header, &place.context()].concat();
    cipher
        .decrypt_in_place_detached(Nonce::from_slice(&nonce), &aad, &mut plain, tag.into())
        .map_err(|_| CannotOpen)?;
    Ok(plain)
}

#[test]
fn what_is_sealed_opens_in_its_place() {
    let ring = ring(key(1, 1));
    for length in [0, 1, 15, 16, 17, 4096, 16 * 1024] {
        let plain = vec![0x5a; length];
        let envelope = ring.seal(PLACE, &plain, random());
        assert_eq!(envelope.len(), length + OVERHEAD);
        assert_eq!(*ring.open(PLACE, &envelope).unwrap(), plain);
        assert_eq!(key_id(&envelope), Ok(KeyId(1)));
    }
}

/// R152, R153: every envelope has a key, a nonce and a commitment of its own, so that the same plaintext twice has
/// nothing in common but version, algorithm and key id.
#[test]
fn every_envelope_has_keys_of_its_own() {
    let ring = ring(key(1, 1));
    let fixed = HEADER - SALT;
    let plain = [0; 64];
    let mut pieces = HashSet::new();
    let mut nonces = HashSet::new();
    for _ in 0..5_000 {
        let salt = random();
        let envelope = ring.seal(PLACE, &plain, salt);
        assert_eq!(envelope[..fixed], [1, 1, 0, 0, 0, 1]);
        // Every aligned 16 bytes: halves of salt and commitment, blocks of ciphertext, tag.
        for (at, piece) in envelope[fixed..].chunks(16).enumerate() {
            assert!(pieces.insert(piece.to_vec()), "piece {at} came twice");
        }
        assert!(nonces.insert(derive(&key(1, 1), &salt, &PLACE.context()).unwrap().nonce));
    }
}

/// R152: even under one and the same salt another place or another key gives another derived key.
#[test]
fn derived_keys_belong_to_key_and_place() {
    let salt = [9; SALT];
    let places = [
        PLACE,
        Place { name: b"sess_2", ..PLACE },
        Place { purpose: "session context", ..PLACE },
        Place { purpose: "", name: b"" },
    ];
    let mut bodies = HashSet::new();
    for (at, place) in places.into_iter().enumerate() {
        for byte in [1, 2] {
            let envelope = ring(key(1, byte)).seal(place, &[0; 32], salt);
            assert!(bodies.insert(envelope[HEADER..HEADER + COMMITMENT].to_vec()), "commitment of place {at}");
            assert!(bodies.insert(envelope[HEADER + COMMITMENT..][..32].to_vec()), "ciphertext of place {at}");
        }
    }
}

/// R153, A73: an envelope opens under the key that sealed it and under no other, whatever id the other bears or is
/// forged into the header.
#[test]
fn another_key_does_not_open() {
    let envelope = ring(key(1, 1)).seal(PLACE, PLAIN, random());
    let renamed = {
        let mut renamed = envelope.clone();
        renamed[2..6].copy_from_slice(&2_u32.to_be_bytes());
        renamed
    };
    for (name, ring, envelope) in [
        ("other key, same id", ring(key(1, 2)), &envelope),
        ("other key, other id", ring(key(2, 2)), &envelope),
        ("same key, other id", ring(key(2, 1)), &envelope),
        ("other key, id forged to match", ring(key(2, 2)), &renamed),
        ("same key, id forged to match", ring(key(2, 1)), &renamed),
        ("both keys, id forged to the other", KeyRing::new(key(1, 1), [key(2, 2)]).unwrap(), &renamed),
    ] {
        assert_eq!(ring.open(PLACE, envelope), Err(CannotOpen), "{name}");
    }
}

/// R153: the commitment alone keeps out a ciphertext that AES-GCM accepts.
#[test]
fn an_authentic_ciphertext_without_its_commitment_does_not_open() {
    let (ours, theirs) = (key(1, 1), key(1, 2));
    let salt = random();
    let foreign = derive(&theirs, &salt, &PLACE.context()).unwrap().commitment;
    let mut envelope = ring(key(1, 1)).seal(PLACE, PLAIN, salt);
    envelope[HEADER..HEADER + COMMITMENT].copy_from_slice(&foreign);
    assert_eq!(open_uncommitted(&ours, PLACE, &envelope).unwrap(), PLAIN, "the ciphertext must be authentic");
    for key in [ours, theirs] {
        assert_eq!(ring(key).open(PLACE, &envelope), Err(CannotOpen));
    }
}

/// R154, A73: every bit of header, commitment, ciphertext and tag counts.
#[test]
fn no_flipped_bit_opens() {
    // A ring that knows every id one flip away, under the same key, so that a changed id meets a key.
    let neighbours = (0..32).map(|bit| key(7 ^ (1 << bit), 1));
    let ring = KeyRing::new(key(7, 1), neighbours).unwrap();
    for plain in [&b""[..], b"x", PLAIN] {
        let envelope = ring.seal(PLACE, plain, random());
        for bit in 0..envelope.len() * 8 {
            let mut changed = envelope.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ring.open(PLACE, &changed), Err(CannotOpen), "bit {bit} of {} bytes", envelope.len());
        }
        assert!(ring.open(PLACE, &envelope).is_ok());
    }
}

/// R156, A73: no part of an envelope opens, nor one with something behind it.
#[test]
fn no_other_length_opens() {
    let ring = ring(key(1, 1));
    let envelope = ring.seal(PLACE, PLAIN, random());
    for length in 0..envelope.len() {
        assert_eq!(ring.open(PLACE, &envelope[..length]), Err(CannotOpen), "first {length}");
        assert_eq!(ring.open(PLACE, &envelope[envelope.len() - length..]), Err(CannotOpen), "last {length}");
    }
    for length in 0..OVERHEAD {
        assert_eq!(key_id(&envelope[..length]), Err(CannotOpen), "{length} bytes name no key");
    }
    for more in [&[0][..], &[1; 16], &envelope] {
        assert_eq!(ring.open(PLACE, &[&envelope, more].concat()), Err(CannotOpen));
    }
}

/// R154, A73: an envelope moved to another purpose or name does not open, and the two do not run into each other.
#[test]
fn an_envelope_opens_in_its_place_only() {
    let ring = ring(key(1, 1));
    let places = [
        ("ab", &b"c"[..]),
        ("a", b"bc"),
        ("abc", b""),
        ("", b"abc"),
        ("ab", b"C"),
        ("AB", b"c"),
        ("ab", b"c\0"),
        ("ab\0", b"c"),
        ("b", b"\0\0\0\x01b"),
        ("", b"\0\0\0\x02abc"),
        ("", b""),
    ];
    let salt = random();
    for (at, (purpose, name)) in places.into_iter().enumerate() {
        let envelope = ring.seal(Place { purpose, name }, PLAIN, salt);
        for (to, (purpose, name)) in places.into_iter().enumerate() {
            let opened = ring.open(Place { purpose, name }, &envelope);
            assert_eq!(opened.is_ok(), at == to, "sealed at {:?}, opened at {:?}", places[at], places[to]);
        }
    }
}

/// R155: over three generations the newest key seals, every key that is kept opens, and one that is not kept does not.
#[test]
fn rings_rotate_over_three_generations() {
    let generations = [
        KeyRing::new(key(1, 1), []).unwrap(),
        KeyRing::new(key(2, 2), [key(1, 1)]).unwrap(),
        KeyRing::new(key(3, 3), [key(2, 2), key(1, 1)]).unwrap(),
        KeyRing::new(key(4, 4), [key(3, 3), key(2, 2)]).unwrap(),
    ];
    let envelopes: Vec<_> = generations.iter().map(|ring| ring.seal(PLACE, PLAIN, random())).collect();
    let opens: Vec<Vec<bool>> = generations
        .iter()
        .map(|ring| envelopes.iter().map(|envelope| ring.open(PLACE, envelope).is_ok()).collect())
        .collect();
    assert_eq!(
        opens,
        [[true, false, false, false], [true, true, false, false], [true, true, true, false], [false, true, true, true],]
    );
    let newest = [KeyId(1), KeyId(2), KeyId(3), KeyId(4)];
    assert_eq!(generations.each_ref().map(KeyRing::newest), newest);
    for (envelope, id) in envelopes.iter().zip(newest) {
        assert_eq!(key_id(envelope), Ok(id));
    }
}

/// R155: an id names exactly one key.
#[test]
fn a_ring_refuses_two_keys_of_one_id() {
    assert_eq!(KeyRing::new(key(1, 1), [key(1, 2)]).err(), Some(DuplicateKey));
    assert_eq!(KeyRing::new(key(1, 1), [key(2, 2), key(3, 3), key(2, 4)]).err(), Some(DuplicateKey));
    assert!(KeyRing::new(key(1, 1), [key(2, 1)]).is_ok());
}

/// R156: the error has one value and one text, so it tells nothing of the reason.
#[test]
fn there_is_one_error() {
    assert_eq!(size_of::<CannotOpen>(), 0);
    assert_eq!(CannotOpen.to_string(), "cannot open the sealed value");
}

proptest! {
    /// A73: arbitrary bytes neither open nor make the opener panic, not even behind a good header.
    #[test]
    fn arbitrary_bytes_do_not_open(bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0..OVERHEAD) {
        let ring = ring(key(1, 1));
        prop_assert!(ring.open(PLACE, &bytes).is_err());
        let good = ring.seal(PLACE, PLAIN, [9; SALT]);
        let grafted = [&good[..keep], &bytes].concat();
        prop_assume!(grafted != *good);
        prop_assert!(ring.open(PLACE, &grafted).is_err());
    }

    /// Whatever is sealed comes back, at any place.
    #[test]
    fn envelopes_round_trip(
        plain in prop::collection::vec(any::<u8>(), 0..300), purpose in "\\PC{0,20}",
        name in prop::collection::vec(any::<u8>(), 0..40), salt: [u8; SALT],
    ) {
        let (ring, place) = (ring(key(1, 1)), Place { purpose: &purpose, name: &name });
        prop_assert_eq!(&*ring.open(place, &ring.seal(place, &plain, salt)).unwrap(), &plain);
    }
}

struct Vector {
    row: Value,
}

impl Vector {
    fn all(group: &str) -> Vec<Self> {
        let vectors: Value = serde_json::from_str(include_str!("../../../../spec/vectors/envelopes.json")).unwrap();
        let rows = vectors[group].as_array().unwrap();
        assert!(!rows.is_empty(), "no {group} vectors");
        rows.iter().map(|row| Self { row: row.clone() }).collect()
    }

    fn text(&self, field: &str) -> &str {
        self.row[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {}", self.row))
    }

    fn bytes(&self, field: &str) -> Vec<u8> {
        let digits = self.text(field).as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn key(&self) -> SealingKey {
        let id = self.row["key_id"].as_u64().unwrap().try_into().unwrap();
        SealingKey::new(KeyId(id), self.bytes("key").try_into().unwrap())
    }

    fn check(&self, check: impl FnOnce(&KeyRing, Place<'_>, &[u8])) {
        let name = self.bytes("name");
        let place = Place { purpose: self.text("purpose"), name: &name };
        check(&ring(self.key()), place, &self.bytes("envelope"));
    }
}

/// The format is frozen: key, salt, place and plaintext make exactly this envelope, and it opens to exactly that.
#[test]
fn frozen_vectors_hold() {
    for vector in Vector::all("positive") {
        vector.check(|ring, place, envelope| {
            let plain = vector.bytes("plaintext");
            assert_eq!(*ring.open(place, envelope).unwrap(), plain, "{}", vector.row);
            let salt = vector.bytes("salt").try_into().unwrap();
            assert_eq!(ring.seal(place, &plain, salt).as_ref(), envelope, "{}", vector.row);
        });
    }
}

/// R153, R154, R156, A73: frozen refusals, among them one ciphertext that is authentic under two keys.
#[test]
fn frozen_refusals_hold() {
    for vector in Vector::all("negative").into_iter().chain(Vector::all("hostile")) {
        vector.check(|ring, place, envelope| {
            assert_eq!(ring.open(place, envelope), Err(CannotOpen), "{}", vector.row);
        });
    }
    for vector in Vector::all("hostile") {
        vector.check(|_, place, envelope| {
            assert!(open_uncommitted(&vector.key(), place, envelope).is_ok(), "not hostile: {}", vector.row);
        });
    }
}

/// R157: nothing is compressed: an envelope is longer by the same, whatever is in it.
#[test]
fn an_envelope_tells_the_length_and_nothing_else() {
    let ring = ring(key(1, 1));
    let place = Place { purpose: "session data", name: b"one" };
    for length in [0, 1, 1000, 16 * 1024] {
        let zeros = ring.seal(place, &vec![0; length], random());
        let noise: Vec<u8> = (0..length).map(|at| random()[at % SALT]).collect();
        assert_eq!(zeros.len(), length + OVERHEAD);
        assert_eq!(ring.seal(place, &noise, random()).len(), length + OVERHEAD);
    }
}
