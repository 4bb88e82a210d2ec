//! Replaces what differs from run to run by placeholders, in the README and in the output alike.

/// One kind of changing text: how long it is at the start of the rest of a line, and what stands in for it.
type Mask = fn(&str) -> Option<(usize, String)>;

/// In the order in which they are tried.
const MASKS: &[Mask] = &[http_date, rfc3339, expiry_member, identifier, random, duration];

/// The line with placeholders. What begins in the middle of a word is left alone.
pub(crate) fn mask(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let found = if is_word(before) { None } else { MASKS.iter().find_map(|mask| mask(rest)) };
        let (length, shown) = found.unwrap_or_else(|| (first.len_utf8(), first.to_string()));
        before = rest.get(..length).and_then(|taken| taken.chars().next_back()).unwrap_or(first);
        masked.push_str(&shown);
        rest = rest.get(length..).unwrap_or_default();
    }
    masked
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn span(text: &str, accept: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| accept(*byte)).count()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Whether `text` has the look of randomness: digits, or both cases. Words of a language have neither.
fn looks_random(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    has(u8::is_ascii_digit) || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase))
}

/// `wl_...`, `rt_...`, `sess_...`: tokens and ids keep their prefix. Three dots or an ellipsis may stand for the rest.
fn identifier(text: &str) -> Option<(usize, String)> {
    let prefix = span(text, |byte| byte.is_ascii_lowercase());
    let body = text.get(prefix..)?.strip_prefix('_')?;
    if !(2..=8).contains(&prefix) {
        return None;
    }
    let shown = format!("{}_<random>", text.get(..prefix)?);
    if let Some(dots) = ["...", "…"].into_iter().find(|dots| body.starts_with(dots)) {
        return Some((prefix + 1 + dots.len(), shown));
    }
    let length = span(body, is_base64url);
    (length >= 16 && looks_random(body.get(..length)?)).then_some((prefix + 1 + length, shown))
}

/// Hexadecimal or base64url of at least 20 characters, with any padding.
fn random(text: &str) -> Option<(usize, String)> {
    let length = span(text, is_base64url);
    let body = text.get(..length)?;
    if length < 20 || !looks_random(body) {
        return None;
    }
    let padding = span(text.get(length..)?, |byte| byte == b'=').min(2);
    Some((length + padding, "<random>".into()))
}

/// `2031-02-03T04:05:06.789Z`, with a space or a `T`, with an offset or `Z`.
fn rfc3339(text: &str) -> Option<(usize, String)> {
    let date = shape(text, "0000-00-00")?;
    let separator = text.get(date..)?.chars().next().filter(|character| matches!(character, 'T' | 't' | ' '))?;
    let mut length = date + separator.len_utf8();
    length += shape(text.get(length..)?, "00:00:00")?;
    if let Some(fraction) = text.get(length..)?.strip_prefix('.') {
        length += 1 + span(fraction, |byte| byte.is_ascii_digit());
    }
    let offset = text.get(length..)?;
    length += shape(offset, "Z").or_else(|| shape(offset, "+00:00")).or_else(|| shape(offset, "-00:00")).unwrap_or(0);
    Some((length, "<time>".into()))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the date of HTTP headers and cookies.
fn http_date(text: &str) -> Option<(usize, String)> {
    let length = shape(text, "Aaa, 00 Aaa 0000 00:00:00 GMT")?;
    Some((length, "<time>".into()))
}

/// `"expires_in":899`, and members that end in `_seconds`: what counts down.
fn expiry_member(text: &str) -> Option<(usize, String)> {
    let name = text.strip_prefix('"')?.split('"').next()?;
    if name != "expires_in" && !name.ends_with("_seconds") {
        return None;
    }
    let colon = name.len() + 2;
    let after = text.get(colon..)?.strip_prefix(':')?;
    let blank = span(after, |byte| byte == b' ');
    let digits = span(after.get(blank..)?, |byte| byte.is_ascii_digit());
    (digits > 0).then(|| (colon + 1 + blank + digits, format!("\"{name}\":<seconds>")))
}

/// `12 s`, `0.8 seconds`, `35ms`: how long something took.
fn duration(text: &str) -> Option<(usize, String)> {
    let number = span(text, |byte| byte.is_ascii_digit() || byte == b'.');
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let after = text.get(number..)?;
    let blank = span(after, |byte| byte == b' ').min(1);
    let unit = span(after.get(blank..)?, |byte| byte.is_ascii_alphabetic());
    let unit_name = after.get(blank..blank + unit)?;
    matches!(unit_name, "s" | "ms" | "us" | "sec" | "secs" | "second" | "seconds")
        .then(|| (number + blank + unit, "<duration>".into()))
}

/// Length of `text`'s beginning that looks like `pattern`: `0` is a digit, `A` and `a` are letters of that case.
fn shape(text: &str, pattern: &str) -> Option<usize> {
    let start = text.as_bytes().get(..pattern.len())?;
    let fits = |(byte, wanted): (&u8, u8)| match wanted {
        b'0' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        exact => *byte == exact,
    };
    start.iter().zip(pattern.bytes()).all(fits).then_some(pattern.len())
}
