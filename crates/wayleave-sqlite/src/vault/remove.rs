//! What is removed for good: what is due, and all that an owner has.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{BlobsDue, StoreError, SweptBlobs};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use super::upload;
use crate::error::failed;
use crate::writer::Write;

pub(super) const DELETE_ALL: &str = "DELETE FROM vault_versions WHERE owner = ?1";
const FORGET: &str = "DELETE FROM vault_usage WHERE owner = ?1";
pub(super) const SWEEP: &str = "DELETE FROM vault_versions WHERE rowid IN (SELECT rowid FROM vault_versions \
     WHERE state = ?1 AND at < ?2 ORDER BY at LIMIT ?3)";

pub(super) struct DeleteAll(pub(super) Subject);

#[async_trait]
impl Write for DeleteAll {
    type Output = u32;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<u32, StoreError> {
        let Self(owner) = self;
        let usage = upload::usage(connection, owner).await?;
        for statement in [DELETE_ALL, FORGET] {
            sqlx::query(statement).bind(owner.as_str()).execute(&mut *connection).await.map_err(failed)?;
        }
        Ok(usage.blobs)
    }
}

pub(super) struct Sweep {
    pub(super) due: BlobsDue,
    pub(super) most: u32,
}

#[async_trait]
impl Write for Sweep {
    type Output = SweptBlobs;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<SweptBlobs, StoreError> {
        let Self { due: BlobsDue { replaced_before, begun_before }, most } = self;
        let replaced = remove(connection, "replaced", *replaced_before, *most).await?;
        let uploads = remove(connection, "upload", *begun_before, *most).await?;
        Ok(SweptBlobs { replaced, uploads, more: replaced >= *most || uploads >= *most })
    }
}

async fn remove(
    connection: &mut SqliteConnection,
    state: &'static str,
    before: Timestamp,
    most: u32,
) -> Result<u32, StoreError> {
    let sweep = sqlx::query(SWEEP).bind(state).bind(before.as_millis()).bind(most);
    let removed = sweep.execute(connection).await.map_err(failed)?.rows_affected();
    Ok(u32::try_from(removed).unwrap_or(u32::MAX))
}
