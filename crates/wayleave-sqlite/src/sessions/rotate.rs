//! `rotate`: exchanges a refresh token by the verdict of [`judge`], inside the transaction that acts on it. And
//! `erase_pairs`: what is kept for those who lost the answer goes when nobody may ask again.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{Lookup, NextPair, Rotate, Rotation, Scope, StoreError};
use wayleave_core::record::{Activity, LastRotation, Record, Refresh};
use wayleave_core::refresh::{Verdict, judge};
use wayleave_core::stored::{self, Malformed, Sealing};
use wayleave_core::time::Timestamp;

use super::by;
use super::revoke::Revoke;
use crate::columns::{Columns, integer};
use crate::error::failed;
use crate::stored::sealed_pair;
use crate::writer::Write;

pub(crate) const ROTATE: &str = "UPDATE sessions SET token = ?2, refresh = ?3, generation = ?4, rotation_predecessor = ?5, \
     rotation_at = ?6, rotation_client = ?7, rotation_pair = ?8, last_seen_at = ?9, idle_expires_at = ?10, \
     token_expires_at = ?11, ends_at = ?12, revision = ?13 WHERE id = ?1";
pub(crate) const ERASE_PAIRS: &str = "UPDATE sessions SET rotation_pair = NULL WHERE id IN \
     (SELECT id FROM sessions WHERE rotation_pair IS NOT NULL AND rotation_at < ?1 ORDER BY rotation_at LIMIT ?2)";
pub(crate) const ERASE_PAIRS_AHEAD: &str = "UPDATE sessions SET rotation_pair = NULL WHERE id IN \
     (SELECT id FROM sessions WHERE rotation_pair IS NOT NULL AND rotation_at >= ?1 ORDER BY rotation_at LIMIT ?2)";
const SPEND: &str = "INSERT INTO spent_refresh_tokens (hash, family, at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (hash) DO UPDATE SET at = excluded.at";
pub(crate) const FORGET_OLDEST: &str = "DELETE FROM spent_refresh_tokens WHERE hash IN \
     (SELECT hash FROM spent_refresh_tokens WHERE family = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2)";

/// How many rotations lie between two looks at what a family may forget.
const FORGET_EVERY: u32 = 64;

pub(super) struct RotateRecord {
    rotation: Rotation,
    sealed_client: Option<Box<[u8]>>,
    sealing: Sealing,
}

impl RotateRecord {
    pub(super) fn new(rotation: &Rotation, sealing: &Sealing) -> Result<Self, StoreError> {
        let sealed_client = sealing.seal_rotation_client(rotation.client, rotation.presented.hash)?;
        Ok(Self { rotation: rotation.clone(), sealed_client, sealing: sealing.clone() })
    }

    async fn exchange(&self, connection: &mut SqliteConnection, held: Record) -> Result<Rotate, StoreError> {
        let Rotation { presented, next, token_expires_at, activity, client, window: _, now } = &self.rotation;
        let NextPair { token, refresh, sealed } = next;
        let generation = held.refresh.as_ref().map_or(0, |refresh| refresh.generation).saturating_add(1);
        let previous = held.token;
        let Activity { seen_at: last_seen_at, idle_expires_at } = held.activity().moved_forward(*activity);
        let record = Record {
            token: *token,
            refresh: Some(Refresh {
                current: *refresh,
                generation,
                last: Some(LastRotation {
                    predecessor: presented.hash,
                    at: *now,
                    client: *client,
                    sealed_pair: sealed.clone(),
                }),
            }),
            token_expires_at: (*token_expires_at).min(held.absolute_expires_at),
            last_seen_at,
            idle_expires_at,
            revision: held.revision.next(),
            ..held
        };
        let rotate = sqlx::query(ROTATE)
            .bind(record.id.bytes().to_vec())
            .bind(token.0.to_vec())
            .bind(refresh.0.to_vec())
            .bind(generation)
            .bind(presented.hash.0.to_vec())
            .bind(now.as_millis())
            .bind(self.sealed_client.as_deref())
            .bind(sealed_pair(sealed))
            .bind(record.last_seen_at.as_millis())
            .bind(record.idle_expires_at.map(|at| at.as_millis()))
            .bind(record.token_expires_at.as_millis())
            .bind(record.ends_at().as_millis())
            .bind(integer(record.revision.0)?);
        rotate.execute(&mut *connection).await.map_err(failed)?;
        let family = record.family.0.to_vec();
        let spend = sqlx::query(SPEND).bind(presented.hash.0.to_vec()).bind(family.clone()).bind(now.as_millis());
        spend.execute(&mut *connection).await.map_err(failed)?;
        if generation.is_multiple_of(FORGET_EVERY) {
            let kept = i64::try_from(Rotation::SPENT_KEPT).unwrap_or(i64::MAX);
            sqlx::query(FORGET_OLDEST).bind(family).bind(kept).execute(connection).await.map_err(failed)?;
        }
        Ok(Rotate::Done { record: Arc::new(record), previous })
    }
}

#[async_trait]
impl Write for RotateRecord {
    type Output = Rotate;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Rotate, StoreError> {
        let Rotation { presented, next: _, token_expires_at: _, activity: _, client, window, now } = &self.rotation;
        let held = by(Lookup::Refresh(*presented)).fetch_optional(&mut *connection).await.map_err(failed)?;
        let Some(held) = held else {
            return Ok(Rotate::Unknown);
        };
        let held = stored::record(Columns(&held), &self.sealing)?;
        match judge(&held, presented.hash, *client, *now, *window) {
            Verdict::Rotate => self.exchange(connection, held).await,
            Verdict::Repeat => {
                let last = held.last_rotation();
                let sealed_pair = last.map(|last| last.sealed_pair.clone()).ok_or(Malformed("rotation"))?;
                Ok(Rotate::Repeat { record: Arc::new(held), sealed_pair })
            }
            Verdict::Reuse => Ok(Rotate::Reuse(Revoke(Scope::Family(held.slot, held.family)).run(connection).await?)),
            Verdict::Expired(limit) => Ok(Rotate::Expired(Arc::new(held), limit)),
        }
    }
}

pub(super) struct ErasePairs {
    pub(super) before: Timestamp,
    pub(super) most: u32,
}

#[async_trait]
impl Write for ErasePairs {
    type Output = u32;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<u32, StoreError> {
        let mut erased = 0;
        for (statement, end) in [(ERASE_PAIRS, self.before), (ERASE_PAIRS_AHEAD, Rotation::closed_from(self.before))] {
            let erase = sqlx::query(statement).bind(end.as_millis()).bind(self.most.saturating_sub(erased));
            let rows = erase.execute(&mut *connection).await.map_err(failed)?.rows_affected();
            erased = erased.saturating_add(u32::try_from(rows).unwrap_or(u32::MAX));
        }
        Ok(erased)
    }
}
