//! Counters of failed attempts.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::lockout::{Counter, Reservation, Rule};
use wayleave_core::ports::{CounterKey, Counters, StoreError};
use wayleave_core::stored;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

const READ: &str = "SELECT attempts, since, locked_until FROM counters WHERE key = ?1";
const SAVE: &str = "INSERT INTO counters (key, attempts, since, locked_until) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (key) DO UPDATE SET \
     attempts = excluded.attempts, since = excluded.since, locked_until = excluded.locked_until";
pub(crate) const SWEEP: &str = "DELETE FROM counters WHERE key IN (SELECT key FROM counters \
     WHERE since <= ?1 AND (locked_until IS NULL OR locked_until <= ?2) ORDER BY since LIMIT ?3)";

#[async_trait]
impl Counters for SqliteStore {
    async fn reserve(&self, key: CounterKey, rule: Rule, now: Timestamp) -> Result<Reservation, StoreError> {
        self.write(Reserve { key, rule, now }).await
    }

    async fn clear(&self, key: CounterKey) -> Result<bool, StoreError> {
        self.write(Clear(key)).await
    }

    async fn read(&self, key: CounterKey) -> Result<Counter, StoreError> {
        let row = self.read_one(sqlx::query(READ).bind(key.0.to_vec())).await?;
        row.map_or(Ok(Counter::default()), |row| stored::counter(Columns(&row)))
    }

    async fn sweep(&self, rule: Rule, now: Timestamp, most: u32) -> Result<u32, StoreError> {
        self.write(Sweep { window: rule.window, now, most }).await
    }
}

struct Reserve {
    key: CounterKey,
    rule: Rule,
    now: Timestamp,
}

#[async_trait]
impl Write for Reserve {
    type Output = Reservation;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Reservation, StoreError> {
        let Self { key, rule, now } = self;
        let read = sqlx::query(READ).bind(key.0.to_vec()).fetch_optional(&mut *connection).await.map_err(failed)?;
        let held = read.map_or(Ok(Counter::default()), |row| stored::counter(Columns(&row)))?;
        let (next, reservation) = held.reserve(*rule, *now);
        if next != held {
            let Counter { count, since, locked_until } = next;
            let save = sqlx::query(SAVE)
                .bind(key.0.to_vec())
                .bind(count)
                .bind(since.map(|at| at.as_millis()))
                .bind(locked_until.map(|at| at.as_millis()));
            save.execute(connection).await.map_err(failed)?;
        }
        Ok(reservation)
    }
}

struct Clear(CounterKey);

#[async_trait]
impl Write for Clear {
    type Output = bool;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        let clear = sqlx::query("DELETE FROM counters WHERE key = ?1").bind(self.0.0.to_vec());
        Ok(clear.execute(connection).await.map_err(failed)?.rows_affected() > 0)
    }
}

/// Removes what [`Counter::forgettable_at`] allows, said in columns so that an index finds it.
struct Sweep {
    window: Duration,
    now: Timestamp,
    most: u32,
}

#[async_trait]
impl Write for Sweep {
    type Output = u32;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<u32, StoreError> {
        let Self { window, now, most } = self;
        // Not `Timestamp::minus`, which stops at the epoch: a window that began there would seem to be over.
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let since = now.as_millis().saturating_sub(window);
        let sweep = sqlx::query(SWEEP).bind(since).bind(now.as_millis()).bind(*most);
        let removed = sweep.execute(connection).await.map_err(failed)?.rows_affected();
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }
}
