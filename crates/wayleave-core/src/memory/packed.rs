//! The compact form of a record: hot fields side by side, everything else in one block of bytes.
//!
//! The block, in this order; what a flag says is missing takes no bytes:
//!
//! ```text
//! flags 2 | family 16 | current refresh token 32
//! | numbers of shared values: permissions, label, context keys, data keys   (0: written below instead)
//! | subject | created | last rotation, token, absolute end, first found expired   (distances from `created`)
//! | revision | epoch | methods, level, time of authentication | actor | licence
//! | permissions | label | context keys | data keys                          (those that are not shared)
//! | network | fingerprint 32 | context values | data values
//! | generation | predecessor 32, client, sealed pair | confirmation 32
//! ```

use super::bytes::{Reader, Stamp, Writer};
use super::intern::{Interned, KindRef};
use crate::authentication::{Authentication, Level, Methods};
use crate::entries::Entries;
use crate::id::{FamilyId, SessionId, Slot};
use crate::permission::Permissions;
use crate::ports::StoreError;
use crate::record::{Client, Fingerprint, KeyConfirmation, LastRotation, Record, Refresh, Revision, opened_ahead};
use crate::subject::Subject;
use crate::time::Timestamp;
use crate::token::TokenHash;

/// Longest label or list of keys that is shared between records.
const MAX_SHARED: usize = 512;

/// One record: 88 bytes, and a block of 150 or so for a session with a few entries of data.
pub(super) struct Packed {
    token: TokenHash,
    id: [u8; 18],
    slot: Slot,
    kind: KindRef,
    last_seen_at: Stamp,
    idle_expires_at: Stamp,
    ends_at: Stamp,
    rest: Box<[u8]>,
}

impl Packed {
    /// Packs a record and counts what it shares as used, until [`Self::release`].
    ///
    /// # Errors
    /// [`StoreError::Full`] when it is of a new kind and there are too many kinds; nothing is counted then.
    pub(super) fn new(record: &Record, interned: &mut Interned) -> Result<Self, StoreError> {
        let kind = interned.kinds.intern(&record.kind, record.id.prefix()).ok_or(StoreError::Full)?;
        Ok(Self {
            token: record.token,
            id: record.id.bytes(),
            slot: record.slot,
            kind,
            last_seen_at: Stamp::of(record.last_seen_at),
            idle_expires_at: Stamp::of_option(record.idle_expires_at),
            ends_at: Stamp::of(record.ends_at()),
            rest: write(record, interned),
        })
    }

    /// The record again.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the bytes make no sense, which only a defect of this module brings about.
    pub(super) fn unpack(&self, interned: &Interned) -> Result<Record, StoreError> {
        self.read(interned).ok_or(StoreError::Corrupt(None))
    }

    /// Gives back what it shares.
    pub(super) fn release(&self, interned: &mut Interned) {
        let Some(Front { shared, .. }) = self.front() else {
            return;
        };
        let Sharing { permissions, label, context, data } = shared;
        if let Some(at) = permissions {
            interned.permissions.release(at);
        }
        for at in [label, context, data].into_iter().flatten() {
            interned.texts.release(at);
        }
    }

    /// Takes over last-seen time and idle end from a record, and nothing else.
    pub(super) fn set_activity(&mut self, record: &Record) {
        self.last_seen_at = Stamp::of(record.last_seen_at);
        self.idle_expires_at = Stamp::of_option(record.idle_expires_at);
        self.ends_at = Stamp::of(record.ends_at());
    }

    pub(super) const fn token(&self) -> &TokenHash {
        &self.token
    }

    /// [`SessionId::bytes`].
    pub(super) const fn id(&self) -> &[u8; 18] {
        &self.id
    }

    pub(super) const fn slot(&self) -> Slot {
        self.slot
    }

    pub(super) const fn kind(&self) -> KindRef {
        self.kind
    }

    pub(super) const fn last_seen_at(&self) -> Timestamp {
        self.last_seen_at.time()
    }

    /// [`Record::ends_at`].
    pub(super) const fn ends_at(&self) -> Timestamp {
        self.ends_at.time()
    }

