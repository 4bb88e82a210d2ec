//! Reading and writing single values: numbers, durations, sizes, paths, and options and lists of others.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Most elements of one list.
const MAX_LIST: usize = 256;

/// A value as it was written, before anything is known of what it should be.
#[derive(Clone, Debug)]
pub(super) enum Input<'a> {
    /// From the environment or the command line, where everything is text and lists are separated by commas.
    Word(&'a str),
    /// A string of the file.
    Text(&'a str),
    /// A whole number of the file.
    Integer(i64),
    /// `true` or `false` in the file.
    Boolean(bool),
    /// An array of the file.
    List(Vec<Input<'a>>),
    /// Something of the file that no key takes; its name.
    Other(&'static str),
}

impl Input<'_> {
    /// The text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Boolean(_) | Self::List(_) | Self::Other(_) => None,
        }
    }

    /// The value for a message.
    fn describe(&self) -> String {
        match self {
            Self::Word(text) | Self::Text(text) => {
                let short: String = text.chars().take(60).collect();
                let more = if short.len() < text.len() { "..." } else { "" };
                format!("`{}{more}`", short.escape_debug())
            }
            Self::Integer(number) => format!("`{number}`"),
            Self::Boolean(truth) => format!("`{truth}`"),
            Self::List(_) => "a list".into(),
            Self::Other(name) => (*name).into(),
        }
    }
}

/// Why a value was not taken.
#[derive(Debug)]
pub(super) struct Wrong {
    /// What was found, for a message.
    pub(super) found: String,
    /// What to do, where that is more than giving a valid value.
    pub(super) hint: Option<&'static str>,
}

impl Wrong {
    pub(super) fn found(input: &Input<'_>) -> Self {
        Self { found: input.describe(), hint: None }
    }

    pub(super) fn but(input: &Input<'_>, hint: &'static str) -> Self {
        Self { found: input.describe(), hint: Some(hint) }
    }
}

/// A type that a key can have.
pub(super) trait Value: Sized + Clone {
    /// What one is, to go after "is not": `a duration such as 30m`.
    fn form() -> String;
    /// Reads one.
    fn read(input: &Input<'_>) -> Result<Self, Wrong>;
    /// Writes it as TOML.
    fn write(&self) -> String;
    /// Writes it as in [`Self::form`] and on the command line: without quotes.
    fn plain(&self) -> String {
        let text = self.write();
        match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(bare) => bare.to_owned(),
            None => text,
        }
    }
}

/// Text as a TOML basic string.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads `90s`, `30m`, `12h`, `30d`, `1h30m` or a plain number of seconds. `None` for anything else and for more than
/// a hundred years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    const MOST: u64 = 100 * 366 * 86_400 * 1000;
    if text.is_empty() || text.len() > 24 {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let millis = text.parse::<u64>().ok()?.checked_mul(1000)?;
        return (millis <= MOST).then(|| Duration::from_millis(millis));
    }
    let (mut rest, mut total, mut larger) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(digits)?;
        let end = after.find(|character: char| character.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        // Units stand in falling order, each once, so that one length has few spellings.
        if millis >= larger {
            return None;
        }
        larger = millis;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
        rest = next;
    }
    (total <= MOST).then(|| Duration::from_millis(total))
}

