//! Reading and writing values that have a type of their own, here or in the core.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use wayleave_core::authentication::Level;
use wayleave_core::id::IdPrefix;
use wayleave_core::permission::{Ceiling, Permissions};
use wayleave_core::policy::{AtLimit, FingerprintMode, IdleLimit, SessionTimeout};

use super::store_url::StoreUrl;
use super::types::{CookieDomain, CookieName, HashedToken, HostName, NodeName, Origin, Rate};
use super::value::{Input, Name, Value, Wrong, quote};
use super::words::{
    ClearSiteData, Coherence, FingerprintInput, ForwardedHeader, LogFormat, LogLevel, Registration, SameSite, TokenForm,
};

/// Types that are written as text and parse themselves.
macro_rules! text_values {
    ($($type:ty, $form:expr;)+) => {$(
        impl Value for $type {
            fn form() -> String {
                $form.into()
            }

            fn read(input: &Input<'_>) -> Result<Self, Wrong> {
                input.text().and_then(|text| text.parse().ok()).ok_or_else(|| Wrong::found(input))
            }

            fn write(&self) -> String {
                quote(&self.to_string())
            }
        }
    )+};
}

text_values! {
    SocketAddr, "an address and a port such as `127.0.0.1:8080` or `[::1]:8080`";
    IpNet, "a network such as `10.0.0.0/8` or `fd00::/8`";
    Origin, "an origin such as `https://auth.example.org`, without a path (`http` for this machine only)";
    Rate, "a rate such as `30/1m`";
    CookieName, "a cookie name of at most 64 characters, without blanks and separators";
    CookieDomain, "a domain such as `example.org`";
    NodeName, "1 to 64 letters, digits, hyphens, underscores and full stops, not beginning with `cli-`";
    HostName, "a host name such as `metrics.internal`";
    Name, "1 to 255 visible ASCII characters";
}

impl Value for StoreUrl {
    fn form() -> String {
        "a store such as `sqlite:PATH`, `memory:`, `postgres://HOST/DATABASE`, `redis://HOST` or \
         `redis+cluster://HOST,HOST`"
            .into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        input.text().and_then(|text| text.parse().ok()).ok_or_else(|| match input.text() {
            // There may be a password in it.
            Some(text) if text.contains('@') => Wrong { found: "this address".into(), hint: None },
            Some(_) | None => Wrong::found(input),
        })
    }

    fn write(&self) -> String {
        quote(&self.to_string())
    }
}

/// Enumerations of words.
macro_rules! word_values {
    ($($type:ty),+ $(,)?) => {$(
        impl Value for $type {
            fn form() -> String {
                one_of(Self::ALL.iter().map(|word| word.as_str()))
            }

            fn read(input: &Input<'_>) -> Result<Self, Wrong> {
                input.text().and_then(|text| text.parse().ok()).ok_or_else(|| Wrong::found(input))
            }

            fn write(&self) -> String {
                quote(self.as_str())
            }
        }
    )+};
}

word_values!(
    SameSite,
    Coherence,
    FingerprintInput,
    ForwardedHeader,
    ClearSiteData,
    Registration,
    LogFormat,
    LogLevel,
    TokenForm
);

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

impl Value for HashedToken {
    fn form() -> String {
        "a token of 32 to 256 visible ASCII characters, at least 10 of them different".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        // The value stays out of the message: it may be a secret with a typing error.
        let hidden = || Wrong { found: "the value".into(), hint: Some("make one with `openssl rand -hex 32`") };
        input.text().and_then(|text| text.parse().ok()).ok_or_else(hidden)
    }

    fn write(&self) -> String {
        quote("(hidden)")
    }
}

impl Value for IdleLimit {
    fn form() -> String {
        format!("`none`, `session-timeout` or {}", Duration::form())
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        match input.text() {
            Some("none") => Ok(Self::None),
            Some("session-timeout") => Ok(Self::SessionTimeout),
            Some(_) | None => Duration::read(input).map(Self::Fixed),
        }
    }

    fn write(&self) -> String {
        match self {
            Self::None => quote("none"),
            Self::SessionTimeout => quote("session-timeout"),
            Self::Fixed(length) => length.write(),
        }
    }
}

