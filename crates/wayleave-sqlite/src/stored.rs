//! Records as rows: which column holds what.

use wayleave_core::ports::StoreError;
use wayleave_core::record::Record;
use wayleave_core::stored::{SealedColumns, confirmation_bytes, permissions_text};

use crate::columns::integer;
use crate::store::Query;

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

/// What [`wayleave_core::stored::gone`] needs of a deleted row.
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
