//! The bytes of session data, for stores that keep bytes and for sealed cookies.
//!
//! ```text
//! version 0x01 | revision (8, 0 for none) | created (8) | expires (8) | schema (4) | flags (1) |
//! handle (16) | principal | values
//! principal = subject | methods (2) | level (1) | at (8) | epoch (8) | generation (8) | count (2) | permission...
//! values    = count (2) | (key | value)...
//! ```
//!
//! Numbers are big endian, times are milliseconds since the epoch, texts are UTF-8 behind a length of two bytes. Flag 1
//! says that there is a principal, flag 2 that it asked to be remembered, flag 4 that there is a handle. Nothing follows.

use std::collections::BTreeMap;

use wayleave_core::authentication::{Authentication, Level, Methods};
use wayleave_core::permission::Permissions;
use wayleave_core::time::Timestamp;

use super::{Handle, Principal, SessionData};

#[cfg(test)]
mod tests;

const VERSION: u8 = 1;
const HAS_PRINCIPAL: u8 = 1;
const REMEMBERED: u8 = 2;
const HAS_HANDLE: u8 = 4;

impl SessionData {
    /// The data as bytes, to be read by [`Self::from_bytes`]. Texts longer than 65,535 bytes are cut off;
    /// [`Self::check`] refuses them before.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(128));
        out.0.push(VERSION);
        out.number(self.revision.unwrap_or(0).to_be_bytes());
        out.number(self.created_at.as_millis().to_be_bytes());
        out.number(self.expires_at.as_millis().to_be_bytes());
        out.number(self.schema.to_be_bytes());
        let remembered = self.principal.as_ref().is_some_and(|principal| principal.remembered);
        let flags =
            [(self.principal.is_some(), HAS_PRINCIPAL), (remembered, REMEMBERED), (self.handle.is_some(), HAS_HANDLE)];
        out.0.push(flags.into_iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag));
        if let Some(Handle(handle)) = self.handle {
            out.number(handle);
        }
        if let Some(principal) = &self.principal {
            let Principal { subject, permissions, authentication, epoch, generation, remembered: _ } = principal;
            out.text(subject.as_str());
            out.number(authentication.methods.bits().to_be_bytes());
            out.0.push(authentication.level.number());
            out.number(authentication.at.as_millis().to_be_bytes());
            out.number(epoch.to_be_bytes());
            out.number(generation.to_be_bytes());
            out.count(permissions.len());
            permissions.iter().for_each(|name| out.text(name));
        }
        out.count(self.values.len());
        for (key, value) in self.iter() {
            out.text(key);
            out.text(value);
        }
        out.0
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Undecodable`] for anything else, and for data beyond the limits of [`Self::check`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut from = Reader(bytes);
        if from.byte()? != VERSION {
            return Err(Undecodable);
        }
        let revision = Some(u64::from_be_bytes(from.take()?)).filter(|revision| *revision != 0);
        let created_at = from.time()?;
        let expires_at = from.time()?;
        let schema = u32::from_be_bytes(from.take()?);
        let flags = from.byte()?;
        let has = |flag: u8| flags & flag != 0;
        if flags > (HAS_PRINCIPAL | REMEMBERED | HAS_HANDLE) || (has(REMEMBERED) && !has(HAS_PRINCIPAL)) {
            return Err(Undecodable);
        }
        let handle = if has(HAS_HANDLE) { Some(Handle(from.take()?)) } else { None };
        let principal = if has(HAS_PRINCIPAL) { Some(from.principal(has(REMEMBERED))?) } else { None };
        let mut values = BTreeMap::new();
        for _ in 0..from.count()? {
            let key = from.text()?.to_owned();
            if values.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(Undecodable);
            }
            values.insert(key, from.text()?.to_owned());
        }
        let data = Self { values, principal, handle, schema, created_at, expires_at, revision };
        if from.0.is_empty() && data.check().is_ok() { Ok(data) } else { Err(Undecodable) }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.extend_from_slice(&bytes);
    }

    fn count(&mut self, count: usize) {
        self.number(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        self.number(length.to_be_bytes());
        self.0.extend(text.bytes().take(usize::from(length)));
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Undecodable)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn byte(&mut self) -> Result<u8, Undecodable> {
        let [byte] = self.take()?;
        Ok(byte)
    }

    fn count(&mut self) -> Result<u16, Undecodable> {
        self.take().map(u16::from_be_bytes)
    }

    fn time(&mut self) -> Result<Timestamp, Undecodable> {
        let millis = i64::from_be_bytes(self.take()?);
        let time = Timestamp::from_millis(millis);
        // Nothing of ours lies outside the range, so nothing is clamped into it.
        if time.as_millis() == millis { Ok(time) } else { Err(Undecodable) }
    }

    fn text(&mut self) -> Result<&'a str, Undecodable> {
        let length = usize::from(self.count()?);
        let (text, rest) = self.0.split_at_checked(length).ok_or(Undecodable)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Undecodable)
    }

    fn principal(&mut self, remembered: bool) -> Result<Principal, Undecodable> {
        let subject = self.text()?.parse().map_err(|_| Undecodable)?;
        let methods = Methods::from_bits(self.count()?);
        let level = Level::new(self.byte()?).ok_or(Undecodable)?;
        let at = self.time()?;
        let epoch = u64::from_be_bytes(self.take()?);
        let generation = u64::from_be_bytes(self.take()?);
        let names = (0..self.count()?).map(|_| self.text()).collect::<Result<Vec<_>, _>>()?;
        let permissions = Permissions::new(names).map_err(|_| Undecodable)?;
        let authentication = Authentication { methods, at, level };
        Ok(Principal { subject, permissions, authentication, epoch, generation, remembered })
    }
}

/// The bytes are no session data of this version. Says no more, on purpose.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session data cannot be read")]
pub struct Undecodable;
