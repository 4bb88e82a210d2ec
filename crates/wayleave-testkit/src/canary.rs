//! Secrets that can be recognised wherever they leak: makes them, and finds them in logs, bodies and files, also when
//! something encoded them on the way.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use wayleave_core::ports::Entropy as _;

use crate::SeededEntropy;

/// Shortest secret that a search accepts, in bytes: anything shorter turns up by chance.
pub const MIN_SECRET: usize = 8;

/// How a secret was written where it was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// As it is.
    Raw,
    /// Two hexadecimal digits a byte, in either case.
    Hex,
    /// Base64 with `+` and `/`, alone or inside a longer encoded text.
    Base64,
    /// Base64 with `-` and `_`, alone or inside a longer encoded text.
    Base64Url,
    /// With `%xx` for some or all of its bytes, or `+` for blanks.
    Percent,
    /// With backslash escapes as in JSON and Rust's `Debug`.
    Escaped,
    /// Decimal numbers with commas between, as `Debug` writes byte slices.
    Decimal,
}

/// Where a secret was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// How it was written.
    pub encoding: Encoding,
    /// The first byte of it in the haystack.
    pub at: usize,
}

/// A secret to look for.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary {
    label: String,
    secret: Vec<u8>,
}

impl Canary {
    /// A password-like secret that every encoding changes: letters, blanks, quotes, a slash and a letter outside
    /// ASCII, 20 characters of them drawn from `seed`.
    #[must_use]
    pub fn password(label: &str, seed: u64) -> Self {
        Self::new(label, format!("cänary \"/\\{}+ {label}", hex(&draw::<10>(seed))).into_bytes())
    }

    /// A key-like secret: 32 bytes drawn from `seed`.
    #[must_use]
    pub fn key(label: &str, seed: u64) -> Self {
        Self::new(label, draw::<32>(seed).to_vec())
    }

    /// A secret that came from elsewhere, such as a token that the product made.
    ///
    /// # Errors
    /// [`TooShort`] below [`MIN_SECRET`] bytes.
    pub fn of(label: &str, secret: &[u8]) -> Result<Self, TooShort> {
        if secret.len() < MIN_SECRET { Err(TooShort) } else { Ok(Self::new(label, secret.to_vec())) }
    }

    fn new(label: &str, secret: Vec<u8>) -> Self {
        Self { label: label.into(), secret }
    }

    /// What it is the secret of, for messages.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The secret.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// The secret as text, for passwords.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.secret).ok()
    }

    /// Everywhere that `haystack` holds the secret, in the order of [`Encoding`]. A place that reads the same in two
    /// encodings is reported for the first of them.
    #[must_use]
    pub fn find_in(&self, haystack: &[u8]) -> Vec<Sighting> {
        Haystack::new(haystack).find(self)
    }
}

/// Something to look through for many secrets: what decoding takes is done once.
pub struct Haystack<'a> {
    raw: &'a [u8],
    lower: Vec<u8>,
    percent: [Decoded; 2],
    unescaped: Vec<Decoded>,
}

impl<'a> Haystack<'a> {
    /// Makes `haystack` ready to be searched.
    #[must_use]
    pub fn new(haystack: &'a [u8]) -> Self {
        let mut unescaped = Vec::new();
        let mut latest = Decoded::plain(haystack);
        // A log line that is JSON may quote a body that is JSON.
        for _ in 0..3 {
            latest = latest.unescape();
            unescaped.push(latest.clone());
        }
        Self {
            raw: haystack,
            lower: haystack.to_ascii_lowercase(),
            percent: [b'+', b' '].map(|blank| Decoded::percent(haystack, blank)),
            unescaped,
        }
    }

    /// Everywhere that it holds the secret of `canary`; see [`Canary::find_in`].
    #[must_use]
    pub fn find(&self, canary: &Canary) -> Vec<Sighting> {
        let secret = canary.secret();
        let mut found = Vec::new();
        let mut add = |encoding, places: Vec<usize>| {
            for at in places {
                if !found.iter().any(|sighting: &Sighting| sighting.at == at) {
                    found.push(Sighting { encoding, at });
                }
            }
        };
        add(Encoding::Raw, positions(self.raw, secret));
        add(Encoding::Hex, positions(&self.lower, hex(secret).as_bytes()));
        for (encoding, alphabet) in [(Encoding::Base64, alphabet::STANDARD), (Encoding::Base64Url, alphabet::URL_SAFE)]
        {
            let engine = GeneralPurpose::new(&alphabet, NO_PAD);
            for needle in (0..3).map(|shift| base64_core(&engine, secret, shift)) {
                add(encoding, positions(self.raw, needle.as_bytes()));
            }
        }
        for plain in &self.percent {
            add(Encoding::Percent, plain.positions(secret));
        }
        for plain in &self.unescaped {
            add(Encoding::Escaped, plain.positions(secret));
        }
        for separator in [", ", ","] {
            let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
            add(Encoding::Decimal, positions(self.raw, numbers.join(separator).as_bytes()));
        }
        found
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canary").field("label", &self.label).finish_non_exhaustive()
    }
}

