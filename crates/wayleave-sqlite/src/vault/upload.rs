//! Versions that are being written.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::ports::{Allowance, AppendPiece, BeginUpload, BlobUsage, StoreError, Upload};
use wayleave_core::stored::{self, Columns as _};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use super::USAGE;
use crate::columns::Columns;
use crate::error::failed;
use crate::writer::Write;

pub(super) const DROP_ABANDONED: &str = "DELETE FROM vault_versions WHERE owner = ?1 AND state = 'upload' AND at < ?2";
const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM vault_versions WHERE id = ?1)";
const BEGIN: &str =
    "INSERT INTO vault_versions (id, owner, state, size, pieces, at) VALUES (?1, ?2, 'upload', 0, 0, ?3)";
pub(super) const STAGED: &str =
    "SELECT size, pieces FROM vault_versions WHERE id = ?1 AND owner = ?2 AND state = 'upload'";
const ADD_PIECE: &str = "INSERT INTO vault_pieces (version, number, content) VALUES (?1, ?2, ?3)";
pub(super) const COUNT_PIECE: &str = "UPDATE vault_versions SET size = size + ?2, pieces = pieces + 1 WHERE id = ?1";
pub(super) const ABORT: &str = "DELETE FROM vault_versions WHERE id = ?1 AND owner = ?2 AND state = 'upload'";

/// What an owner has, as this transaction sees it.
pub(super) async fn usage(connection: &mut SqliteConnection, owner: &Subject) -> Result<BlobUsage, StoreError> {
    let rows = sqlx::query(USAGE).bind(owner.as_str()).fetch_all(connection).await.map_err(failed)?;
    stored::blob_usage(rows.iter().map(Columns))
}

/// Bytes and pieces of an upload; none when the owner has no such upload.
pub(super) async fn staged(
    connection: &mut SqliteConnection,
    upload: &Upload,
) -> Result<Option<(u64, u32)>, StoreError> {
    let query = sqlx::query(STAGED).bind(upload.id.0.to_vec()).bind(upload.owner.as_str());
    let row = query.fetch_optional(connection).await.map_err(failed)?;
    row.map(|row| Ok((Columns(&row).number("size")?, Columns(&row).number("pieces")?))).transpose()
}

/// Removes an upload with its pieces; whether it was there.
pub(super) async fn abort(connection: &mut SqliteConnection, upload: &Upload) -> Result<bool, StoreError> {
    let abort = sqlx::query(ABORT).bind(upload.id.0.to_vec()).bind(upload.owner.as_str());
    Ok(abort.execute(connection).await.map_err(failed)?.rows_affected() > 0)
}

pub(super) struct Begin {
    pub(super) upload: Upload,
    pub(super) allowance: Allowance,
    pub(super) now: Timestamp,
    pub(super) abandoned: Timestamp,
}

#[async_trait]
impl Write for Begin {
    type Output = BeginUpload;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<BeginUpload, StoreError> {
        let Self { upload: Upload { owner, id }, allowance, now, abandoned } = self;
        let drop = sqlx::query(DROP_ABANDONED).bind(owner.as_str()).bind(abandoned.as_millis());
        drop.execute(&mut *connection).await.map_err(failed)?;
        let exists = sqlx::query_scalar(EXISTS).bind(id.0.to_vec());
        if exists.fetch_one(&mut *connection).await.map_err(failed)? {
            return Ok(BeginUpload::Exists);
        }
        if !allowance.admits_upload(&usage(connection, owner).await?) {
            return Ok(BeginUpload::TooMany);
        }
        let begin = sqlx::query(BEGIN).bind(id.0.to_vec()).bind(owner.as_str()).bind(now.as_millis());
        begin.execute(connection).await.map_err(failed)?;
        Ok(BeginUpload::Done)
    }
}

pub(super) struct Append {
    pub(super) upload: Upload,
    pub(super) allowance: Allowance,
    pub(super) number: u32,
    pub(super) piece: Arc<Vec<u8>>,
}

#[async_trait]
impl Write for Append {
    type Output = AppendPiece;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<AppendPiece, StoreError> {
        let Self { upload, allowance, number, piece } = self;
        if staged(connection, upload).await?.is_none_or(|(_, pieces)| pieces != *number) {
            return Ok(AppendPiece::Missing);
        }
        let more = u32::try_from(piece.len()).map_err(|_| StoreError::Full)?;
        if !allowance.admits_piece(&usage(connection, &upload.owner).await?, more.into()) {
            return Ok(AppendPiece::OverQuota);
        }
        let id = upload.id.0.to_vec();
        let add = sqlx::query(ADD_PIECE).bind(id.clone()).bind(*number).bind(Arc::clone(piece));
        add.execute(&mut *connection).await.map_err(failed)?;
        sqlx::query(COUNT_PIECE).bind(id).bind(more).execute(connection).await.map_err(failed)?;
        Ok(AppendPiece::Done)
    }
}

pub(super) struct Abort(pub(super) Upload);

#[async_trait]
impl Write for Abort {
    type Output = bool;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<bool, StoreError> {
        abort(connection, &self.0).await
    }
}
