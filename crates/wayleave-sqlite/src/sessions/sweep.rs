//! `sweep`: removes what has ended, a bounded number of each kind at a time, by the index on the end. Known devices are
//! swept along, since nothing else looks at those of an account that nobody signs in to.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{StoreError, Swept};
use wayleave_core::time::Timestamp;

use crate::error::failed;
use crate::known_devices;
use crate::writer::Write;

pub(crate) const RECORDS: &str = "DELETE FROM sessions WHERE id IN \
     (SELECT id FROM sessions WHERE ends_at < ?1 ORDER BY ends_at LIMIT ?2)";
pub(crate) const TICKETS: &str = "DELETE FROM tickets WHERE rowid IN \
     (SELECT rowid FROM tickets WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)";

pub(super) struct Sweep {
    pub(super) before: Timestamp,
    pub(super) most: u32,
}

#[async_trait]
impl Write for Sweep {
    type Output = Swept;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Swept, StoreError> {
        let records = self.remove(connection, RECORDS).await?;
        let tickets = self.remove(connection, TICKETS).await?;
        let devices = self.remove(connection, known_devices::SWEEP).await?;
        let more = [records, tickets, devices].iter().any(|removed| *removed >= self.most);
        Ok(Swept { records, tickets, more })
    }
}

impl Sweep {
    async fn remove(&self, connection: &mut SqliteConnection, statement: &'static str) -> Result<u32, StoreError> {
        let remove = sqlx::query(statement).bind(self.before.as_millis()).bind(self.most);
        let removed = remove.execute(connection).await.map_err(failed)?.rows_affected();
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }
}
