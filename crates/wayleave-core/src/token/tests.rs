//! Tests of tokens: what they are made of, what they show, and which texts are refused.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::subject::Subject;

const MANY: u32 = 100_000;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn routing() -> RoutingKey {
    RoutingKey::new([7; 16])
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn session(random: [u8; 32]) -> SessionToken {
    SessionToken::new(random, Slot(513), &routing())
}

fn payload(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(&text[PREFIX_LENGTH..]).unwrap()
}

/// How often each byte value was seen at one position.
struct Histogram([u32; 256]);

impl Histogram {
    fn new() -> Self {
        Self([0; 256])
    }

    fn count(&mut self, byte: u8) {
        self.0[usize::from(byte)] += 1;
    }

    /// Pearson's chi-square against the uniform distribution, with 255 degrees of freedom: mean 255, deviation 22.6.
    ///
    /// By the Wilson-Hilferty approximation a fair source leaves 125..=450 once in 10^12 times on either side, so the
    /// fewer than 100 positions judged here fail by chance less than once in 10^10 runs. One stuck bit gives
    /// [`MANY`], a value that never occurs gives at least `MANY / 256` = 390 on top of the mean, and a counter, which
    /// is more even than chance allows, gives nearly 0.
    fn check(&self, what: &str) {
        let total: u32 = self.0.iter().sum();
        let expected = f64::from(total) / 256.0;
        let chi_square: f64 = self.0.iter().map(|seen| (f64::from(*seen) - expected).powi(2) / expected).sum();
        assert!((125.0..=450.0).contains(&chi_square), "{what}: chi-square {chi_square:.0}");
    }
}

/// R001: 10^5 tokens from the operating system's generator have no duplicate, and all 32 random bytes reach the text
/// evenly distributed.
#[test]
fn tokens_carry_all_their_entropy() {
    let mut seen = HashSet::new();
    let mut positions: Vec<Histogram> = (0..RANDOM).map(|_| Histogram::new()).collect();
    for _ in 0..MANY {
        let text = session(random()).reveal().to_string();
        for (histogram, byte) in positions.iter_mut().zip(payload(&text)) {
            histogram.count(byte);
        }
        assert!(seen.insert(text), "a token came twice");
    }
    for (position, histogram) in positions.iter().enumerate() {
        histogram.check(&format!("random byte {position}"));
    }
}

/// R004: two tokens of one subject share no more than the prefix. Their characters agree as often as those of
/// unrelated texts do, and the routing bytes, which all lead to one slot, are uniform.
#[test]
fn tokens_of_one_slot_share_only_the_prefix() {
    let mut previous = session(random()).reveal();
    let mut agreements = [0_u32; TOKEN_LENGTH];
    let (mut high, mut low, mut steps) = (Histogram::new(), Histogram::new(), Histogram::new());
    for _ in 0..MANY {
        let text = session(random()).reveal();
        for (agree, (a, b)) in agreements.iter_mut().zip(previous.bytes().zip(text.bytes())) {
            *agree += u32::from(a == b);
        }
        let (before, now) = (payload(&previous), payload(&text));
        high.count(now[RANDOM]);
        low.count(now[RANDOM + 1]);
        steps.count(now[RANDOM + 1] ^ before[RANDOM + 1]);
        previous = text;
    }
    high.check("high routing byte");
    low.check("low routing byte");
    steps.check("difference of low routing bytes");
    assert_eq!(agreements[..PREFIX_LENGTH], [MANY; PREFIX_LENGTH]);
    for (position, agree) in agreements.iter().enumerate().skip(PREFIX_LENGTH) {
        // The last of the 51 characters carries 4 bits, every other one 6.
        let chance = if position == TOKEN_LENGTH - 1 { 1.0 / 16.0 } else { 1.0 / 64.0 };
        let mean = f64::from(MANY) * chance;
        // Seven deviations of the binomial distribution: less than once in 10^11 by chance.
        let slack = 7.0 * (mean * (1.0 - chance)).sqrt();
        assert!((f64::from(*agree) - mean).abs() <= slack, "character {position} agrees {agree} times");
    }
}

/// R004: the slot shows only to whoever holds the deployment's key.
#[test]
fn the_slot_needs_the_key() {
    let strange = RoutingKey::new([8; 16]);
    let (mut high, mut low) = (Histogram::new(), Histogram::new());
    for _ in 0..MANY {
        let token = SessionToken::parse(&session(random()).reveal()).unwrap();
        assert_eq!(token.key(&routing()).slot, Slot(513));
        let [a, b] = token.key(&strange).slot.0.to_be_bytes();
        high.count(a);
        low.count(b);
    }
    high.check("high byte of the slot under another key");
    low.check("low byte of the slot under another key");
}

/// One kind of token, by the name that the vectors give it.
struct Kind {
    name: &'static str,
    prefix: &'static str,
    make: fn([u8; 32], Slot, &RoutingKey) -> (String, TokenHash),
    read: fn(&str, &RoutingKey) -> Option<TokenKey>,
}

macro_rules! kind {
    ($name:literal, $token:ident) => {
        kind!($name, $token, |random, slot, routing| $token::new(random, slot, routing))
    };
    // Tokens without a slot take their routing bytes as they come; those of the vectors are a slot's all the same.
    ($name:literal, $token:ident unrouted) => {
        kind!($name, $token, |random: [u8; 32], slot, routing: &RoutingKey| {
            let mut whole = [0; 34];
            whole[..32].copy_from_slice(&random);
            whole[32..].copy_from_slice(&routing.mask(slot, &random));
            $token::new(whole)
        })
    };
    ($name:literal, $token:ident, $new:expr) => {
        Kind {
            name: $name,
            prefix: $token::PREFIX,
            make: |random, slot, routing| {
                let token = ($new)(random, slot, routing);
                (token.reveal().to_string(), token.hash())
            },
            read: |text, routing| {
                $token::parse(text).ok().map(|token| TokenKey { slot: token.0.slot(routing), hash: token.hash() })
            },
        }
    };
}

const KINDS: [Kind; 5] = [
    kind!("session", SessionToken),
    kind!("refresh", RefreshToken),
    kind!("service", ServiceToken unrouted),
    kind!("link", LinkToken unrouted),
    kind!("device", DeviceToken unrouted),
];

/// R006, A43: a token of one kind is never read as another, not even under the other's prefix, and never hashes like it.
#[test]
fn kinds_of_token_are_never_confused() {
    for random in [[0; 32], [0xff; 32], random(), random()] {
        let mut hashes = HashSet::new();
        for kind in &KINDS {
            let (text, hash) = (kind.make)(random, Slot(513), &routing());
            assert!(hashes.insert(hash), "{} hashes like another kind", kind.name);
            for other in &KINDS {
                let renamed = format!("{}{}", other.prefix, &text[PREFIX_LENGTH..]);
                let same = kind.name == other.name;
                for text in [&text, &renamed] {
                    let read = (other.read)(text, &routing()).is_some();
                    assert_eq!(read, same, "{} read as {}: {text}", kind.name, other.name);
                }
            }
        }
    }
}

/// R007, A10: every other character at every place, every deletion, insertion and swap is refused.
#[test]
fn every_small_change_is_refused() {
    for token in [session([0; 32]), session([0xff; 32]), session(random())] {
        let good = token.reveal().to_string();
        let mut tried = 0;
        let mut refuse = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(SessionToken::parse(&text).is_err(), "{text:?} for {good:?}");
            tried += 1;
        };
        for position in 0..good.len() {
            let mut changed = good.clone().into_bytes();
            for other in (0..=0x7f).filter(|other| *other != good.as_bytes()[position]) {
                changed[position] = other;
                refuse(&changed);
            }
            let mut shorter = good.clone().into_bytes();
            shorter.remove(position);
            refuse(&shorter);
            for more in [b'A', b'_', b'=', b' ', b'\n', 0] {
                let mut longer = good.clone().into_bytes();
                longer.insert(position, more);
                refuse(&longer);
            }
            let mut swapped = good.clone().into_bytes();
            swapped.swap(position, (position + 1) % TOKEN_LENGTH);
            if swapped != good.as_bytes() {
                refuse(&swapped);
            }
        }
        assert!(tried > TOKEN_LENGTH * (127 + 1 + 6));
    }
}

