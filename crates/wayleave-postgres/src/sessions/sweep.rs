//! `sweep`: removes what has ended, a bounded number of each kind at a time, by the index on the end. It waits for
//! nobody: what is locked is left to the next sweep. Known devices and orphaned spent tokens are swept along.

use sqlx::postgres::PgRow;
use wayleave_core::ports::{StoreError, Swept};
use wayleave_core::stored::{Columns as _, Malformed};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;

pub(crate) const SWEEP: &str = "SELECT records, tickets, more FROM sweep($1, $2)";

pub(super) fn statement(before: Timestamp, most: u32) -> Statement {
    Statement::new(SWEEP).bind(before.as_millis()).bind(i64::from(most))
}

pub(super) fn swept(row: Option<&PgRow>) -> Result<Swept, StoreError> {
    let row = Columns(row.ok_or(Malformed("swept"))?);
    Ok(Swept { records: row.number("records")?, tickets: row.number("tickets")?, more: row.flag("more")? })
}
