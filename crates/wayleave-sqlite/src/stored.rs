//! Records as rows: which column holds what, and what is sealed.

use sqlx::sqlite::SqliteRow;
use wayleave_core::authentication::{Authentication, Level, Methods};
use wayleave_core::entries::Entries;
use wayleave_core::id::{FamilyId, IdPrefix, SessionId, Slot};
use wayleave_core::ports::{Gone, StoreError};
use wayleave_core::record::{Client, Fingerprint, KeyConfirmation, LastRotation, Record, Refresh, Revision};
use wayleave_core::seal::Place;
use wayleave_core::token::TokenHash;

use crate::columns::{Columns, integer, permissions_text};
use crate::error::Malformed;
use crate::sealing::Sealing;
use crate::store::Query;

mod encoding;

pub(crate) use encoding::{decode_labels, encode_labels};

/// `SELECT` of whole records, with the rest of the statement.
macro_rules! select_records {
    ($rest:literal) => {
        concat!(
            "SELECT id, prefix, slot, family, kind, subject, created_at, absolute_expires_at, token, refresh, \
             generation, rotation_predecessor, rotation_at, rotation_client, rotation_pair, actor, permissions, \
             methods, authenticated_at, level, epoch, remembered, licence, last_seen_at, idle_expires_at, \
             token_expires_at, expired_at, confirmation, revision, client, context, data FROM sessions ",
            $rest
        )
    };
}
pub(crate) use select_records;

/// What [`decode_gone`] needs of a deleted row.
macro_rules! returning_gone {
    ($statement:literal) => {
        concat!($statement, " RETURNING id, prefix, slot, family, token, kind, subject")
    };
}
pub(crate) use returning_gone;

/// The columns that only `insert` writes, from ?19 on, after those of [`bind_state`].
pub(crate) const INSERT: &str = "INSERT INTO sessions (actor, permissions, methods, authenticated_at, level, epoch, \
     remembered, licence, last_seen_at, idle_expires_at, token_expires_at, expired_at, ends_at, confirmation, \
     revision, client, context, data, id, prefix, slot, family, kind, subject, created_at, absolute_expires_at, \
     token, refresh, generation, rotation_predecessor, rotation_at, rotation_client, rotation_pair) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
     ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33) ON CONFLICT DO NOTHING";

/// Writes what an update may change; ?19 is the id.
pub(crate) const UPDATE: &str = "UPDATE sessions SET actor = ?1, permissions = ?2, methods = ?3, \
     authenticated_at = ?4, level = ?5, epoch = ?6, remembered = ?7, licence = ?8, last_seen_at = ?9, \
     idle_expires_at = ?10, token_expires_at = ?11, expired_at = ?12, ends_at = ?13, confirmation = ?14, \
     revision = ?15, client = ?16, context = ?17, data = ?18 WHERE id = ?19";

/// The sealed columns of a record. Sealed before the write begins, so that the transaction does not wait for it.
pub(crate) struct SealedColumns {
    client: Option<Box<[u8]>>,
    context: Option<Box<[u8]>>,
    data: Option<Box<[u8]>>,
}

impl SealedColumns {
    pub(crate) fn of(record: &Record, sealing: &Sealing) -> Result<Self, StoreError> {
        let name = record.id.bytes();
        let entries = |purpose, entries: &Entries| {
            let plain = (!entries.is_empty()).then(|| encoding::encode_entries(entries));
            plain.map(|plain| sealing.seal(Place { purpose, name: &name }, &plain)).transpose()
        };
        let client = (record.client != Client::default()).then(|| encoding::encode_client(&record.client));
        let place = Place { purpose: CLIENT, name: &name };
        Ok(Self {
            client: client.map(|plain| sealing.seal(place, &plain)).transpose()?,
            context: entries(CONTEXT, &record.context)?,
            data: entries(DATA, &record.data)?,
        })
    }
}

const CLIENT: &str = "session client";
const CONTEXT: &str = "session context";
const DATA: &str = "session data";
const ROTATION_CLIENT: &str = "rotation client";

/// Seals the client of a rotation, bound to the token that it presented.
pub(crate) fn seal_rotation_client(
    sealing: &Sealing,
    client: Option<Fingerprint>,
    predecessor: TokenHash,
) -> Result<Option<Box<[u8]>>, StoreError> {
    let place = Place { purpose: ROTATION_CLIENT, name: &predecessor.0 };
    client.map(|fingerprint| sealing.seal(place, &fingerprint.0)).transpose()
}

