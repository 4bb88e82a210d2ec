//! `insert`: adds a record, ends the one that it replaces, and keeps to the limit, in one step.

use sqlx::postgres::PgRow;
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Insert, InsertLimit, Replaces, StoreError};
use wayleave_core::record::{MAX_CLOCK_SKEW, Record};
use wayleave_core::stored::{Columns as _, Malformed};
use wayleave_core::time::Timestamp;

use super::gone;
use crate::columns::{Columns, integer};
use crate::statement::Statement;
use crate::store::PostgresStore;
use crate::stored::{bind_identity, bind_sealed, bind_state, gone_columns};

pub(crate) const INSERT: &str = concat!(
    "SELECT outcome, ",
    gone_columns!(),
    " FROM session_insert($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
     $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41)"
);

pub(super) fn statement(
    store: &PostgresStore,
    record: &Record,
    limit: Option<InsertLimit>,
    replaces: Option<Replaces>,
    now: Timestamp,
) -> Result<Statement, StoreError> {
    if !record.fits() {
        return Err(StoreError::Full);
    }
    let rotation_client = match record.last_rotation() {
        Some(last) => store.sealing.seal_rotation_client(last.client, last.predecessor)?,
        None => None,
    };
    let sealed = store.sealing.seal_record(record)?;
    let statement = bind_state(Statement::new(INSERT).bind(store.slots.0), record)?.bind(integer(record.revision.0)?);
    let statement = bind_identity(bind_sealed(statement, &sealed), record, rotation_client.as_deref());
    let expected = replaces.and_then(|replaces| replaces.expected).map(|expected| integer(expected.0)).transpose()?;
    Ok(statement
        .bind(replaces.map(|replaces| replaces.id.bytes()))
        .bind(replaces.as_ref().map(|replaces| replaces.id.prefix().as_str().to_owned()))
        .bind(expected)
        .bind(limit.map(|limit| i64::from(limit.most)))
        .bind(limit.map(|limit| at_limit(limit.at_limit)))
        .bind(now.as_millis())
        .bind(now.plus(MAX_CLOCK_SKEW).as_millis()))
}

const fn at_limit(at_limit: AtLimit) -> &'static str {
    match at_limit {
        AtLimit::EvictOldest => "oldest",
        AtLimit::EvictLeastRecentlySeen => "least-recently-seen",
        AtLimit::Refuse => "refuse",
    }
}

pub(super) fn outcome(rows: &[PgRow]) -> Result<Insert, StoreError> {
    let Some((first, ended)) = rows.split_first() else {
        return Err(Malformed("outcome").into());
    };
    match Columns(first).text("outcome")? {
        outcome @ ("done" | "marked") => {
            let told = |what: &'static str| {
                gone(ended.iter().filter(move |row| Columns(row).text("outcome").is_ok_and(|told| told == what)))
            };
            let (replaced, evicted) = (told("replaced").pop(), told("evicted"));
            Ok(Insert::Done { replaced, evicted, marked: outcome == "marked" })
        }
        "exists" => Ok(Insert::Exists),
        "refused" => Ok(Insert::Refused),
        "conflict" => Ok(Insert::Conflict),
        _ => Err(Malformed("outcome").into()),
    }
}
