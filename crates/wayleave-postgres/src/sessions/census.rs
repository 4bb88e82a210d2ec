//! `census`: how many sessions there are; and `ping`: whether the database takes writes.

use sqlx::postgres::PgRow;
use wayleave_core::policy::KindName;
use wayleave_core::ports::{Census, StoreError};
use wayleave_core::stored::{Columns as _, Malformed};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;

/// Counts by kind, live and ended apart, from the index alone.
pub(crate) const CENSUS: &str =
    "SELECT kind, ends_at > $1 AS live, count(*) AS sessions FROM sessions GROUP BY kind, live ORDER BY kind";
// A standby that is not promoted answers, too, but signs nobody in or out.
const PING: &str = "SELECT pg_is_in_recovery() AS standby FROM (SELECT count(*) FROM \
     (SELECT FROM sessions LIMIT 1) AS any_session) AS table_is_there";

pub(super) fn statement(now: Timestamp) -> Statement {
    Statement::new(CENSUS).bind(now.as_millis())
}

pub(super) fn count(rows: &[PgRow]) -> Result<Census, StoreError> {
    let mut census = Census::default();
    for row in rows {
        let row = Columns(row);
        let sessions = row.number("sessions")?;
        if !row.flag("live")? {
            census.ended += sessions;
        } else if let Ok(kind) = row.parsed::<KindName>("kind") {
            census.live.push((kind, sessions));
        } else {
            tracing::warn!(sessions, "left sessions out that cannot be read");
        }
    }
    Ok(census)
}

pub(super) fn ping() -> Statement {
    Statement::new(PING)
}

pub(super) fn answers(row: Option<&PgRow>) -> Result<(), StoreError> {
    if Columns(row.ok_or(Malformed("answer"))?).flag("standby")? {
        return Err(StoreError::unavailable(Standby));
    }
    Ok(())
}

#[derive(Copy, Clone, Debug, thiserror::Error)]
#[error("the server is a standby, which takes no writes")]
struct Standby;
