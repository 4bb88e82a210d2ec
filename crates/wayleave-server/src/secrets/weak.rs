//! Keys that nobody drew at random: refused before they protect anything (R170, A80).

use sha2::{Digest as _, Sha256};

/// How a key betrays that it was not drawn at random. A random one shows each of these with a chance below 2^-60.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// One short pattern, again and again; all zeros is the shortest.
    #[error("it repeats one pattern")]
    Repeats,
    /// Every byte differs from the one before by the same step.
    #[error("its bytes run up or down")]
    Ascends,
    /// It is readable text.
    #[error("it is text, not random bytes")]
    Text,
    /// Too few different bytes.
    #[error("it has too few different bytes")]
    Monotone,
    /// The hash of a word that people take for keys.
    #[error("it is the hash of a common word")]
    KnownHash,
}

const WORDS: [&str; 14] = [
    "", "0", "admin", "changeme", "default", "example", "key", "letmein", "master", "password", "secret", "test",
    "wayleave", "12345678",
];

/// Why these bytes cannot be a secret, if they cannot.
pub(super) fn weakness(key: &[u8; 32]) -> Option<Weakness> {
    let repeats = |length: usize| key.iter().zip(key.iter().skip(length)).all(|(a, b)| a == b);
    if (1..=16).any(repeats) {
        return Some(Weakness::Repeats);
    }
    let step = |pair: &[u8]| match pair {
        [a, b] => b.wrapping_sub(*a),
        _ => 0,
    };
    let first = key.get(..2).map_or(0, step);
    if key.windows(2).all(|pair| step(pair) == first) {
        return Some(Weakness::Ascends);
    }
    if key.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        return Some(Weakness::Text);
    }
    let mut different = *key;
    different.sort_unstable();
    let different = 1 + different.windows(2).filter(|pair| step(pair) != 0).count();
    if different < 12 {
        return Some(Weakness::Monotone);
    }
    let is_hash = |word: &str| {
        <[u8; 32]>::from(Sha256::digest(word)) == *key || <[u8; 32]>::from(Sha256::digest(format!("{word}\n"))) == *key
    };
    WORDS.into_iter().any(is_hash).then_some(Weakness::KnownHash)
}