/// A change that also repairs the checksum makes another token: a CRC is no secret, so strength rests on the hash.
#[test]
fn a_forged_checksum_makes_another_token() {
    let token = session(random());
    let good = payload(&token.reveal());
    for bit in 0..BODY * 8 {
        let mut body = good[..BODY].to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        let sum = Raw::checksum("wl_", &body);
        let text = format!("wl_{}", URL_SAFE_NO_PAD.encode([body.as_slice(), &sum].concat()));
        let forged = SessionToken::parse(&text).unwrap();
        assert_ne!(forged.hash(), token.hash(), "bit {bit}");
        if bit >= RANDOM * 8 {
            assert_ne!(forged.key(&routing()).slot, Slot(513), "bit {bit}");
        }
    }
}

/// R007, A10: over-long texts are refused, also those that begin or end with a good token.
#[test]
fn over_long_texts_are_refused() {
    let good = session(random()).reveal().to_string();
    let mebibyte = 1 << 20;
    for text in [
        "A".repeat(mebibyte),
        "wl_".repeat(mebibyte / 3),
        format!("{good}{}", "A".repeat(mebibyte)),
        format!("{good}{}", "\0".repeat(mebibyte)),
        format!("{}{good}", " ".repeat(mebibyte)),
        "é".repeat(TOKEN_LENGTH / 2),
        format!("wl_{}", "\u{ff21}".repeat(17)),
    ] {
        assert_eq!(SessionToken::parse(&text).err(), Some(MalformedToken), "{} bytes", text.len());
        assert_eq!(RefreshToken::parse(&text).err(), Some(MalformedToken), "{} bytes", text.len());
    }
}

