//! Tickets: put down once, taken at most once, payload sealed under purpose and key.
//!
//! All tickets of a purpose share a hash slot, so that their number is exact; in a Cluster, one master has them all.

use wayleave_core::ports::{Deposit, StoreError};
use wayleave_core::ticket::{Purpose, Ticket};
use wayleave_core::time::Timestamp;

use crate::error::Refused;
use crate::keys::Place;
use crate::reply::Reply;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{digits, millis, optional};

impl RedisStore {
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
        let arguments =
            vec![key.to_vec(), optional(sealed.map(Vec::from)), millis(*expires_at), digits(most), millis(now)];
        let answer = self.at(Place::Tickets(*purpose), &scripts::DEPOSIT, arguments).await?;
        match Reply(answer).bytes()?.as_slice() {
            b"done" => Ok(Deposit::Done),
            b"exists" => Ok(Deposit::Exists),
            b"full" => Ok(Deposit::Full),
            _ => Err(Refused::Answer.into()),
        }
    }

    pub(crate) async fn take_ticket(
        &self,
        purpose: Purpose,
        key: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<Ticket>, StoreError> {
        let answer = self.at(Place::Tickets(purpose), &scripts::TAKE, vec![key.to_vec()]).await?;
        let Some(taken) = Reply(answer).optional() else {
            return Ok(None);
        };
        let [sealed, expires_at] = taken.tuple()?;
        let expires_at = Timestamp::from_millis(expires_at.digits()?);
        if now >= expires_at {
            return Ok(None);
        }
        let sealed = sealed.optional().map(Reply::bytes).transpose()?.filter(|sealed| !sealed.is_empty());
        let payload = self.sealing.open_payload(purpose, &key, sealed.as_deref())?;
        Ok(Some(Ticket { purpose, key, payload, expires_at }))
    }
}
