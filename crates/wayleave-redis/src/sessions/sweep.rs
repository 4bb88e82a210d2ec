//! `sweep`: removes what has ended, a bounded number at a time, by the index on the end.

use wayleave_core::ports::{StoreError, Swept};
use wayleave_core::time::Timestamp;

use super::everywhere::Limited;
use crate::keys::Place;
use crate::reply::report_broken;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{digits, millis};

impl RedisStore {
    pub(super) async fn sweep_ended(&self, before: Timestamp, most: u32) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        // Entries of indexes whose records are gone count against the bound, but not as records.
        let mut looked = 0;
        for share in self.cells_and_tickets().await? {
            let mut arguments = vec![millis(before), digits(most - looked), digits(most - swept.tickets)];
            arguments.extend(share.places.iter().filter_map(|place| match place {
                Place::Tickets(_) => Some(self.keys.base(*place).into_bytes()),
                Place::Cell(_) | Place::Bus => None,
            }));
            let answer = self.in_cells(&share, Limited::new(&scripts::SWEEP, arguments)).await?;
            let [records, tickets, entries, broken] = answer.tuple()?;
            swept.records += records.number::<u32>()?;
            swept.tickets += tickets.number::<u32>()?;
            looked += entries.number::<u32>()?;
            report_broken(broken)?;
        }
        swept.more = looked >= most || swept.tickets >= most;
        Ok(swept)
    }
}