proptest! {
    /// A10: no text makes the parser panic, and what it takes, if anything, it writes back to the letter.
    #[test]
    fn arbitrary_texts_are_survived(text in "(wl_|rt_)?[A-Za-z0-9_-]{50,52}|\\PC{0,80}") {
        if let Ok(token) = SessionToken::parse(&text) {
            prop_assert!(*token.reveal() == text);
        }
        if let Ok(token) = RefreshToken::parse(&text) {
            prop_assert!(*token.reveal() == text);
        }
        let routing = RoutingKey::new([7; 16]);
        let key = SessionToken::parse(&text).map(|token| token.key(&routing));
        prop_assert_eq!(SessionToken::lookup(&text, &routing), key);
    }

    /// What is made is read again, with the same hash, slot and secret.
    #[test]
    fn tokens_round_trip(random: [u8; 32], slot: u16, key: [u8; 16]) {
        let routing = RoutingKey::new(key);
        let token = RefreshToken::new(random, Slot(slot), &routing);
        let text = token.reveal();
        prop_assert_eq!(text.len(), TOKEN_LENGTH);
        prop_assert!(text[PREFIX_LENGTH..].bytes().all(|byte| ALPHABET.contains(&byte)));
        let back = RefreshToken::parse(&text).unwrap();
        prop_assert_eq!(back.key(&routing), TokenKey { slot: Slot(slot), hash: token.hash() });
        prop_assert_eq!(back.secret(), &random);
        prop_assert_eq!(RefreshToken::lookup(&text, &routing), Ok(back.key(&routing)));
    }
}

/// R062, A75: a hash in a log cannot be looked up.
#[test]
fn a_hash_shows_two_bytes_in_debug() {
    assert_eq!(format!("{:?}", TokenHash([0xab; 32])), "TokenHash(abab..)");
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../spec/vectors/tokens.json")).unwrap()
}

fn rows<'a>(vectors: &'a Value, group: &str) -> &'a Vec<Value> {
    let rows = vectors[group].as_array().unwrap();
    assert!(!rows.is_empty(), "no {group} vectors");
    rows
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {row}"))
}

fn bytes<const N: usize>(row: &Value, field: &str) -> [u8; N] {
    let text = text(row, field);
    assert_eq!(text.len(), 2 * N, "{field} in {row}");
    std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
}

fn slot(row: &Value) -> Slot {
    Slot(row["slot"].as_u64().unwrap().try_into().unwrap())
}

fn kind(row: &Value) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == text(row, "kind")).unwrap_or_else(|| panic!("unknown kind in {row}"))
}

/// The format is frozen: random part, slot and key make exactly this text, and it hashes to this.
#[test]
fn frozen_vectors_hold() {
    let vectors = vectors();
    let rows = rows(&vectors, "positive");
    for row in rows {
        let routing = RoutingKey::new(bytes(row, "routing_key"));
        let hash = TokenHash(bytes(row, "sha256"));
        let (made, made_hash) = (kind(row).make)(bytes(row, "random"), slot(row), &routing);
        assert_eq!(made, text(row, "text"), "{row}");
        assert_eq!(made_hash.0, hash.0, "{row}");
        assert_eq!((kind(row).read)(text(row, "text"), &routing), Some(TokenKey { slot: slot(row), hash }), "{row}");
    }
    for kind in &KINDS {
        assert!(rows.iter().any(|row| text(row, "kind") == kind.name), "no vector of kind {}", kind.name);
    }
}

/// The slot of a subject is frozen: stores keep records by it.
#[test]
fn frozen_slots_hold() {
    for row in rows(&vectors(), "slots") {
        let subject: Subject = text(row, "subject").parse().unwrap();
        assert_eq!(RoutingKey::new(bytes(row, "routing_key")).slot_of(&subject), slot(row), "{row}");
    }
}

/// R006, R007, A10: what is malformed, of another kind, or good only to a lenient reader is refused.
#[test]
fn frozen_refusals_hold() {
    let vectors = vectors();
    for row in rows(&vectors, "negative").iter().chain(rows(&vectors, "hostile")) {
        assert_eq!((kind(row).read)(text(row, "text"), &routing()), None, "{row}");
    }
}