    /// [`Record::has_ended`].
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.was_found_expired() || now >= self.ends_at()
    }

    /// [`Record::was_opened_ahead`].
    pub(super) fn was_opened_ahead(&self, now: Timestamp) -> bool {
        opened_ahead(self.created_at(), now)
    }

    pub(super) fn was_found_expired(&self) -> bool {
        self.front().is_some_and(|front| front.flags.has(Flags::EXPIRED))
    }

    /// When the pair was sealed that is kept, if one is.
    pub(super) fn sealed_at(&self) -> Option<Timestamp> {
        let front = self.front()?;
        front.rotated_at.filter(|_| front.flags.has(Flags::SEALED))
    }

    pub(super) fn created_at(&self) -> Timestamp {
        self.front().map_or(Timestamp::MIN, |front| front.created_at)
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.front()?.subject
    }

    pub(super) fn family(&self) -> Option<FamilyId> {
        Some(self.front()?.family)
    }

    /// The refresh token that may be presented next, if there is a refresh side.
    pub(super) fn current_refresh(&self) -> Option<TokenHash> {
        self.front()?.current
    }

    /// Bytes on the heap.
    pub(super) fn footprint(&self) -> usize {
        self.rest.len() + super::MALLOC
    }

    fn front(&self) -> Option<Front<'_>> {
        let mut rest = Reader::new(&self.rest);
        let flags = Flags(u16::from_le_bytes(rest.array()?));
        let family = FamilyId(rest.array()?);
        let current = flags.when(Flags::REFRESH, || rest.array())?.map(TokenHash);
        let shared = Sharing {
            permissions: number(&mut rest)?,
            label: flags.when(Flags::LABEL, || number(&mut rest))?.flatten(),
            context: flags.when(Flags::CONTEXT, || number(&mut rest))?.flatten(),
            data: flags.when(Flags::DATA, || number(&mut rest))?.flatten(),
        };
        let subject = flags.when(Flags::SUBJECT, || rest.text())?;
        let created_at = Timestamp::from_millis(i64::try_from(rest.varint()?).ok()?);
        let rotated_at = flags.when(Flags::ROTATED, || rest.time(created_at))?;
        Some(Front { flags, family, current, shared, subject, created_at, rotated_at, rest })
    }

    fn read(&self, interned: &Interned) -> Option<Record> {
        let (kind, prefix) = interned.kinds.get(self.kind)?;
        let Front { flags, family, current, shared, subject, created_at, rotated_at, mut rest } = self.front()?;
        let rest = &mut rest;
        let token_expires_at = rest.time(created_at)?;
        let absolute_expires_at = rest.time(created_at)?;
        let expired_at = flags.when(Flags::EXPIRED, || rest.time(created_at))?;
        let revision = Revision(rest.varint()?);
        let epoch = rest.varint()?;
        let authentication = flags.when(Flags::AUTHENTICATION, || {
            let methods = Methods::from_bits(u16::try_from(rest.varint()?).ok()?);
            let [level] = rest.array()?;
            Some(Authentication { methods, level: Level::new(level)?, at: rest.time(created_at)? })
        })?;
        let actor = flags.when(Flags::ACTOR, || rest.text()?.parse::<Subject>().ok())?;
        let licence = flags.when(Flags::LICENCE, || rest.text())?.map(Box::from);

        let permissions = match shared.permissions {
            Some(at) => interned.permissions.get(at)?.clone(),
            None => read_permissions(rest)?,
        };
        let mut text = |shared: Option<u32>| match shared {
            Some(at) => interned.texts.get(at).map(AsRef::as_ref),
            None => rest.sized(),
        };
        let label = flags.when(Flags::LABEL, || std::str::from_utf8(text(shared.label)?).ok())?.map(Box::from);
        let context_keys = flags.when(Flags::CONTEXT, || text(shared.context))?;
        let data_keys = flags.when(Flags::DATA, || text(shared.data))?;

        let network = flags.when(Flags::NETWORK, || rest.text())?.map(Box::from);
        let fingerprint = flags.when(Flags::FINGERPRINT, || rest.array())?.map(Fingerprint);
        let context = context_keys.map_or(Some(Entries::new()), |keys| read_entries(keys, rest))?;
        let data = data_keys.map_or(Some(Entries::new()), |keys| read_entries(keys, rest))?;
        let refresh = match current {
            None => None,
            Some(current) => {
                let generation = u32::try_from(rest.varint()?).ok()?;
                let last = rotated_at.map_or(Some(None), |at| read_last(rest, at).map(Some))?;
                Some(Refresh { current, generation, last })
            }
        };
        let confirmation = match (flags.has(Flags::JKT), flags.has(Flags::DEVICE_BOUND)) {
            (false, false) => None,
            (true, false) => Some(KeyConfirmation::Jkt(rest.array()?)),
            (false, true) => Some(KeyConfirmation::DeviceBound(rest.array()?)),
            (true, true) => return None,
        };
        rest.is_empty().then_some(())?;
        Some(Record {
            id: SessionId::from_bytes(prefix, &self.id),
            slot: self.slot,
            family,
            token: self.token,
            kind: kind.clone(),
            subject: subject.map_or(Some(None), |text| text.parse().ok().map(Some))?,
            actor,
            permissions,
            authentication,
            epoch,
            remembered: flags.has(Flags::REMEMBERED),
            licence,
            created_at,
            last_seen_at: self.last_seen_at.time(),
            idle_expires_at: self.idle_expires_at.option(),
            token_expires_at,
            absolute_expires_at,
            expired_at,
            client: Client { label, network, fingerprint },
            context,
            data,
            refresh,
            confirmation,
            revision,
        })
    }
}

