//! Counters of failed attempts.

use async_trait::async_trait;
use wayleave_core::lockout::{Counter, Reservation, Rule};
use wayleave_core::ports::{CounterKey, Counters, StoreError};
use wayleave_core::stored::{self, Columns as _, Malformed};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;

pub(crate) const READ: &str = "SELECT attempts, since, locked_until FROM counters WHERE key = $1";
const RESERVE: &str = "SELECT granted, attempts, since, locked_until FROM counter_reserve($1, $2, $3, $4, $5, $6)";
const CLEAR: &str = "DELETE FROM counters WHERE key = $1 RETURNING 1";
pub(crate) const SWEEP: &str = "DELETE FROM counters WHERE key = ANY (ARRAY(SELECT key FROM counters \
     WHERE since <= $1 AND (locked_until IS NULL OR locked_until <= $2) ORDER BY since LIMIT $3 \
     FOR UPDATE SKIP LOCKED)) RETURNING 1";

#[async_trait]
impl Counters for PostgresStore {
    async fn reserve(&self, key: CounterKey, rule: Rule, now: Timestamp) -> Result<Reservation, StoreError> {
        let reserve = Statement::new(RESERVE)
            .bind(key.0)
            .bind(i64::from(rule.attempts))
            .bind(i64::try_from(rule.window.as_millis()).unwrap_or(i64::MAX).min(Timestamp::MAX.as_millis()))
            .bind(now.as_millis())
            .bind(now.plus(rule.lock).as_millis())
            .bind(Timestamp::MAX.as_millis());
        let row = self.write_one(&reserve).await?.ok_or(Malformed("counter"))?;
        let Counter { count, since: _, locked_until } = stored::counter(Columns(&row))?;
        if Columns(&row).flag("granted")? {
            return Ok(Reservation::Granted {
                remaining: rule.attempts.saturating_sub(count),
                locks: locked_until.is_some(),
            });
        }
        Ok(Reservation::Locked { until: locked_until.ok_or(Malformed("locked_until"))? })
    }

    async fn clear(&self, key: CounterKey) -> Result<bool, StoreError> {
        Ok(self.write_one(&Statement::new(CLEAR).bind(key.0)).await?.is_some())
    }

    async fn read(&self, key: CounterKey) -> Result<Counter, StoreError> {
        let row = self.read_one(&Statement::new(READ).bind(key.0)).await?;
        row.map_or(Ok(Counter::default()), |row| stored::counter(Columns(&row)))
    }

    /// Removes what [`Counter::forgettable_at`] allows, said in columns so that an index finds it.
    async fn sweep(&self, rule: Rule, now: Timestamp, most: u32) -> Result<u32, StoreError> {
        // Not `Timestamp::minus`, which stops at the epoch: a window that began there would seem to be over.
        let window = i64::try_from(rule.window.as_millis()).unwrap_or(i64::MAX);
        let since = now.as_millis().saturating_sub(window);
        let sweep = Statement::new(SWEEP).bind(since).bind(now.as_millis()).bind(i64::from(most));
        Ok(u32::try_from(self.write(&sweep).await?.len()).unwrap_or(u32::MAX))
    }
}
