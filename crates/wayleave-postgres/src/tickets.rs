//! Tickets: put down once, taken at most once, payload sealed under purpose and key.

use wayleave_core::ports::{Deposit, StoreError};
use wayleave_core::stored::{Columns as _, Malformed};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::statement::Statement;
use crate::store::PostgresStore;

pub(crate) const DEPOSIT: &str = "SELECT ticket_deposit($1, $2, $3, $4, $5, $6) AS outcome";
pub(crate) const TAKE: &str = "DELETE FROM tickets WHERE purpose = $1 AND key = $2 RETURNING payload, expires_at";

impl PostgresStore {
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
        let deposit = Statement::new(DEPOSIT)
            .bind(purpose.as_str())
            .bind(*key)
            .bind(self.sealing.seal_payload(*purpose, key, payload)?)
            .bind(expires_at.as_millis())
            .bind(i64::from(most))
            .bind(now.as_millis());
        let row = self.write_one(&deposit).await?.ok_or(Malformed("outcome"))?;
        match Columns(&row).text("outcome")? {
            "done" => Ok(Deposit::Done),
            "exists" => Ok(Deposit::Exists),
            "full" => Ok(Deposit::Full),
            _ => Err(Malformed("outcome").into()),
        }
    }

    pub(crate) async fn take_ticket(
        &self,
        purpose: Purpose,
        key: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<Ticket>, StoreError> {
        let take = Statement::new(TAKE).bind(purpose.as_str()).bind(key);
        let Some(row) = self.write_one(&take).await? else {
            return Ok(None);
        };
        let row = Columns(&row);
        let expires_at = row.time("expires_at")?;
        if now >= expires_at {
            return Ok(None);
        }
        let payload = self.sealing.open_payload(purpose, &key, row.optional_blob("payload")?)?;
        Ok(Some(Ticket { purpose, key, payload, expires_at }))
    }
}