/// Binds what an update may change, as ?1 to ?18.
pub(crate) fn bind_state(query: Query, record: &Record, sealed: &SealedColumns) -> Result<Query, StoreError> {
    let Record {
        id: _,
        slot: _,
        family: _,
        token: _,
        kind: _,
        subject: _,
        created_at: _,
        absolute_expires_at: _,
        refresh: _,
        client: _,
        context: _,
        data: _,
        actor,
        permissions,
        authentication,
        epoch,
        remembered,
        licence,
        last_seen_at,
        idle_expires_at,
        token_expires_at,
        expired_at,
        confirmation,
        revision,
    } = record;
    let SealedColumns { client, context, data } = sealed;
    Ok(query
        .bind(actor.as_ref().map(|actor| actor.as_str()))
        .bind(permissions_text(permissions))
        .bind(authentication.map(|authentication| authentication.methods.bits()))
        .bind(authentication.map(|authentication| authentication.at.as_millis()))
        .bind(authentication.map(|authentication| authentication.level.number()))
        .bind(integer(*epoch)?)
        .bind(*remembered)
        .bind(licence.as_deref())
        .bind(last_seen_at.as_millis())
        .bind(idle_expires_at.map(|at| at.as_millis()))
        .bind(token_expires_at.as_millis())
        .bind(expired_at.map(|at| at.as_millis()))
        .bind(record.ends_at().as_millis())
        .bind(confirmation.map(confirmation_bytes))
        .bind(integer(revision.0)?)
        .bind(client.as_deref())
        .bind(context.as_deref())
        .bind(data.as_deref()))
}

/// A pair as it is stored: NULL where there is none to repeat.
pub(crate) fn sealed_pair(pair: &[u8]) -> Option<&[u8]> {
    (!pair.is_empty()).then_some(pair)
}

/// Binds what only `insert` writes, as ?19 to ?33. `rotation_client` is the sealed client of the last rotation.
pub(crate) fn bind_identity(query: Query, record: &Record, rotation_client: Option<&[u8]>) -> Query {
    let refresh = record.refresh.as_ref();
    let last = refresh.and_then(|refresh| refresh.last.as_ref());
    query
        .bind(record.id.bytes().to_vec())
        .bind(record.id.prefix().as_str())
        .bind(record.slot.0)
        .bind(record.family.0.to_vec())
        .bind(record.kind.as_str())
        .bind(record.subject.as_ref().map(|subject| subject.as_str()))
        .bind(record.created_at.as_millis())
        .bind(record.absolute_expires_at.as_millis())
        .bind(record.token.0.to_vec())
        .bind(refresh.map(|refresh| refresh.current.0.to_vec()))
        .bind(refresh.map(|refresh| refresh.generation))
        .bind(last.map(|last| last.predecessor.0.to_vec()))
        .bind(last.map(|last| last.at.as_millis()))
        .bind(rotation_client)
        .bind(last.and_then(|last| sealed_pair(&last.sealed_pair)))
}

/// The record of a row of [`select_records`].
///
/// # Errors
/// Corrupt when a column is not what it should be, or an envelope does not open in this row.
pub(crate) fn decode(row: &SqliteRow, sealing: &Sealing) -> Result<Record, StoreError> {
    let row = Columns(row);
    let id = decode_id(row)?;
    let name = id.bytes();
    let open = |purpose, column| match row.optional_blob(column)? {
        Some(envelope) => sealing.open(Place { purpose, name: &name }, envelope).map(Some),
        None => Ok(None),
    };
    let entries = |purpose, column| match open(purpose, column)? {
        Some(plain) => Ok::<_, StoreError>(encoding::decode_entries(&plain)?),
        None => Ok(Entries::new()),
    };
    Ok(Record {
        id,
        slot: Slot(row.number("slot")?),
        family: FamilyId(row.bytes("family")?),
        token: TokenHash(row.bytes("token")?),
        kind: row.parsed("kind")?,
        subject: row.optional_parsed("subject")?,
        actor: row.optional_parsed("actor")?,
        permissions: row.permissions("permissions")?,
        authentication: decode_authentication(row)?,
        epoch: row.number("epoch")?,
        remembered: row.flag("remembered")?,
        licence: row.optional_text("licence")?.map(Into::into),
        created_at: row.time("created_at")?,
        last_seen_at: row.time("last_seen_at")?,
        idle_expires_at: row.optional_time("idle_expires_at")?,
        token_expires_at: row.time("token_expires_at")?,
        absolute_expires_at: row.time("absolute_expires_at")?,
        expired_at: row.optional_time("expired_at")?,
        client: match open(CLIENT, "client")? {
            Some(plain) => encoding::decode_client(&plain)?,
            None => Client::default(),
        },
        context: entries(CONTEXT, "context")?,
        data: entries(DATA, "data")?,
        refresh: decode_refresh(row, sealing)?,
        confirmation: row.optional_bytes("confirmation")?.map(decode_confirmation).transpose()?,
        revision: Revision(row.number("revision")?),
    })
}

