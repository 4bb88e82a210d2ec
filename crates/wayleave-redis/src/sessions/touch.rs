//! `touch`: activity of many sessions, forward only, without counting as a change. A script for each cell, so many
//! sessions at a time that no server is kept from others for long; together one round trip to each server.

use std::collections::BTreeMap;

use wayleave_core::ports::{StoreError, Touch};
use wayleave_core::record::Activity;

use crate::keys::Place;
use crate::link::Call;
use crate::reply::Reply;
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{digits, id_bytes, millis, optional};

/// How many sessions one script looks at.
const AT_A_TIME: usize = 256;

impl RedisStore {
    pub(super) async fn touch_records(&self, touches: &[Touch]) -> Result<usize, StoreError> {
        let mut by_place: BTreeMap<Place, Vec<&Touch>> = BTreeMap::new();
        for touch in touches {
            by_place.entry(Place::of(touch.slot)).or_default().push(touch);
        }
        let mut calls = Vec::new();
        for (place, touches) in by_place {
            for touches in touches.chunks(AT_A_TIME) {
                let arguments = touches.iter().flat_map(|touch| arguments(touch)).collect();
                calls.push((place, Call { script: &scripts::TOUCH, keys: vec![self.keys.base(place)], arguments }));
            }
        }
        if calls.is_empty() {
            return Ok(0);
        }
        let answers = self.link.call_many(calls).await?;
        answers.into_iter().map(|answer| Reply(answer).number::<usize>()).sum()
    }
}

fn arguments(touch: &Touch) -> [Vec<u8>; 5] {
    let Touch { id, slot, activity: Activity { seen_at, idle_expires_at } } = touch;
    [
        id_bytes(*id),
        id.prefix().as_str().into(),
        digits(slot.0),
        millis(*seen_at),
        optional(idle_expires_at.map(millis)),
    ]
}