/// A secret is too short to be looked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TooShort;

/// A haystack after decoding, with the place in the original that each byte came from.
#[derive(Clone)]
struct Decoded {
    bytes: Vec<u8>,
    origins: Vec<usize>,
}

impl Decoded {
    fn plain(haystack: &[u8]) -> Self {
        Self { bytes: haystack.to_vec(), origins: (0..haystack.len()).collect() }
    }

    fn empty() -> Self {
        Self { bytes: Vec::new(), origins: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8], origin: usize) {
        self.bytes.extend_from_slice(bytes);
        self.origins.extend(std::iter::repeat_n(origin, bytes.len()));
    }

    fn percent(haystack: &[u8], blank: u8) -> Self {
        let mut decoded = Self::empty();
        let mut rest = haystack;
        while let Some((first, tail)) = rest.split_first() {
            let origin = haystack.len() - rest.len();
            rest = match (rest, tail) {
                ([b'%', high, low, after @ ..], _) if let Some(byte) = byte(*high, *low) => {
                    decoded.push(&[byte], origin);
                    after
                }
                (_, tail) => {
                    decoded.push(&[if *first == blank { b' ' } else { *first }], origin);
                    tail
                }
            };
        }
        decoded
    }

    fn unescape(&self) -> Self {
        let mut decoded = Self::empty();
        let mut rest = self.bytes.as_slice();
        while let Some((first, tail)) = rest.split_first() {
            let origin = self.bytes.len() - rest.len();
            let (bytes, after) = escape(rest).unwrap_or_else(|| (vec![*first], tail));
            decoded.push(&bytes, self.origins.get(origin).copied().unwrap_or(origin));
            rest = after;
        }
        decoded
    }

    fn positions(&self, needle: &[u8]) -> Vec<usize> {
        positions(&self.bytes, needle).into_iter().filter_map(|at| self.origins.get(at).copied()).collect()
    }
}

/// Reads one backslash escape at the beginning of `text`: what it stands for, and what follows.
fn escape(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (letter, rest) = text.strip_prefix(b"\\")?.split_first()?;
    let single = |byte| Some((vec![byte], rest));
    match letter {
        b'"' | b'\'' | b'\\' | b'/' => single(*letter),
        b'n' => single(b'\n'),
        b'r' => single(b'\r'),
        b't' => single(b'\t'),
        b'0' => single(0),
        b'b' => single(8),
        b'f' => single(12),
        b'x' => {
            let (high, low, rest) = match rest {
                [high, low, rest @ ..] => (high, low, rest),
                _ => return None,
            };
            Some((vec![byte(*high, *low)?], rest))
        }
        b'u' if rest.starts_with(b"{") => {
            let end = rest.iter().position(|byte| *byte == b'}')?;
            let code = std::str::from_utf8(rest.get(1..end)?).ok()?;
            let found = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
            Some((found.to_string().into_bytes(), rest.get(end + 1..)?))
        }
        b'u' => {
            let (unit, rest) = utf16_unit(rest)?;
            let pair = rest.strip_prefix(b"\\u").and_then(utf16_unit);
            if let Some((low, after)) = pair
                && let Some(Ok(found)) = char::decode_utf16([unit, low]).next()
                && found.len_utf16() == 2
            {
                return Some((found.to_string().into_bytes(), after));
            }
            Some((char::from_u32(u32::from(unit))?.to_string().into_bytes(), rest))
        }
        _ => None,
    }
}

fn utf16_unit(text: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    Some((u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, rest))
}

fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// The characters that `secret` alone determines when it is encoded `shift` bytes into a longer text.
fn base64_core(engine: &GeneralPurpose, secret: &[u8], shift: usize) -> String {
    let padded = [vec![0; shift], secret.to_vec()].concat();
    let encoded = engine.encode(&padded);
    let first = (shift * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    encoded.get(first..end).unwrap_or_default().into()
}

fn positions(haystack: &[u8], needle: &[u8]) -> Vec<usize> {
    if needle.is_empty() {
        return Vec::new();
    }
    let finder = memchr::memmem::Finder::new(needle);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = haystack.get(from..).and_then(|rest| finder.find(rest)) {
        found.push(from + at);
        from += at + 1;
    }
    found
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn draw<const N: usize>(seed: u64) -> [u8; N] {
    let mut bytes = [0; N];
    // A fresh seeded generator does not fail.
    let _ = SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
