//! `update`: compare-and-set by [`Record::updated_from`], whose times the script works out.

use std::sync::Arc;

use wayleave_core::ports::{StoreError, Update};
use wayleave_core::record::{Record, Revision};
use wayleave_core::stored::Malformed;

use crate::error::Refused;
use crate::keys::Place;
use crate::reply::Reply;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{Fields, Half, Halves, digits, id_bytes, integer, millis, optional};

impl RedisStore {
    pub(super) async fn update_record(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        if !record.fits() {
            return Err(StoreError::Full);
        }
        let Halves { first, second } = Halves::changing(record, &self.sealing)?;
        let mut arguments = vec![
            id_bytes(record.id),
            digits(record.slot.0),
            record.id.prefix().as_str().into(),
            integer(expected.0)?,
            integer(expected.next().0)?,
            millis(record.last_seen_at),
            optional(record.idle_expires_at.map(millis)),
            millis(record.token_expires_at),
            optional(record.expired_at.map(millis)),
        ];
        for Half { set, remove } in [first, second] {
            for list in [set, remove] {
                arguments.push(digits(u32::try_from(list.len()).map_err(|_| Refused::OutOfRange)?));
                arguments.extend(list);
            }
        }
        let answer = self.at(Place::of(record.slot), &scripts::UPDATE, arguments).await?;
        let (word, mut rest) = Reply(answer).outcome()?;
        match word.as_slice() {
            b"done" => Ok(Update::Done(Arc::new(Fields::read(rest.next()?)?.record(&self.sealing)?))),
            b"conflict" => Ok(Update::Conflict),
            b"missing" => Ok(Update::Missing),
            b"broken" => Err(Malformed("record").into()),
            _ => Err(Refused::Answer.into()),
        }
    }
}
