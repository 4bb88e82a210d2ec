//! `touch`: activity of many sessions in one statement, forward only, without counting as a change.

use std::collections::HashSet;

use sqlx::postgres::PgRow;
use wayleave_core::ports::{StoreError, Touch};
use wayleave_core::record::Activity;
use wayleave_core::stored::{Columns as _, Malformed};

use crate::columns::Columns;
use crate::statement::Statement;

pub(crate) const TOUCH: &str = "SELECT session_touch($1, $2, $3, $4, $5) AS written";

/// One statement; more only where a session is named several times, since one statement changes a row once.
pub(super) fn statements(touches: &[Touch]) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut left: Vec<&Touch> = touches.iter().collect();
    while !left.is_empty() {
        let mut named = HashSet::with_capacity(left.len());
        let (first, again) = left.into_iter().partition(|touch| named.insert(touch.id.bytes()));
        statements.push(statement(first));
        left = again;
    }
    statements
}

fn statement(touches: Vec<&Touch>) -> Statement {
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for Touch { id, slot, activity: Activity { seen_at, idle_expires_at } } in touches {
        columns.0.push(id.bytes().to_vec());
        columns.1.push(i64::from(slot.0));
        columns.2.push(id.prefix().as_str().to_owned());
        columns.3.push(seen_at.as_millis());
        columns.4.push(idle_expires_at.map(|at| at.as_millis()));
    }
    let (ids, slots, prefixes, seen_at, idle_expires_at) = columns;
    Statement::new(TOUCH).bind(ids).bind(slots).bind(prefixes).bind(seen_at).bind(idle_expires_at)
}

pub(super) fn written(row: Option<&PgRow>) -> Result<usize, StoreError> {
    Columns(row.ok_or(Malformed("written"))?).number("written")
}
