//! Tickets: put down once, taken at most once, payload sealed under purpose and key.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{Deposit, StoreError};
use wayleave_core::stored::Columns as _;
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::failed;
use crate::store::SqliteStore;
use crate::writer::Write;

// One that has expired is as good as gone.
const INSERT: &str = "INSERT INTO tickets (purpose, key, payload, expires_at) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (purpose, key) DO UPDATE SET payload = excluded.payload, expires_at = excluded.expires_at \
     WHERE tickets.expires_at <= ?5";
const COUNT: &str = "SELECT tickets FROM ticket_counts WHERE purpose = ?1";
// A few at a time: a deposit needs one place, and the sweep does the rest.
pub(crate) const DROP_EXPIRED: &str = "DELETE FROM tickets WHERE rowid IN \
     (SELECT rowid FROM tickets WHERE purpose = ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT 64)";
pub(crate) const TAKE: &str = "DELETE FROM tickets WHERE purpose = ?1 AND key = ?2 RETURNING payload, expires_at";

impl SqliteStore {
    pub(crate) async fn deposit_ticket(
        &self,
        ticket: &Ticket,
        most: u32,
        now: Timestamp,
    ) -> Result<Deposit, StoreError> {
        if !ticket.fits() {
            return Err(StoreError::Full);
        }
        let Ticket { purpose, key, payload, expires_at } = ticket;
        let sealed = self.sealing.seal_payload(*purpose, key, payload)?;
        self.write(Put { purpose: *purpose, key: *key, sealed, expires_at: *expires_at, most, now }).await
    }

    pub(crate) async fn take_ticket(
        &self,
        purpose: Purpose,
        key: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<Ticket>, StoreError> {
        let Some(Taken { sealed, expires_at }) = self.write(Take { purpose, key }).await? else {
            return Ok(None);
        };
        if now >= expires_at {
            return Ok(None);
        }
        let payload = self.sealing.open_payload(purpose, &key, sealed.as_deref())?;
        Ok(Some(Ticket { purpose, key, payload, expires_at }))
    }
}

struct Put {
    purpose: Purpose,
    key: [u8; 32],
    sealed: Option<Box<[u8]>>,
    expires_at: Timestamp,
    most: u32,
    now: Timestamp,
}

#[async_trait]
impl Write for Put {
    type Output = Deposit;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Deposit, StoreError> {
        let Self { purpose, key, sealed, expires_at, most, now } = self;
        let purpose = purpose.as_str();
        let insert = sqlx::query(INSERT)
            .bind(purpose)
            .bind(key.to_vec())
            .bind(sealed.as_deref())
            .bind(expires_at.as_millis())
            .bind(now.as_millis());
        if insert.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
            return Ok(Deposit::Exists);
        }
        if count(connection, purpose).await? <= i64::from(*most) {
            return Ok(Deposit::Done);
        }
        let drop = sqlx::query(DROP_EXPIRED).bind(purpose).bind(now.as_millis());
        drop.execute(&mut *connection).await.map_err(failed)?;
        if count(connection, purpose).await? <= i64::from(*most) {
            return Ok(Deposit::Done);
        }
        let back = sqlx::query(TAKE).bind(purpose).bind(key.to_vec());
        back.fetch_all(connection).await.map_err(failed)?;
        Ok(Deposit::Full)
    }
}

async fn count(connection: &mut SqliteConnection, purpose: &'static str) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar(COUNT).bind(purpose).fetch_optional(connection).await.map_err(failed)?;
    Ok(count.unwrap_or(0))
}

struct Take {
    purpose: Purpose,
    key: [u8; 32],
}

struct Taken {
    sealed: Option<Box<[u8]>>,
    expires_at: Timestamp,
}

#[async_trait]
impl Write for Take {
    type Output = Option<Taken>;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Option<Taken>, StoreError> {
        let take = sqlx::query(TAKE).bind(self.purpose.as_str()).bind(self.key.to_vec());
        let rows = take.fetch_all(connection).await.map_err(failed)?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let row = Columns(row);
        let sealed = row.optional_blob("payload")?.map(Box::from);
        Ok(Some(Taken { sealed, expires_at: row.time("expires_at")? }))
    }
}
