//! Changes to records that are there: compare-and-set, activity, revocation.

use std::sync::Arc;

use super::MemoryStore;
use super::lineage::Family;
use super::packed::Packed;
use crate::ports::{Gone, Scope, StoreError, Touch, Update};
use crate::record::{Activity, Record, Revision};

impl MemoryStore {
    pub(super) fn update_now(&self, record: &Record, expected: Revision) -> Result<Update, StoreError> {
        if !record.fits() {
            return Err(StoreError::Full);
        }
        let mut shard = self.shard(record.slot)?.write();
        let interned = &mut *self.interned.write();
        let Some(at) = shard.by_id(record.slot, &record.id, interned) else {
            return Ok(Update::Missing);
        };
        let held = shard.unpack(at, interned)?;
        if held.revision != expected {
            return Ok(Update::Conflict);
        }
        let changed = held.updated_from(record);
        let packed = Packed::new(&changed, interned)?;
        shard.replace(at, packed, interned);
        Ok(Update::Done(Arc::new(changed)))
    }

    pub(super) fn touch_now(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        let mut written = 0;
        for Touch { id, slot, activity } in touches {
            let mut shard = self.shard(*slot)?.write();
            let interned = self.interned.read();
            let Some(at) = shard.by_id(*slot, id, &interned) else {
                continue;
            };
            let mut record = shard.unpack(at, &interned)?;
            if record.expired_at.is_some() {
                continue;
            }
            let Activity { seen_at, idle_expires_at } = record.activity().moved_forward(*activity);
            (record.last_seen_at, record.idle_expires_at) = (seen_at, idle_expires_at);
            if let Some(held) = shard.get_mut(at) {
                held.set_activity(&record);
            }
            written += 1;
        }
        Ok(written)
    }

    pub(super) fn revoke_now(&self, scope: &Scope) -> Result<Vec<Gone>, StoreError> {
        let (Scope::One(slot, _) | Scope::Others { slot, .. } | Scope::All { slot, .. } | Scope::Family(slot, _)) =
            scope;
        let mut shard = self.shard(*slot)?.write();
        let interned = &mut *self.interned.write();
        let ending: Vec<u32> = match scope {
            Scope::One(slot, id) => shard.by_id(*slot, id, interned).into_iter().collect(),
            Scope::Others { subject, slot, keep } => {
                let keep = shard.by_id(*slot, keep, interned);
                shard.of_subject(*slot, subject).filter(|at| Some(*at) != keep).collect()
            }
            Scope::All { subject, slot } => shard.of_subject(*slot, subject).collect(),
            Scope::Family(slot, id) => shard.of_family(Family { slot: *slot, id: *id }).collect(),
        };
        Ok(ending.into_iter().filter_map(|at| shard.end(at, interned)).collect())
    }
}