/// What of the block can be read without the shared values, and where the rest goes on.
struct Front<'a> {
    flags: Flags,
    family: FamilyId,
    current: Option<TokenHash>,
    shared: Sharing,
    subject: Option<&'a str>,
    created_at: Timestamp,
    rotated_at: Option<Timestamp>,
    rest: Reader<'a>,
}

/// Numbers of the values that a record shares with others.
struct Sharing {
    permissions: Option<u32>,
    label: Option<u32>,
    context: Option<u32>,
    data: Option<u32>,
}

/// Which optional parts there are, and the one truth value of a record.
#[derive(Copy, Clone)]
struct Flags(u16);

impl Flags {
    const SUBJECT: u16 = 1;
    const ACTOR: u16 = 1 << 1;
    const AUTHENTICATION: u16 = 1 << 2;
    const REMEMBERED: u16 = 1 << 3;
    const LICENCE: u16 = 1 << 4;
    const EXPIRED: u16 = 1 << 5;
    const LABEL: u16 = 1 << 6;
    const NETWORK: u16 = 1 << 7;
    const FINGERPRINT: u16 = 1 << 8;
    const CONTEXT: u16 = 1 << 9;
    const DATA: u16 = 1 << 10;
    const REFRESH: u16 = 1 << 11;
    const ROTATED: u16 = 1 << 12;
    const JKT: u16 = 1 << 13;
    const DEVICE_BOUND: u16 = 1 << 14;
    const SEALED: u16 = 1 << 15;

    fn of(record: &Record) -> Self {
        let last = record.last_rotation();
        let flags = [
            (Self::SUBJECT, record.subject.is_some()),
            (Self::ACTOR, record.actor.is_some()),
            (Self::AUTHENTICATION, record.authentication.is_some()),
            (Self::REMEMBERED, record.remembered),
            (Self::LICENCE, record.licence.is_some()),
            (Self::EXPIRED, record.expired_at.is_some()),
            (Self::LABEL, record.client.label.is_some()),
            (Self::NETWORK, record.client.network.is_some()),
            (Self::FINGERPRINT, record.client.fingerprint.is_some()),
            (Self::CONTEXT, !record.context.is_empty()),
            (Self::DATA, !record.data.is_empty()),
            (Self::REFRESH, record.refresh.is_some()),
            (Self::ROTATED, last.is_some()),
            (Self::SEALED, last.is_some_and(|last| !last.sealed_pair.is_empty())),
            (Self::JKT, matches!(record.confirmation, Some(KeyConfirmation::Jkt(_)))),
            (Self::DEVICE_BOUND, matches!(record.confirmation, Some(KeyConfirmation::DeviceBound(_)))),
        ];
        Self(flags.into_iter().filter(|(_, set)| *set).fold(0, |all, (flag, _)| all | flag))
    }

    const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// The outer `None` means that what the flag promises is not there.
    fn when<T>(self, flag: u16, read: impl FnOnce() -> Option<T>) -> Option<Option<T>> {
        if self.has(flag) { read().map(Some) } else { Some(None) }
    }
}

