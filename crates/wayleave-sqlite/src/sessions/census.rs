//! `census`: how many sessions there are; and the write that changes nothing, for `ping`.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use wayleave_core::policy::KindName;
use wayleave_core::ports::{Census, StoreError};
use wayleave_core::stored::Columns as _;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::store::Query;
use crate::writer::Write;

/// Counts by kind, live and ended apart, from the index alone.
pub(crate) const CENSUS: &str =
    "SELECT kind, ends_at > ?1 AS live, count(*) AS sessions FROM sessions GROUP BY kind, live ORDER BY kind";

pub(super) fn statement(now: Timestamp) -> Query {
    sqlx::query(CENSUS).bind(now.as_millis())
}

pub(super) fn count(rows: &[SqliteRow]) -> Result<Census, StoreError> {
    let mut census = Census::default();
    for row in rows {
        let row = Columns(row);
        let sessions = row.number("sessions")?;
        if row.flag("live")? {
            census.live.push((row.parsed::<KindName>("kind")?, sessions));
        } else {
            census.ended += sessions;
        }
    }
    Ok(census)
}

pub(super) struct Nothing;

#[async_trait]
impl Write for Nothing {
    type Output = ();

    async fn run(&self, _connection: &mut SqliteConnection) -> Result<(), StoreError> {
        Ok(())
    }
}
