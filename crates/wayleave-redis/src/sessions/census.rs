//! `census`: how many sessions there are; and the write that changes nothing, for `ping`.

use std::collections::BTreeMap;

use wayleave_core::policy::KindName;
use wayleave_core::ports::{Census, StoreError};
use wayleave_core::time::Timestamp;

use super::everywhere::Limited;
use crate::error::{Refused, answered};
use crate::link::Errand;
use crate::reply::report_broken;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::millis;

impl RedisStore {
    pub(super) async fn count_sessions(&self, now: Timestamp) -> Result<Census, StoreError> {
        let mut live: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut census = Census::default();
        for share in self.cells().await? {
            let answer = self.in_cells(&share, Limited::new(&scripts::CENSUS, vec![millis(now)])).await?;
            let [counts, broken] = answer.tuple()?;
            report_broken(broken)?;
            let mut counts = counts.list()?.into_iter();
            while let (Some(kind), Some(alive), Some(ended)) = (counts.next(), counts.next(), counts.next()) {
                *live.entry(kind.bytes()?).or_default() += alive.number::<u64>()?;
                census.ended += ended.number::<u64>()?;
            }
        }
        for (kind, count) in live.into_iter().filter(|(_, count)| *count > 0) {
            match std::str::from_utf8(&kind).ok().and_then(|kind| kind.parse::<KindName>().ok()) {
                Some(kind) => census.live.push((kind, count)),
                None => tracing::warn!("left a kind of sessions out that cannot be read"),
            }
        }
        Ok(census)
    }

    /// Signing in and out need a write, so a master that takes none does not serve.
    pub(super) async fn write_nothing(&self) -> Result<(), StoreError> {
        for share in self.cells().await? {
            let Some(place) = share.places.first() else {
                continue;
            };
            let mut command = redis::cmd("SET");
            // Not the base itself: that it is never there is what the Cluster's redirections rest on.
            command.arg(format!("{}ping", self.keys.base(*place))).arg("").arg("PX").arg(60_000);
            let answers = share.node.pipeline(&[command], Errand::Write).await;
            let answers = answers.inspect_err(|_| self.link.doubt())?;
            match answers.into_iter().next() {
                Some(redis::Value::Okay) => {}
                Some(redis::Value::ServerError(error)) => {
                    self.link.doubt();
                    return Err(answered(&error));
                }
                Some(_) | None => return Err(Refused::Answer.into()),
            }
        }
        Ok(())
    }
}
