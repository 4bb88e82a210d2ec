//! The vault's blobs in a file of their own, so that uploads wait for the disk without keeping a sign-in waiting.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqlitePool;
use wayleave_core::blob::{BlobId, BlobName};
use wayleave_core::ports::{
    Allowance, AppendPiece, BeginUpload, Blob, BlobStore, BlobUsage, BlobsDue, CommitUpload, DeleteBlob, Expected,
    MAX_PIECE, StoreError, SweptBlobs, Upload,
};
use wayleave_core::stored::{self, Columns as _};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::{OpenError, failed};
use crate::options::Options;
use crate::schema;
use crate::store::Query;
use crate::writer::{Write, Writer};

mod change;
#[cfg(test)]
mod plans;
mod remove;
mod upload;

macro_rules! select_blobs {
    ($rest:literal) => {
        concat!(
            "SELECT name, id, size, pieces, at FROM vault_versions WHERE owner = ?1 AND state = 'current' AND ",
            $rest
        )
    };
}

const FIND: &str = select_blobs!("name = ?2");
const LIST: &str = select_blobs!("name > ?2 ORDER BY name LIMIT ?3");
const USAGE: &str = "SELECT state, versions, bytes FROM vault_usage WHERE owner = ?1";
const PIECE: &str = "SELECT content FROM vault_pieces WHERE version = ?1 AND number = ?2";

/// The vault's blobs in one SQLite file, which nothing else is in. Of its [`Options`], those of sealing are of no use: the
/// content is ciphertext of the clients'.
pub struct SqliteVault {
    readers: SqlitePool,
    writer: Writer,
}

impl SqliteVault {
    /// Opens the file at `path`, making it (mode 0600) and its folder (mode 0700) when they do not exist.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then, except that an empty file may have been made.
    pub async fn open(path: impl AsRef<Path> + Send, options: &Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let writing = schema::prepare(path, options, &schema::VAULT).await?;
        let writer = Writer::start(writing, options.busy_timeout);
        Ok(Self { readers: schema::readers(path, options), writer })
    }

    /// Brings the schema of the file at `path` up to date, making the file when it does not exist.
    ///
    /// # Errors
    /// [`OpenError`]; the schema is as it was then.
    pub async fn migrate(path: impl AsRef<Path> + Send, options: &Options) -> Result<(), OpenError> {
        schema::migrate(path.as_ref(), options, &schema::VAULT).await
    }

    /// Carries out the writes that wait, moves the write-ahead log into the file and closes it. Every operation after
    /// that is unavailable.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        self.writer.run(write).await
    }

    async fn read_one(&self, query: Query) -> Result<Option<sqlx::sqlite::SqliteRow>, StoreError> {
        query.fetch_optional(&self.readers).await.map_err(failed)
    }
}

impl std::fmt::Debug for SqliteVault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteVault").finish_non_exhaustive()
    }
}

#[async_trait]
impl BlobStore for SqliteVault {
    async fn find(&self, owner: &Subject, name: &BlobName) -> Result<Option<Blob>, StoreError> {
        let row = self.read_one(sqlx::query(FIND).bind(owner.as_str()).bind(name.as_str())).await?;
        row.map(|row| stored::blob(Columns(&row))).transpose()
    }

    async fn list(&self, owner: &Subject, after: Option<&BlobName>, most: u32) -> Result<Vec<Blob>, StoreError> {
        let after = after.map_or("", BlobName::as_str);
        let query = sqlx::query(LIST).bind(owner.as_str()).bind(after).bind(most.clamp(1, 1000));
        let rows = query.fetch_all(&self.readers).await.map_err(failed)?;
        rows.iter().map(|row| stored::blob(Columns(row))).collect()
    }

    async fn usage(&self, owner: &Subject) -> Result<BlobUsage, StoreError> {
        let rows = sqlx::query(USAGE).bind(owner.as_str()).fetch_all(&self.readers).await.map_err(failed)?;
        stored::blob_usage(rows.iter().map(Columns))
    }

    async fn piece(&self, id: BlobId, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.read_one(sqlx::query(PIECE).bind(id.0.to_vec()).bind(number)).await?;
        row.map(|row| Columns(&row).blob("content").map(Vec::from)).transpose()
    }

    async fn begin(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        now: Timestamp,
        abandoned: Timestamp,
    ) -> Result<BeginUpload, StoreError> {
        self.write(upload::Begin { upload: upload.clone(), allowance: *allowance, now, abandoned }).await
    }

    async fn append(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        number: u32,
        piece: Vec<u8>,
    ) -> Result<AppendPiece, StoreError> {
        if piece.is_empty() || piece.len() > MAX_PIECE {
            return Err(StoreError::Full);
        }
        let piece = Arc::new(piece);
        self.write(upload::Append { upload: upload.clone(), allowance: *allowance, number, piece }).await
    }

    async fn commit(
        &self,
        upload: &Upload,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<CommitUpload, StoreError> {
        let (upload, name) = (upload.clone(), name.clone());
        self.write(change::Commit { upload, name, expected, allowance: *allowance, now }).await
    }

    async fn abort(&self, upload: &Upload) -> Result<bool, StoreError> {
        self.write(upload::Abort(upload.clone())).await
    }

    async fn delete(
        &self,
        owner: &Subject,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<DeleteBlob, StoreError> {
        let (owner, name) = (owner.clone(), name.clone());
        self.write(change::Delete { owner, name, expected, allowance: *allowance, now }).await
    }

    async fn delete_all(&self, owner: &Subject) -> Result<u32, StoreError> {
        self.write(remove::DeleteAll(owner.clone())).await
    }

    async fn sweep(&self, due: BlobsDue, most: u32) -> Result<SweptBlobs, StoreError> {
        self.write(remove::Sweep { due, most }).await
    }
}
