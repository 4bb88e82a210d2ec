//! Records as rows: which column holds what.

use std::sync::Arc;

use sqlx::postgres::PgRow;
use wayleave_core::ports::StoreError;
use wayleave_core::record::Record;
use wayleave_core::refresh::client_tag;
use wayleave_core::stored::{
    self, Columns as _, Malformed, SealedColumns, Sealing, confirmation_bytes, permissions_text,
};

use crate::columns::{Columns, integer};
use crate::statement::Statement;

/// The newest form of rows that this version knows.
const FORM: i64 = 1;

/// The columns of whole records, each behind a prefix.
macro_rules! record_columns {
    ($prefix:literal) => {
        concat!(
            $prefix,
            "form, ",
            $prefix,
            "id, ",
            $prefix,
            "prefix, ",
            $prefix,
            "slot, ",
            $prefix,
            "family, ",
            $prefix,
            "kind, ",
            $prefix,
            "subject, ",
            $prefix,
            "created_at, ",
            $prefix,
            "absolute_expires_at, ",
            $prefix,
            "token, ",
            $prefix,
            "refresh, ",
            $prefix,
            "generation, ",
            $prefix,
            "rotation_predecessor, ",
            $prefix,
            "rotation_at, ",
            $prefix,
            "rotation_client, ",
            $prefix,
            "rotation_pair, ",
            $prefix,
            "actor, ",
            $prefix,
            "permissions, ",
            $prefix,
            "methods, ",
            $prefix,
            "authenticated_at, ",
            $prefix,
            "level, ",
            $prefix,
            "epoch, ",
            $prefix,
            "remembered, ",
            $prefix,
            "licence, ",
            $prefix,
            "last_seen_at, ",
            $prefix,
            "idle_expires_at, ",
            $prefix,
            "token_expires_at, ",
            $prefix,
            "expired_at, ",
            $prefix,
            "confirmation, ",
            $prefix,
            "revision, ",
            $prefix,
            "client, ",
            $prefix,
            "context, ",
            $prefix,
            "data"
        )
    };
}
pub(crate) use record_columns;

/// `SELECT` of whole records, with the rest of the statement.
macro_rules! select_records {
    ($rest:literal) => {
        concat!("SELECT ", $crate::stored::record_columns!(""), " FROM sessions ", $rest)
    };
}
pub(crate) use select_records;

/// What [`wayleave_core::stored::gone`] needs of a row in the column `held`.
macro_rules! gone_columns {
    () => {
        "(held).id, (held).prefix, (held).slot, (held).family, (held).token, (held).kind, (held).subject"
    };
}
pub(crate) use gone_columns;

/// The record of a row of [`record_columns`].
///
/// # Errors
/// Corrupt when it cannot be read, also because a newer version wrote it in a form of its own.
pub(crate) fn record(row: &PgRow, sealing: &Sealing) -> Result<Arc<Record>, StoreError> {
    let row = Columns(row);
    if row.number::<i64>("form")? > FORM {
        return Err(Malformed("form").into());
    }
    stored::record(row, sealing).map(Arc::new)
}

/// Binds what an update may change, in the order of the functions' arguments, without the revision.
pub(crate) fn bind_state(statement: Statement, record: &Record) -> Result<Statement, StoreError> {
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
        revision: _,
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
    } = record;
    Ok(statement
        .bind(actor.as_ref().map(|actor| actor.as_str()))
        .bind(permissions_text(permissions))
        .bind(authentication.map(|authentication| i64::from(authentication.methods.bits())))
        .bind(authentication.map(|authentication| authentication.at.as_millis()))
        .bind(authentication.map(|authentication| i64::from(authentication.level.number())))
        .bind(integer(*epoch)?)
        .bind(*remembered)
        .bind(licence.as_deref())
        .bind(last_seen_at.as_millis())
        .bind(idle_expires_at.map(|at| at.as_millis()))
        .bind(token_expires_at.as_millis())
        .bind(expired_at.map(|at| at.as_millis()))
        .bind(confirmation.map(confirmation_bytes)))
}

/// Binds the three sealed columns.
pub(crate) fn bind_sealed(statement: Statement, sealed: &SealedColumns) -> Statement {
    let SealedColumns { client, context, data } = sealed;
    statement.bind(client.as_deref()).bind(context.as_deref()).bind(data.as_deref())
}

/// Binds what only an insertion writes. `rotation_client` is the sealed client of the last rotation.
pub(crate) fn bind_identity(statement: Statement, record: &Record, rotation_client: Option<&[u8]>) -> Statement {
    let refresh = record.refresh.as_ref();
    let last = record.last_rotation();
    statement
        .bind(record.id.bytes())
        .bind(record.id.prefix().as_str())
        .bind(i64::from(record.slot.0))
        .bind(record.family.0)
        .bind(record.kind.as_str())
        .bind(record.subject.as_ref().map(|subject| subject.as_str()))
        .bind(record.created_at.as_millis())
        .bind(record.absolute_expires_at.as_millis())
        .bind(record.token.0)
        .bind(refresh.map(|refresh| refresh.current.0))
        .bind(refresh.map(|refresh| i64::from(refresh.generation)))
        .bind(last.map(|last| last.predecessor.0))
        .bind(last.map(|last| last.at.as_millis()))
        .bind(rotation_client)
        .bind(last.map(|last| client_tag(last.predecessor, last.client)))
        .bind(last.and_then(|last| sealed_pair(&last.sealed_pair)))
}

/// A pair as it is stored: NULL where there is none to repeat.
pub(crate) fn sealed_pair(pair: &[u8]) -> Option<&[u8]> {
    (!pair.is_empty()).then_some(pair)
}