/// Writes a duration in the largest unit that gives a whole number.
#[must_use]
pub fn write_duration(length: Duration) -> String {
    let millis = length.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis.is_multiple_of(size) && (millis != 0 || unit == "s") {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

impl Value for Duration {
    fn form() -> String {
        "a duration such as `90s`, `30m`, `12h` or `30d`".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        match input {
            Input::Word(text) | Input::Text(text) => parse_duration(text),
            Input::Integer(seconds) => u64::try_from(*seconds).ok().map(Self::from_secs),
            Input::Boolean(_) | Input::List(_) | Input::Other(_) => None,
        }
        .ok_or_else(|| Wrong::found(input))
    }

    fn write(&self) -> String {
        quote(&write_duration(*self))
    }
}

/// An amount of memory or data in bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many KiB.
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib * 1024)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In bytes, as the type that lengths have; the largest one where it does not fit.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Value for Size {
    fn form() -> String {
        "a size such as `64KiB` or `2MiB`".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        let parse = |text: &str| {
            let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
            let (number, unit) = text.split_at_checked(end)?;
            let factor = match unit.trim() {
                "" | "B" => 1,
                "KiB" => 1024,
                "MiB" => 1024 * 1024,
                "GiB" => 1024 * 1024 * 1024,
                _ => return None,
            };
            number.parse::<u64>().ok()?.checked_mul(factor)
        };
        let bytes = match input {
            Input::Word(text) | Input::Text(text) => parse(text),
            Input::Integer(bytes) => u64::try_from(*bytes).ok(),
            Input::Boolean(_) | Input::List(_) | Input::Other(_) => None,
        };
        bytes.map(Self).ok_or_else(|| Wrong::found(input))
    }

    fn write(&self) -> String {
        for (unit, size) in [("GiB", 1024 * 1024 * 1024), ("MiB", 1024 * 1024), ("KiB", 1024)] {
            if self.0.is_multiple_of(size) && self.0 != 0 {
                return quote(&format!("{}{unit}", self.0 / size));
            }
        }
        self.0.to_string()
    }
}

impl Value for u32 {
    fn form() -> String {
        "a whole number".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        match input {
            Input::Word(text) => text.parse().map_err(|_| Wrong::found(input)),
            Input::Integer(number) => Self::try_from(*number).map_err(|_| Wrong::found(input)),
            Input::Text(text) if text.parse::<Self>().is_ok() => Err(Wrong::but(input, "write it without quotes")),
            Input::Text(_) | Input::Boolean(_) | Input::List(_) | Input::Other(_) => Err(Wrong::found(input)),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn form() -> String {
        "`true` or `false`".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        match input {
            Input::Boolean(truth) => Ok(*truth),
            Input::Word("true") => Ok(true),
            Input::Word("false") => Ok(false),
            Input::Text("true" | "false") => Err(Wrong::but(input, "write it without quotes")),
            Input::Word(_) | Input::Text(_) | Input::Integer(_) | Input::List(_) | Input::Other(_) => {
                Err(Wrong::found(input))
            }
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    fn form() -> String {
        "a path".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        let path = input.text().filter(|text| !text.is_empty() && text.len() <= 4096 && !text.contains('\0'));
        path.map(Self::from).ok_or_else(|| Wrong::found(input))
    }

    fn write(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

/// Text of 1 to 255 visible ASCII characters, for names that go into tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Box<str>);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = super::types::InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(text.into())) } else { Err(super::types::InvalidValue) }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<T: Value> Value for Option<T> {
    fn form() -> String {
        format!("`none` or {}", T::form())
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        match input {
            Input::Word("none") | Input::Text("none") => Ok(None),
            Input::Word(_)
            | Input::Text(_)
            | Input::Integer(_)
            | Input::Boolean(_)
            | Input::List(_)
            | Input::Other(_) => T::read(input).map(Some),
        }
    }

    fn write(&self) -> String {
        self.as_ref().map_or_else(|| quote("none"), T::write)
    }
}

impl<T: Value> Value for Vec<T> {
    fn form() -> String {
        format!("a list, each element {}", T::form())
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        match input {
            Input::Word(text) if text.trim().is_empty() => Ok(Self::new()),
            Input::Word(text) if text.split(',').count() <= MAX_LIST => {
                text.split(',').map(|part| T::read(&Input::Word(part.trim()))).collect()
            }
            Input::List(list) if list.len() <= MAX_LIST => list.iter().map(T::read).collect(),
            Input::Text(_) => Err(Wrong::but(input, "put it in brackets: `[\"...\"]`")),
            Input::Word(_) | Input::List(_) => Err(Wrong::but(input, "a list has at most 256 elements")),
            Input::Integer(_) | Input::Boolean(_) | Input::Other(_) => Err(Wrong::found(input)),
        }
    }

    fn write(&self) -> String {
        format!("[{}]", self.iter().map(T::write).collect::<Vec<_>>().join(", "))
    }

    fn plain(&self) -> String {
        self.iter().map(T::plain).collect::<Vec<_>>().join(",")
    }
}
