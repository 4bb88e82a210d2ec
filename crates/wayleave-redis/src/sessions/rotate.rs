//! `rotate`: exchanges a refresh token by the verdict of [`wayleave_core::refresh::judge`], which the script repeats:
//! `tests/judge.rs` holds the two to each other. And `erase_pairs`.

use std::sync::Arc;
use std::time::Duration;

use wayleave_core::ports::{NextPair, Rotate, Rotation, StoreError};
use wayleave_core::record::{Activity, Limit, MAX_CLOCK_SKEW, Record};
use wayleave_core::refresh::client_tag;
use wayleave_core::stored::Malformed;
use wayleave_core::time::Timestamp;
use wayleave_core::token::TokenHash;

use super::everywhere::Limited;
use crate::error::Refused;
use crate::keys::Place;
use crate::reply::{Reply, Rest};
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{Fields, digits, gone, millis, optional};

impl RedisStore {
    pub(super) async fn rotate_record(&self, rotation: &Rotation) -> Result<Rotate, StoreError> {
        let Rotation { presented, next, token_expires_at, activity, client, window, now } = rotation;
        let NextPair { token, refresh, sealed } = next;
        let Activity { seen_at, idle_expires_at } = activity;
        let sealed_client = self.sealing.seal_rotation_client(*client, presented.hash)?;
        let arguments = vec![
            presented.hash.0.to_vec(),
            digits(presented.slot.0),
            token.0.to_vec(),
            refresh.0.to_vec(),
            sealed.to_vec(),
            millis(*token_expires_at),
            millis(*seen_at),
            optional(idle_expires_at.map(millis)),
            client_tag(presented.hash, *client).to_vec(),
            optional(sealed_client.map(Vec::from)),
            whole_millis(*window),
            millis(*now),
            millis(now.plus(MAX_CLOCK_SKEW)),
            Rotation::SPENT_KEPT.to_string().into(),
        ];
        let answer = self.at(Place::of(presented.slot), &scripts::ROTATE, arguments).await?;
        let (word, mut rest) = Reply(answer).outcome()?;
        match word.as_slice() {
            b"done" => {
                let previous = rest.next()?.bytes()?.try_into().map_err(|_| Malformed("token"))?;
                Ok(Rotate::Done { previous: TokenHash(previous), record: self.record(&mut rest)? })
            }
            b"repeat" => {
                let record = self.record(&mut rest)?;
                let sealed_pair = record.last_rotation().map(|last| last.sealed_pair.clone());
                Ok(Rotate::Repeat { sealed_pair: sealed_pair.ok_or(Malformed("rotation"))?, record })
            }
            b"reuse" => Ok(Rotate::Reuse(gone(rest.next()?)?)),
            b"expired" => {
                let limit = match rest.next()?.bytes()?.as_slice() {
                    b"idle" => Limit::Idle,
                    b"absolute" => Limit::Absolute,
                    b"not-before" => Limit::NotBefore,
                    _ => return Err(Refused::Answer.into()),
                };
                Ok(Rotate::Expired(self.record(&mut rest)?, limit))
            }
            b"unknown" => Ok(Rotate::Unknown),
            b"broken" => Err(Malformed("record").into()),
            b"taken" => Err(Refused::PairTaken.into()),
            _ => Err(Refused::Answer.into()),
        }
    }

    fn record(&self, rest: &mut Rest) -> Result<Arc<Record>, StoreError> {
        Ok(Arc::new(Fields::read(rest.next()?)?.record(&self.sealing)?))
    }

    pub(super) async fn erase_sealed_pairs(&self, before: Timestamp, most: u32) -> Result<u32, StoreError> {
        let mut erased = 0;
        for share in self.cells().await? {
            if erased >= most {
                break;
            }
            let arguments = vec![millis(before), millis(Rotation::closed_from(before)), digits(most - erased)];
            let answer = self.in_cells(&share, Limited::new(&scripts::ERASE_PAIRS, arguments)).await?;
            erased += answer.number::<u32>()?;
        }
        Ok(erased)
    }
}

/// A window in whole milliseconds: as times are whole, one that is a little longer than that lets in one more.
fn whole_millis(window: Duration) -> Vec<u8> {
    let millis = window.as_nanos().div_ceil(1_000_000);
    let most = Timestamp::MAX.since(Timestamp::MIN).as_millis();
    // Longer than between any two times is as long as that, and a bit.
    millis.min(most + 1).to_string().into_bytes()
}
