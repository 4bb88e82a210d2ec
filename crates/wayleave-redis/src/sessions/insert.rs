//! `insert`: adds a record, ends the one that it replaces, and keeps to the limit.
//!
//! One step, with one exception: in a Cluster, a record that is replaced may lie in another hash slot than the one that
//! replaces it, as a guest's does when somebody signs in, and no script reaches both. Then the old one is ended first
//! (if it is as expected), and the new one inserted after. Whatever comes between can only lose: the guest's session
//! without the new one to follow it. The other way round, both could stay. So there, and only there, an insertion that
//! is answered with [`Insert::Exists`] or fails may have ended the replaced one all the same.

use std::time::Duration;

use wayleave_core::policy::AtLimit;
use wayleave_core::ports::{Insert, InsertLimit, Replaces, StoreError};
use wayleave_core::record::{MAX_CLOCK_SKEW, Record};
use wayleave_core::time::Timestamp;

use crate::error::Refused;
use crate::keys::Place;
use crate::link::Call;
use crate::reply::Reply;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{Halves, digits, gone, id_bytes, integer, millis, one_gone, optional};

impl RedisStore {
    pub(super) async fn insert_record(
        &self,
        record: &Record,
        limit: Option<InsertLimit>,
        replaces: Option<Replaces>,
        now: Timestamp,
    ) -> Result<Insert, StoreError> {
        if !record.fits() {
            return Err(StoreError::Full);
        }
        let insertion = Insertion { halves: Halves::whole(record, &self.sealing)?, record, limit, now };
        let Some(replaces) = replaces else {
            return self.insert_one(&insertion, None).await;
        };
        let there = replaces.id.slot(&self.routing);
        if Place::of(there) == Place::of(record.slot) || self.link.is_one_server() {
            return self.insert_one(&insertion, Some(replaces)).await;
        }
        let ended = self.end_one(there, replaces.id, replaces.expected).await?.pop();
        if ended.is_none() && replaces.expected.is_some() {
            return Ok(Insert::Conflict);
        }
        match self.insert_one(&insertion, None).await? {
            Insert::Done { replaced: _, evicted, marked } => Ok(Insert::Done { replaced: ended, evicted, marked }),
            other @ (Insert::Exists | Insert::Refused | Insert::Conflict) => Ok(other),
        }
    }

    /// One step. What is replaced has to be within reach of the script.
    async fn insert_one(&self, insertion: &Insertion<'_>, replaces: Option<Replaces>) -> Result<Insert, StoreError> {
        let Insertion { record, halves, limit, now } = insertion;
        let here = Place::of(record.slot);
        let there = replaces.map_or(here, |replaces| Place::of(replaces.id.slot(&self.routing)));
        let expected = replaces.and_then(|replaces| replaces.expected);
        let mut arguments = vec![
            millis(*now),
            millis(now.plus(MAX_CLOCK_SKEW)),
            self.lifetime(record, *now),
            optional(replaces.map(|replaces| id_bytes(replaces.id))),
            optional(replaces.map(|replaces| replaces.id.prefix().as_str().into())),
            optional(expected.map(|expected| integer(expected.0)).transpose()?),
            optional(limit.map(|limit| digits(limit.most))),
            optional(limit.map(|limit| at_limit(limit.at_limit).into())),
            id_bytes(record.id),
            digits(u32::try_from(halves.first.set.len()).map_err(|_| Refused::OutOfRange)?),
        ];
        arguments.extend(halves.first.set.iter().chain(&halves.second.set).cloned());
        let keys = vec![self.keys.base(here), self.keys.base(there)];
        let answer = self.link.call(here, Call { script: &scripts::INSERT, keys, arguments }).await?;
        let (word, mut rest) = Reply(answer).outcome()?;
        match word.as_slice() {
            b"done" => {
                let replaced = rest.next()?.optional().map(one_gone).transpose();
                let replaced = replaced.inspect_err(|error| {
                    tracing::warn!(error = error as &dyn std::error::Error, "replaced a session that cannot be read");
                });
                let (replaced, evicted) = (replaced.unwrap_or_default(), gone(rest.next()?)?);
                Ok(Insert::Done { replaced, evicted, marked: rest.next()?.number::<u8>()? > 0 })
            }
            b"exists" => Ok(Insert::Exists),
            b"refused" => Ok(Insert::Refused),
            b"conflict" => Ok(Insert::Conflict),
            _ => Err(Refused::Answer.into()),
        }
    }

    /// How long the keys of a record last: by the server's clock, but counted from the insertion, so that a wrong clock
    /// there cannot end sessions early.
    fn lifetime(&self, record: &Record, now: Timestamp) -> Vec<u8> {
        let left = record.absolute_expires_at.since(now).saturating_add(self.kept_after_end);
        // At least a millisecond: Redis removes at once what lasts no time.
        let left = left.clamp(Duration::from_millis(1), Timestamp::MAX.since(Timestamp::MIN));
        left.as_millis().to_string().into_bytes()
    }
}

/// A record on its way in.
struct Insertion<'a> {
    record: &'a Record,
    halves: Halves,
    limit: Option<InsertLimit>,
    now: Timestamp,
}

const fn at_limit(at_limit: AtLimit) -> &'static str {
    match at_limit {
        AtLimit::EvictOldest => "oldest",
        AtLimit::EvictLeastRecentlySeen => "least",
        AtLimit::Refuse => "refuse",
    }
}
