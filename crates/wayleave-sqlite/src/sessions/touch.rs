//! `touch`: activity of many sessions, forward only, without counting as a change.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{StoreError, Touch};
use wayleave_core::record::Activity;

use crate::error::failed;
use crate::writer::Write;

// As `Activity::moved_forward` has it: SQLite's `max` of a NULL is NULL, so no end at all is later than any.
macro_rules! idle {
    () => {
        "CASE WHEN ?5 IS NULL AND ?4 <= last_seen_at THEN idle_expires_at ELSE max(idle_expires_at, ?5) END"
    };
}

// `ends_at` as `Record::ends_at` has it for a record that was not found expired.
pub(crate) const TOUCH: &str = concat!(
    "UPDATE sessions SET last_seen_at = max(last_seen_at, ?4), idle_expires_at = ",
    idle!(),
    ", ends_at = min(absolute_expires_at, coalesce(",
    idle!(),
    ", absolute_expires_at), iif(refresh IS NULL, token_expires_at, absolute_expires_at)) \
     WHERE id = ?1 AND slot = ?2 AND prefix = ?3 AND expired_at IS NULL"
);

pub(super) struct TouchRecords(pub(super) Box<[Touch]>);

#[async_trait]
impl Write for TouchRecords {
    type Output = usize;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<usize, StoreError> {
        let mut written = 0;
        for Touch { id, slot, activity: Activity { seen_at, idle_expires_at } } in &self.0 {
            let touch = sqlx::query(TOUCH)
                .bind(id.bytes().to_vec())
                .bind(slot.0)
                .bind(id.prefix().as_str())
                .bind(seen_at.as_millis())
                .bind(idle_expires_at.map(|at| at.as_millis()));
            if touch.execute(&mut *connection).await.map_err(failed)?.rows_affected() > 0 {
                written += 1;
            }
        }
        Ok(written)
    }
}
