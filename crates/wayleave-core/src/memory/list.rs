//! Pages of records: one subject's by age, everybody's by place.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{MemoryStore, SHARDS};
use crate::id::{IdPrefix, SessionId, Slot};
use crate::ports::{Listing, Page, StoreError};
use crate::record::Record;
use crate::subject::Subject;
use crate::time::Timestamp;

/// Most places that are looked at for one page of everybody's records.
const MOST_PLACES: u32 = 65_536;
/// Most records of one page.
const MOST_RECORDS: u32 = 1000;

impl MemoryStore {
    pub(super) fn list_now(&self, listing: &Listing) -> Result<Page, StoreError> {
        let Listing { subject, after, most } = listing;
        let most = usize::try_from((*most).clamp(1, MOST_RECORDS)).unwrap_or(1);
        match subject {
            Some((slot, subject)) => self.list_subject(*slot, subject, after.as_deref(), most),
            None => self.list_all(after.as_deref(), most),
        }
    }

    fn list_subject(
        &self,
        slot: Slot,
        subject: &Subject,
        after: Option<&str>,
        most: usize,
    ) -> Result<Page, StoreError> {
        let after = after.and_then(ByAge::parse);
        let shard = self.shard(slot)?.read();
        let mut found: Vec<(Reverse<ByAge>, u32)> = shard
            .of_subject(slot, subject)
            .filter_map(|at| {
                let held = shard.get(at)?;
                Some((Reverse(ByAge { created_at: held.created_at(), id: *held.id() }), at))
            })
            .filter(|(Reverse(age), _)| after.as_ref().is_none_or(|after| age < after))
            .collect();
        found.sort_unstable();
        let more = found.len() > most;
        found.truncate(most);
        let next = found.last().filter(|_| more).map(|(Reverse(age), _)| age.to_cursor());
        let interned = self.interned.read();
        let records = found.into_iter().filter_map(|(_, at)| shard.unpack(at, &interned).ok().map(Arc::new)).collect();
        Ok(Page { records, next })
    }

    fn list_all(&self, after: Option<&str>, most: usize) -> Result<Page, StoreError> {
        let mut from = after.and_then(ByPlace::parse).unwrap_or(ByPlace { shard: 0, at: 0 });
        let mut records: Vec<Arc<Record>> = Vec::new();
        let mut places = MOST_PLACES;
        while from.shard < SHARDS {
            let shard = self.shard_at(from.shard)?.read();
            let interned = self.interned.read();
            let end = from.at.saturating_add(places);
            for (at, held) in shard.iter_from(from.at).take_while(|(at, _)| *at < end) {
                // Only a record that is there makes another page, so that the last page says that it is the last.
                if records.len() == most {
                    return Ok(Page { records, next: Some(ByPlace { at, ..from }.to_cursor()) });
                }
                records.extend(held.unpack(&interned).ok().map(Arc::new));
            }
            if shard.places() > end {
                return Ok(Page { records, next: Some(ByPlace { at: end, ..from }.to_cursor()) });
            }
            places -= shard.places().saturating_sub(from.at);
            from = ByPlace { shard: from.shard + 1, at: 0 };
        }
        Ok(Page { records, next: None })
    }
}

/// The cursor of a subject's list: the last record that was listed. Good even when that is gone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ByAge {
    created_at: Timestamp,
    id: [u8; 18],
}

impl ByAge {
    fn parse(cursor: &str) -> Option<Self> {
        let (created_at, id) = cursor.split_once('.')?;
        let created_at = Timestamp::from_millis(created_at.parse().ok()?);
        Some(Self { created_at, id: id.parse::<SessionId>().ok()?.bytes() })
    }

    fn to_cursor(&self) -> Box<str> {
        let id = SessionId::from_bytes(IdPrefix::FALLBACK, &self.id);
        format!("{}.{id}", self.created_at.as_millis()).into()
    }
}

/// The cursor of everybody's list: the place to go on from. Places do not move while their records live.
#[derive(Copy, Clone)]
struct ByPlace {
    shard: usize,
    at: u32,
}

impl ByPlace {
    fn parse(cursor: &str) -> Option<Self> {
        let (shard, at) = cursor.split_once('-')?;
        let place = Self { shard: shard.parse().ok()?, at: at.parse().ok()? };
        (place.shard < SHARDS).then_some(place)
    }

    fn to_cursor(self) -> Box<str> {
        format!("{}-{}", self.shard, self.at).into()
    }
}