const AT_LIMIT: [(&str, AtLimit); 3] = [
    ("evict-oldest", AtLimit::EvictOldest),
    ("evict-least-recently-seen", AtLimit::EvictLeastRecentlySeen),
    ("refuse", AtLimit::Refuse),
];

impl Value for AtLimit {
    fn form() -> String {
        one_of(AT_LIMIT.iter().map(|(word, _)| *word))
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        lookup(&AT_LIMIT, input)
    }

    fn write(&self) -> String {
        quote(match self {
            Self::EvictOldest => "evict-oldest",
            Self::EvictLeastRecentlySeen => "evict-least-recently-seen",
            Self::Refuse => "refuse",
        })
    }
}

const FINGERPRINT: [(&str, FingerprintMode); 4] = [
    ("off", FingerprintMode::Off),
    ("observe", FingerprintMode::Observe),
    ("step-up", FingerprintMode::StepUp),
    ("revoke", FingerprintMode::Revoke),
];

impl Value for FingerprintMode {
    fn form() -> String {
        one_of(FINGERPRINT.iter().map(|(word, _)| *word))
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        lookup(&FINGERPRINT, input)
    }

    fn write(&self) -> String {
        quote(match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::StepUp => "step-up",
            Self::Revoke => "revoke",
        })
    }
}

fn lookup<T: Copy>(words: &[(&str, T)], input: &Input<'_>) -> Result<T, Wrong> {
    let found = input.text().and_then(|text| words.iter().find(|(word, _)| *word == text));
    found.map(|(_, value)| *value).ok_or_else(|| Wrong::found(input))
}

impl Value for Level {
    fn form() -> String {
        "a level: `1`, `2` or `3`".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        let number = u32::read(input)?;
        u8::try_from(number).ok().and_then(Self::new).ok_or_else(|| Wrong::found(input))
    }

    fn write(&self) -> String {
        self.number().to_string()
    }
}

impl Value for IdPrefix {
    fn form() -> String {
        "1 to 7 lower-case letters".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        input.text().and_then(|text| Self::new(text).ok()).ok_or_else(|| Wrong::found(input))
    }

    fn write(&self) -> String {
        quote(self.as_str())
    }
}

/// One element of a ceiling, only to read lists of them.
#[derive(Clone)]
struct PermissionName(String);

impl Value for PermissionName {
    fn form() -> String {
        String::new()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        let valid = input.text().filter(|text| *text == "*" || Permissions::new([*text]).is_ok());
        valid.map(|text| Self(text.to_owned())).ok_or_else(|| Wrong::found(input))
    }

    fn write(&self) -> String {
        quote(&self.0)
    }
}

impl Value for Ceiling {
    fn form() -> String {
        "a list of at most 64 permissions such as `[\"read:profile\"]`, or `[\"*\"]` for any".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        let names = Vec::<PermissionName>::read(input)?;
        match names.as_slice() {
            [PermissionName(any)] if any == "*" => Ok(Self::Any),
            names => {
                let names = names.iter().map(|PermissionName(name)| name.as_str());
                let permissions = Permissions::new(names);
                permissions.map(Self::Only).map_err(|_| Wrong::but(input, "`*` stands alone"))
            }
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Any => "[\"*\"]".into(),
            Self::Only(names) => format!("[{}]", names.iter().map(quote).collect::<Vec<_>>().join(", ")),
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Any => "*".into(),
            Self::Only(names) => names.iter().collect::<Vec<_>>().join(","),
        }
    }
}

impl Value for SessionTimeout {
    fn form() -> String {
        "a duration in whole minutes from 5m to 1d".into()
    }

    fn read(input: &Input<'_>) -> Result<Self, Wrong> {
        let seconds = Duration::read(input)?;
        let minutes = u16::try_from(seconds.as_secs() / 60).ok().filter(|_| seconds.as_millis().is_multiple_of(60_000));
        minutes.and_then(|minutes| Self::from_minutes(minutes).ok()).ok_or_else(|| Wrong::found(input))
    }

    fn write(&self) -> String {
        self.as_duration().write()
    }
}
