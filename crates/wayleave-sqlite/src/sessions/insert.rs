//! `insert`: adds a record, ends the one that it replaces, and keeps to the limit, in one step.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::id::SessionId;
use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Gone, Insert, InsertLimit, Replaces, StoreError};
use wayleave_core::record::{MAX_CLOCK_SKEW, Record, Revision};
use wayleave_core::stored::{Columns as _, SealedColumns, Sealing};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use super::gone;
use crate::columns::Columns;
use crate::error::failed;
use crate::stored::{INSERT, bind_identity, bind_state, returning_gone};
use crate::writer::Write;

pub(crate) const REVISION: &str = "SELECT revision FROM sessions WHERE id = ?1 AND prefix = ?2";
// As `Record::has_ended` and `Record::found_expired` have it.
pub(crate) const MARK_ENDED: &str = "UPDATE sessions SET expired_at = ?3, ends_at = min(ends_at, ?3), \
     revision = revision + 1 WHERE subject = ?1 AND kind = ?2 AND expired_at IS NULL AND id <> ?4 \
     AND ends_at <= ?3";
const END: &str = returning_gone!("DELETE FROM sessions WHERE id = ?1 AND prefix = ?2");
// Those that were opened in the future are told apart: they make room first.
pub(crate) const COUNT: &str = "SELECT count(*), count(*) FILTER (WHERE created_at > ?5) FROM sessions WHERE subject = ?1 AND kind = ?2 AND ends_at > ?3 \
     AND expired_at IS NULL AND id <> ?4";
pub(crate) const EVICT_OLDEST: &str = returning_gone!(
    "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE subject = ?1 AND kind = ?2 AND ends_at > ?3 \
     AND expired_at IS NULL AND id <> ?4 ORDER BY created_at <= ?5, created_at, id LIMIT ?6)"
);
pub(crate) const EVICT_LEAST_RECENTLY_SEEN: &str = returning_gone!(
    "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE subject = ?1 AND kind = ?2 AND ends_at > ?3 \
     AND expired_at IS NULL AND id <> ?4 ORDER BY created_at <= ?5, last_seen_at, created_at, id LIMIT ?6)"
);

pub(super) struct InsertRecord {
    record: Record,
    sealed: SealedColumns,
    rotation_client: Option<Box<[u8]>>,
    limit: Option<InsertLimit>,
    replaces: Option<Replaces>,
    now: Timestamp,
}

impl InsertRecord {
    pub(super) fn new(
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
        sealing: &Sealing,
    ) -> Result<Self, StoreError> {
        if !record.fits() {
            return Err(StoreError::Full);
        }
        let last = record.last_rotation();
        let rotation_client = match last {
            Some(last) => sealing.seal_rotation_client(last.client, last.predecessor)?,
            None => None,
        };
        Ok(Self { record: record.clone(), sealed: sealing.seal_record(record)?, rotation_client, limit, replaces, now })
    }

    /// Whether the record to replace is as it was expected to be.
    async fn is_as_expected(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let Some(Replaces { id, expected: Some(expected) }) = self.replaces else {
            return Ok(true);
        };
        let held = sqlx::query(REVISION).bind(id.bytes().to_vec()).bind(id.prefix().as_str());
        let held = held.fetch_optional(connection).await.map_err(failed)?;
        let held = held.map(|row| Columns(&row).number("revision").map(Revision)).transpose()?;
        Ok(held == Some(expected))
    }

    /// Marks what has ended, so that it is not counted today and back tomorrow. Says whether there was something.
    async fn mark_ended(&self, connection: &mut SqliteConnection, subject: &Subject) -> Result<bool, StoreError> {
        let mark = sqlx::query(MARK_ENDED)
            .bind(subject.as_str())
            .bind(self.record.kind.as_str())
            .bind(self.now.as_millis())
            .bind(self.record.id.bytes().to_vec());
        Ok(mark.execute(connection).await.map_err(failed)?.rows_affected() > 0)
    }

    /// How many must go so that the new record keeps to the limit, and how many were opened in the future.
    async fn excess(
        &self,
        connection: &mut SqliteConnection,
        subject: &Subject,
        most: u32,
    ) -> Result<(i64, i64), StoreError> {
        let (others, ahead): (i64, i64) = sqlx::query_as(COUNT)
            .bind(subject.as_str())
            .bind(self.record.kind.as_str())
            .bind(self.now.as_millis())
            .bind(self.record.id.bytes().to_vec())
            .bind(self.now.plus(MAX_CLOCK_SKEW).as_millis())
            .fetch_one(connection)
            .await
            .map_err(failed)?;
        Ok((others + 1 - i64::from(most), ahead))
    }

    async fn evict(
        &self,
        connection: &mut SqliteConnection,
        statement: &'static str,
        subject: &Subject,
        excess: i64,
    ) -> Result<Vec<Gone>, StoreError> {
        let rows = sqlx::query(statement)
            .bind(subject.as_str())
            .bind(self.record.kind.as_str())
            .bind(self.now.as_millis())
            .bind(self.record.id.bytes().to_vec())
            .bind(self.now.plus(MAX_CLOCK_SKEW).as_millis())
            .bind(excess)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
        Ok(gone(&rows))
    }
}

#[async_trait]
impl Write for InsertRecord {
    type Output = Insert;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Insert, StoreError> {
        let Self { record, sealed, rotation_client, limit, replaces, now: _ } = self;
        if !self.is_as_expected(connection).await? {
            return Ok(Insert::Conflict);
        }
        // First the new one: what it replaces may be the last of its family, whose spent tokens have to stay.
        let insert =
            bind_identity(bind_state(sqlx::query(INSERT), record, sealed)?, record, rotation_client.as_deref());
        if insert.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
            return Ok(Insert::Exists);
        }
        let replaced = match replaces {
            Some(Replaces { id, expected: _ }) => end(connection, id).await?,
            None => None,
        };
        let (Some(limit), Some(subject)) = (limit, &record.subject) else {
            return Ok(Insert::Done { replaced, evicted: Vec::new(), marked: false });
        };
        let marked = self.mark_ended(connection, subject).await?;
        let (excess, ahead) = self.excess(connection, subject, limit.most).await?;
        if excess <= 0 {
            return Ok(Insert::Done { replaced, evicted: Vec::new(), marked });
        }
        // Where there may be none, there is nobody to make room for it.
        if limit.most == 0 || (limit.at_limit == AtLimit::Refuse && excess > ahead) {
            end(connection, &record.id).await?;
            return Ok(Insert::Refused);
        }
        let statement = match limit.at_limit {
            AtLimit::EvictOldest | AtLimit::Refuse => EVICT_OLDEST,
            AtLimit::EvictLeastRecentlySeen => EVICT_LEAST_RECENTLY_SEEN,
        };
        let evicted = self.evict(connection, statement, subject, excess).await?;
        Ok(Insert::Done { replaced, evicted, marked })
    }
}

async fn end(connection: &mut SqliteConnection, id: &SessionId) -> Result<Option<Gone>, StoreError> {
    let end = sqlx::query(END).bind(id.bytes().to_vec()).bind(id.prefix().as_str());
    let rows = end.fetch_all(connection).await.map_err(failed)?;
    Ok(gone(&rows).pop())
}
