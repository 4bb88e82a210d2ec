//! Rows of sessions as records.

use super::{Columns, Malformed, Sealing, decode_confirmation};
use crate::authentication::{Authentication, Level, Methods};
use crate::id::{FamilyId, IdPrefix, SessionId, Slot};
use crate::ports::{Gone, StoreError};
use crate::record::{LastRotation, Record, Refresh, Revision};
use crate::token::TokenHash;

/// The record of a row. The columns are called as the record's fields are, those of the last rotation
/// `rotation_predecessor`, `rotation_at`, `rotation_client` and `rotation_pair`.
///
/// # Errors
/// Corrupt when a column is not what it should be, or an envelope does not open in this row.
pub fn record<'r>(row: impl Columns<'r>, sealing: &Sealing) -> Result<Record, StoreError> {
    let id = session_id(row)?;
    Ok(Record {
        id,
        slot: Slot(row.number("slot")?),
        family: FamilyId(row.bytes("family")?),
        token: TokenHash(row.bytes("token")?),
        kind: row.parsed("kind")?,
        subject: row.optional_parsed("subject")?,
        actor: row.optional_parsed("actor")?,
        permissions: row.permissions("permissions")?,
        authentication: authentication(row)?,
        epoch: row.number("epoch")?,
        remembered: row.flag("remembered")?,
        licence: row.optional_text("licence")?.map(Into::into),
        created_at: row.time("created_at")?,
        last_seen_at: row.time("last_seen_at")?,
        idle_expires_at: row.optional_time("idle_expires_at")?,
        token_expires_at: row.time("token_expires_at")?,
        absolute_expires_at: row.time("absolute_expires_at")?,
        expired_at: row.optional_time("expired_at")?,
        client: sealing.open_client(&id, row.optional_blob("client")?)?,
        context: sealing.open_context(&id, row.optional_blob("context")?)?,
        data: sealing.open_data(&id, row.optional_blob("data")?)?,
        refresh: refresh(row, sealing)?,
        confirmation: row.optional_bytes("confirmation")?.map(decode_confirmation).transpose()?,
        revision: Revision(row.number("revision")?),
    })
}

/// What is left to say of a row that was deleted.
///
/// # Errors
/// As [`record`].
pub fn gone<'r>(row: impl Columns<'r>) -> Result<Gone, StoreError> {
    Ok(Gone {
        id: session_id(row)?,
        slot: Slot(row.number("slot")?),
        family: FamilyId(row.bytes("family")?),
        token: TokenHash(row.bytes("token")?),
        kind: row.parsed("kind")?,
        subject: row.optional_parsed("subject")?,
    })
}

/// The id of a row, from its columns `prefix` and `id`.
///
/// # Errors
/// As [`record`].
pub fn session_id<'r>(row: impl Columns<'r>) -> Result<SessionId, StoreError> {
    let prefix = IdPrefix::new(row.text("prefix")?).map_err(StoreError::corrupt)?;
    Ok(SessionId::from_bytes(prefix, &row.bytes("id")?))
}

fn authentication<'r>(row: impl Columns<'r>) -> Result<Option<Authentication>, StoreError> {
    let methods = row.optional_number("methods")?.map(Methods::from_bits);
    let at = row.optional_time("authenticated_at")?;
    let level = row.optional_number("level")?.map(|number| Level::new(number).ok_or(Malformed("level"))).transpose()?;
    match (methods, at, level) {
        (Some(methods), Some(at), Some(level)) => Ok(Some(Authentication { methods, at, level })),
        (None, None, None) => Ok(None),
        _ => Err(Malformed("authentication").into()),
    }
}

fn refresh<'r>(row: impl Columns<'r>, sealing: &Sealing) -> Result<Option<Refresh>, StoreError> {
    let Some(current) = row.optional_bytes("refresh")? else {
        return Ok(None);
    };
    let predecessor = row.optional_bytes("rotation_predecessor")?.map(TokenHash);
    let at = row.optional_time("rotation_at")?;
    let pair = row.optional_blob("rotation_pair")?;
    let last = match (predecessor, at, pair) {
        (Some(predecessor), Some(at), pair) => Some(LastRotation {
            predecessor,
            at,
            client: sealing.open_rotation_client(predecessor, row.optional_blob("rotation_client")?)?,
            sealed_pair: pair.unwrap_or_default().into(),
        }),
        (None, None, None) => None,
        _ => return Err(Malformed("rotation").into()),
    };
    let generation = row.optional_number("generation")?.ok_or(Malformed("generation"))?;
    Ok(Some(Refresh { current: TokenHash(current), generation, last }))
}
