//! `rotate`: exchanges a refresh token by the verdict of [`wayleave_core::refresh::judge`], which the database reaches
//! by itself in the same step. And `erase_pairs`: what is kept for those who lost the answer goes when nobody may ask
//! again.

use std::time::Duration;

use sqlx::postgres::PgRow;
use wayleave_core::ports::{NextPair, Rotate, Rotation, StoreError};
use wayleave_core::record::{Activity, Limit, MAX_CLOCK_SKEW};
use wayleave_core::refresh::client_tag;
use wayleave_core::stored::{Columns as _, Malformed, Sealing};
use wayleave_core::time::Timestamp;
use wayleave_core::token::TokenHash;

use super::gone;
use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;
use crate::stored::{record, record_columns, sealed_pair};

pub(crate) const ROTATE: &str = concat!(
    "SELECT outcome, previous, ",
    record_columns!("(held)."),
    " FROM session_rotate($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
);
pub(crate) const ERASE_PAIRS: &str = "SELECT session_erase_pairs($1, $2, $3) AS erased";

/// How many rotations lie between two looks at what a family may forget.
const FORGET_EVERY: i64 = 64;

pub(super) fn statement(store: &PostgresStore, rotation: &Rotation) -> Result<Statement, StoreError> {
    let Rotation { presented, next, token_expires_at, activity, client, window, now } = rotation;
    let NextPair { token, refresh, sealed } = next;
    let Activity { seen_at, idle_expires_at } = activity;
    Ok(Statement::new(ROTATE)
        .bind(store.slots.0)
        .bind(i64::from(presented.slot.0))
        .bind(presented.hash.0)
        .bind(token.0)
        .bind(refresh.0)
        .bind(sealed_pair(sealed))
        .bind(store.sealing.seal_rotation_client(*client, presented.hash)?)
        .bind(client_tag(presented.hash, *client))
        .bind(token_expires_at.as_millis())
        .bind(seen_at.as_millis())
        .bind(idle_expires_at.map(|at| at.as_millis()))
        .bind(now.as_millis())
        .bind(whole_millis(*window))
        .bind(now.plus(MAX_CLOCK_SKEW).as_millis())
        .bind(i64::try_from(Rotation::SPENT_KEPT).unwrap_or(i64::MAX))
        .bind(FORGET_EVERY))
}

/// As many whole milliseconds as a distance of whole milliseconds must stay below to be below `window`.
fn whole_millis(window: Duration) -> i64 {
    i64::try_from(window.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

pub(super) fn outcome(rows: &[PgRow], sealing: &Sealing) -> Result<Rotate, StoreError> {
    let Some(row) = rows.first() else {
        return Err(Malformed("outcome").into());
    };
    let columns = Columns(row);
    match columns.text("outcome")? {
        "done" => Ok(Rotate::Done { record: record(row, sealing)?, previous: TokenHash(columns.bytes("previous")?) }),
        "repeat" => {
            Ok(Rotate::Repeat { record: record(row, sealing)?, sealed_pair: columns.blob("rotation_pair")?.into() })
        }
        "reuse" => Ok(Rotate::Reuse(gone(rows))),
        "idle" => Ok(Rotate::Expired(record(row, sealing)?, Limit::Idle)),
        "absolute" => Ok(Rotate::Expired(record(row, sealing)?, Limit::Absolute)),
        "not-before" => Ok(Rotate::Expired(record(row, sealing)?, Limit::NotBefore)),
        "unknown" => Ok(Rotate::Unknown),
        _ => Err(Malformed("outcome").into()),
    }
}

pub(super) fn erase_pairs(before: Timestamp, most: u32) -> Statement {
    let ahead = Rotation::closed_from(before);
    Statement::new(ERASE_PAIRS).bind(before.as_millis()).bind(ahead.as_millis()).bind(i64::from(most))
}

pub(super) fn erased(row: Option<&PgRow>) -> Result<u32, StoreError> {
    Columns(row.ok_or(Malformed("erased"))?).number("erased")
}