fn write(record: &Record, interned: &mut Interned) -> Box<[u8]> {
    let Record {
        id: _,
        slot: _,
        family,
        token: _,
        kind: _,
        subject,
        actor,
        permissions,
        authentication,
        epoch,
        remembered: _,
        licence,
        created_at,
        last_seen_at: _,
        idle_expires_at: _,
        token_expires_at,
        absolute_expires_at,
        expired_at,
        client: Client { label, network, fingerprint },
        context,
        data,
        refresh,
        confirmation,
        revision,
    } = record;
    let mut out = Writer::new();
    out.raw(&Flags::of(record).0.to_le_bytes());
    out.raw(&family.0);
    if let Some(refresh) = refresh {
        out.raw(&refresh.current.0);
    }
    let shared_permissions = interned.permissions.intern(permissions, Permissions::clone);
    write_number(&mut out, shared_permissions);
    let label = label.as_ref().map(|label| Box::from(label.as_bytes()));
    let texts = [label, keys_of(context), keys_of(data)].map(|text: Option<Box<[u8]>>| {
        let text = text?;
        let shared = if text.len() <= MAX_SHARED { interned.texts.intern_bytes(&text) } else { None };
        write_number(&mut out, shared);
        shared.is_none().then_some(text)
    });
    if let Some(subject) = subject {
        out.sized(subject.as_str().as_bytes());
    }
    out.varint(created_at.as_millis().cast_unsigned());
    let last = refresh.as_ref().and_then(|refresh| refresh.last.as_ref());
    let rotated_at = last.map(|last| &last.at);
    for time in
        [rotated_at, Some(token_expires_at), Some(absolute_expires_at), expired_at.as_ref()].into_iter().flatten()
    {
        out.time(*time, *created_at);
    }
    out.varint(revision.0);
    out.varint(*epoch);
    if let Some(Authentication { methods, at, level }) = authentication {
        out.varint(u64::from(methods.bits()));
        out.raw(&[level.number()]);
        out.time(*at, *created_at);
    }
    for text in [actor.as_ref().map(Subject::as_str), licence.as_deref()].into_iter().flatten() {
        out.sized(text.as_bytes());
    }
    if shared_permissions.is_none() {
        out.length(permissions.len());
        permissions.iter().for_each(|name| out.sized(name.as_bytes()));
    }
    texts.iter().flatten().for_each(|text| out.sized(text));
    if let Some(network) = network {
        out.sized(network.as_bytes());
    }
    if let Some(Fingerprint(hash)) = fingerprint {
        out.raw(hash);
    }
    context.iter().chain(data.iter()).for_each(|(_, value)| out.sized(value));
    if let Some(Refresh { current: _, generation, last }) = refresh {
        out.varint(u64::from(*generation));
        if let Some(last) = last {
            write_last(&mut out, last);
        }
    }
    if let Some(KeyConfirmation::Jkt(thumbprint) | KeyConfirmation::DeviceBound(thumbprint)) = confirmation {
        out.raw(thumbprint);
    }
    out.to_boxed()
}

/// The number of a shared value; `None` when the value itself is written further on.
fn number(from: &mut Reader<'_>) -> Option<Option<u32>> {
    Some(u32::try_from(from.varint()?).ok()?.checked_sub(1))
}

fn write_number(out: &mut Writer, number: Option<u32>) {
    out.varint(number.map_or(0, |number| u64::from(number) + 1));
}

fn read_permissions(from: &mut Reader<'_>) -> Option<Permissions> {
    let names = (0..from.length()?).map(|_| from.text()).collect::<Option<Vec<_>>>()?;
    Permissions::new(names).ok()
}

/// The keys of a map, which many records have in common; `None` for an empty one.
fn keys_of(entries: &Entries) -> Option<Box<[u8]>> {
    if entries.is_empty() {
        return None;
    }
    let mut out = Writer::new();
    entries.iter().for_each(|(key, _)| out.sized(key.as_bytes()));
    Some(out.to_boxed())
}

fn read_entries(keys: &[u8], values: &mut Reader<'_>) -> Option<Entries> {
    let mut keys = Reader::new(keys);
    let mut entries = Entries::new();
    while !keys.is_empty() {
        entries.set(keys.text()?, values.sized()?).ok()?;
    }
    Some(entries)
}

fn write_last(out: &mut Writer, last: &LastRotation) {
    let LastRotation { predecessor, at: _, client, sealed_pair } = last;
    out.raw(&predecessor.0);
    out.raw(&[u8::from(client.is_some())]);
    if let Some(Fingerprint(hash)) = client {
        out.raw(hash);
    }
    out.sized(sealed_pair);
}

fn read_last(from: &mut Reader<'_>, at: Timestamp) -> Option<LastRotation> {
    Some(LastRotation {
        predecessor: TokenHash(from.array()?),
        at,
        client: match from.array()? {
            [0] => None,
            [_] => Some(Fingerprint(from.array()?)),
        },
        sealed_pair: from.sized()?.into(),
    })
}

#[cfg(test)]
mod tests;