/// What is left of a deleted row.
pub(crate) fn decode_gone(row: &SqliteRow) -> Result<Gone, StoreError> {
    let row = Columns(row);
    Ok(Gone {
        id: decode_id(row)?,
        slot: Slot(row.number("slot")?),
        family: FamilyId(row.bytes("family")?),
        token: TokenHash(row.bytes("token")?),
        kind: row.parsed("kind")?,
        subject: row.optional_parsed("subject")?,
    })
}

fn decode_id(row: Columns<'_>) -> Result<SessionId, StoreError> {
    let prefix = IdPrefix::new(row.text("prefix")?).map_err(StoreError::corrupt)?;
    Ok(SessionId::from_bytes(prefix, &row.bytes("id")?))
}

fn decode_authentication(row: Columns<'_>) -> Result<Option<Authentication>, StoreError> {
    let methods = row.optional_number("methods")?.map(Methods::from_bits);
    let at = row.optional_time("authenticated_at")?;
    let level = row.optional_number("level")?.map(|number| Level::new(number).ok_or(Malformed("level"))).transpose()?;
    match (methods, at, level) {
        (Some(methods), Some(at), Some(level)) => Ok(Some(Authentication { methods, at, level })),
        (None, None, None) => Ok(None),
        _ => Err(Malformed("authentication").into()),
    }
}

fn decode_refresh(row: Columns<'_>, sealing: &Sealing) -> Result<Option<Refresh>, StoreError> {
    let Some(current) = row.optional_bytes("refresh")? else {
        return Ok(None);
    };
    let predecessor: Option<[u8; 32]> = row.optional_bytes("rotation_predecessor")?;
    let at = row.optional_time("rotation_at")?;
    let pair = row.optional_blob("rotation_pair")?;
    let last = match (predecessor, at, pair) {
        (Some(predecessor), Some(at), pair) => {
            let place = Place { purpose: ROTATION_CLIENT, name: &predecessor };
            let client = match row.optional_blob("rotation_client")? {
                Some(envelope) => {
                    let plain = sealing.open(place, envelope)?;
                    Some(Fingerprint(plain.as_slice().try_into().map_err(|_| Malformed("rotation_client"))?))
                }
                None => None,
            };
            Some(LastRotation {
                predecessor: TokenHash(predecessor),
                at,
                client,
                sealed_pair: pair.unwrap_or_default().into(),
            })
        }
        (None, None, None) => None,
        _ => return Err(Malformed("rotation").into()),
    };
    let generation = row.optional_number("generation")?.ok_or(Malformed("generation"))?;
    Ok(Some(Refresh { current: TokenHash(current), generation, last }))
}

const JKT: u8 = 1;
const DEVICE_BOUND: u8 = 2;

fn confirmation_bytes(confirmation: KeyConfirmation) -> Vec<u8> {
    let (form, thumbprint) = match confirmation {
        KeyConfirmation::Jkt(thumbprint) => (JKT, thumbprint),
        KeyConfirmation::DeviceBound(thumbprint) => (DEVICE_BOUND, thumbprint),
    };
    [&[form], thumbprint.as_slice()].concat()
}

fn decode_confirmation(bytes: [u8; 33]) -> Result<KeyConfirmation, Malformed> {
    let [form, thumbprint @ ..] = bytes;
    match form {
        JKT => Ok(KeyConfirmation::Jkt(thumbprint)),
        DEVICE_BOUND => Ok(KeyConfirmation::DeviceBound(thumbprint)),
        _ => Err(Malformed("confirmation")),
    }
}
