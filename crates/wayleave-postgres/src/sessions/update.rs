//! `update`: compare-and-set by [`Record::updated_from`], which the database does by itself.

use sqlx::postgres::PgRow;
use wayleave_core::ports::{StoreError, Update};
use wayleave_core::record::{Record, Revision};
use wayleave_core::stored::{Columns as _, Malformed, Sealing};

use crate::columns::{Columns, integer};
use crate::statement::Statement;
use crate::stored::{bind_sealed, bind_state, record, record_columns};

pub(crate) const UPDATE: &str = concat!(
    "SELECT outcome, ",
    record_columns!("(held)."),
    " FROM session_update($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
);

pub(super) fn statement(changed: &Record, expected: Revision, sealing: &Sealing) -> Result<Statement, StoreError> {
    if !changed.fits() {
        return Err(StoreError::Full);
    }
    let sealed = sealing.seal_record(changed)?;
    Ok(bind_sealed(bind_state(Statement::new(UPDATE), changed)?, &sealed)
        .bind(changed.id.bytes())
        .bind(changed.id.prefix().as_str())
        .bind(i64::from(changed.slot.0))
        .bind(integer(expected.0)?))
}

pub(super) fn outcome(row: Option<&PgRow>, sealing: &Sealing) -> Result<Update, StoreError> {
    let row = row.ok_or(Malformed("outcome"))?;
    match Columns(row).text("outcome")? {
        "done" => Ok(Update::Done(record(row, sealing)?)),
        "conflict" => Ok(Update::Conflict),
        "missing" => Ok(Update::Missing),
        _ => Err(Malformed("outcome").into()),
    }
}
