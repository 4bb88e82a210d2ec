//! The vault's blobs, over connections of their own, so that uploads keep no sign-in waiting.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use wayleave_core::blob::{BlobId, BlobName};
use wayleave_core::ports::{
    Allowance, AppendPiece, BeginUpload, Blob, BlobStore, BlobUsage, BlobsDue, CommitUpload, DeleteBlob, Expected,
    MAX_PIECE, StoreError, SweptBlobs, Upload,
};
use wayleave_core::stored::{self, Columns as _, Malformed};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use crate::columns::Columns;
use crate::error::failed;
use crate::pool::Effect;
use crate::statement::Statement;
use crate::store::PostgresStore;

const FIND: &str = "SELECT name, id, size, pieces, at FROM vault_versions \
     WHERE owner = $1 AND state = 'current' AND name = $2";
const LIST: &str = "SELECT name, id, size, pieces, at FROM vault_versions \
     WHERE owner = $1 AND state = 'current' AND name > $2 ORDER BY name LIMIT $3";
const USAGE: &str = "SELECT state, versions, bytes FROM vault_usage WHERE owner = $1";
const PIECE: &str = "SELECT content FROM vault_pieces WHERE version = $1 AND number = $2";
const BEGIN: &str = "SELECT vault_begin($1, $2, $3, $4, $5, $6) AS outcome";
const APPEND: &str = "SELECT vault_append($1, $2, $3, $4, $5, $6) AS outcome";
const COMMIT: &str = "SELECT outcome, size, pieces FROM vault_commit($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const ABORT: &str = "SELECT vault_abort($1, $2, $3) AS outcome";
const DELETE: &str = "SELECT name, id, size, pieces, at FROM vault_delete($1, $2, $3, $4, $5, $6, $7, $8)";
const DELETE_ALL: &str = "SELECT vault_delete_all($1, $2) AS blobs";
const SWEEP: &str =
    "SELECT vault_sweep($1, 'replaced', $2, $4) AS replaced, vault_sweep($1, 'upload', $3, $4) AS uploads";

impl PostgresStore {
    async fn vault(&self, effect: Effect, statement: &Statement) -> Result<Vec<PgRow>, StoreError> {
        self.vault.run(effect, statement).await?.map_err(failed)
    }

    async fn change_vault(&self, statement: &Statement) -> Result<PgRow, StoreError> {
        let rows = self.vault(Effect::Writes, statement).await?;
        Ok(rows.into_iter().next().ok_or(Malformed("outcome"))?)
    }
}

#[async_trait]
impl BlobStore for PostgresStore {
    async fn find(&self, owner: &Subject, name: &BlobName) -> Result<Option<Blob>, StoreError> {
        let find = Statement::new(FIND).bind(owner.as_str()).bind(name.as_str());
        let rows = self.vault(Effect::Reads, &find).await?;
        rows.first().map(|row| stored::blob(Columns(row))).transpose()
    }

    async fn list(&self, owner: &Subject, after: Option<&BlobName>, most: u32) -> Result<Vec<Blob>, StoreError> {
        let after = after.map_or("", BlobName::as_str);
        let list = Statement::new(LIST).bind(owner.as_str()).bind(after).bind(i64::from(most.clamp(1, 1000)));
        let rows = self.vault(Effect::Reads, &list).await?;
        rows.iter().map(|row| stored::blob(Columns(row))).collect()
    }

    async fn usage(&self, owner: &Subject) -> Result<BlobUsage, StoreError> {
        let rows = self.vault(Effect::Reads, &Statement::new(USAGE).bind(owner.as_str())).await?;
        stored::blob_usage(rows.iter().map(Columns))
    }

    async fn piece(&self, id: BlobId, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let piece = Statement::new(PIECE).bind(id.0).bind(i64::from(number));
        let rows = self.vault(Effect::Reads, &piece).await?;
        rows.first().map(|row| Columns(row).blob("content").map(Vec::from)).transpose()
    }

    async fn begin(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        now: Timestamp,
        abandoned: Timestamp,
    ) -> Result<BeginUpload, StoreError> {
        let begin = Statement::new(BEGIN)
            .bind(self.blobs.0)
            .bind(upload.owner.as_str())
            .bind(upload.id.0)
            .bind(i64::from(allowance.uploads))
            .bind(now.as_millis())
            .bind(abandoned.as_millis());
        match Columns(&self.change_vault(&begin).await?).text("outcome")? {
            "done" => Ok(BeginUpload::Done),
            "exists" => Ok(BeginUpload::Exists),
            "full" => Ok(BeginUpload::TooMany),
            _ => Err(Malformed("outcome").into()),
        }
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
        let append = Statement::new(APPEND)
            .bind(self.blobs.0)
            .bind(upload.owner.as_str())
            .bind(upload.id.0)
            .bind(i64::from(number))
            .bind(piece)
            .bind(at_most(allowance.bytes.saturating_add(allowance.overlap)));
        match Columns(&self.change_vault(&append).await?).text("outcome")? {
            "done" => Ok(AppendPiece::Done),
            "quota" => Ok(AppendPiece::OverQuota),
            "missing" => Ok(AppendPiece::Missing),
            _ => Err(Malformed("outcome").into()),
        }
    }

    async fn commit(
        &self,
        upload: &Upload,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<CommitUpload, StoreError> {
        let Upload { owner, id } = upload;
        let (condition, version) = condition(expected);
        let commit = Statement::new(COMMIT)
            .bind(self.blobs.0)
            .bind(owner.as_str())
            .bind(id.0)
            .bind(name.as_str())
            .bind(condition)
            .bind(version)
            .bind(at_most(allowance.bytes))
            .bind(i64::from(allowance.blobs))
            .bind(now.as_millis());
        let row = self.change_vault(&commit).await?;
        let row = Columns(&row);
        match row.text("outcome")? {
            "done" => Ok(CommitUpload::Done(Blob {
                name: name.clone(),
                id: *id,
                size: row.number("size")?,
                pieces: row.number("pieces")?,
                changed_at: now,
            })),
            "mismatch" => Ok(CommitUpload::Mismatch),
            "quota" => Ok(CommitUpload::OverQuota),
            "missing" => Ok(CommitUpload::Missing),
            _ => Err(Malformed("outcome").into()),
        }
    }

    async fn abort(&self, upload: &Upload) -> Result<bool, StoreError> {
        let abort = Statement::new(ABORT).bind(self.blobs.0).bind(upload.owner.as_str()).bind(upload.id.0);
        Columns(&self.change_vault(&abort).await?).flag("outcome")
    }

    async fn delete(
        &self,
        owner: &Subject,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<DeleteBlob, StoreError> {
        let (condition, version) = condition(expected);
        let delete = Statement::new(DELETE)
            .bind(self.blobs.0)
            .bind(owner.as_str())
            .bind(name.as_str())
            .bind(condition)
            .bind(version)
            .bind(at_most(allowance.bytes))
            .bind(i64::from(allowance.blobs))
            .bind(now.as_millis());
        let rows = self.vault(Effect::Writes, &delete).await?;
        match rows.first() {
            Some(row) => Ok(DeleteBlob::Done(stored::blob(Columns(row))?)),
            None => Ok(DeleteBlob::Mismatch),
        }
    }

    async fn delete_all(&self, owner: &Subject) -> Result<u32, StoreError> {
        let delete = Statement::new(DELETE_ALL).bind(self.blobs.0).bind(owner.as_str());
        Columns(&self.change_vault(&delete).await?).number("blobs")
    }

    /// Owners with whose versions somebody is at work are passed over until the next time.
    async fn sweep(&self, due: BlobsDue, most: u32) -> Result<SweptBlobs, StoreError> {
        let sweep = Statement::new(SWEEP)
            .bind(self.blobs.0)
            .bind(due.replaced_before.as_millis())
            .bind(due.begun_before.as_millis())
            .bind(i64::from(most));
        let row = self.change_vault(&sweep).await?;
        let (replaced, uploads) = (Columns(&row).number("replaced")?, Columns(&row).number("uploads")?);
        Ok(SweptBlobs { replaced, uploads, more: replaced >= most || uploads >= most })
    }
}

fn condition(expected: Expected) -> (&'static str, Option<[u8; 16]>) {
    match expected {
        Expected::Absent => ("absent", None),
        Expected::Present => ("present", None),
        Expected::Exactly(BlobId(id)) => ("exactly", Some(id)),
    }
}

/// A limit as PostgreSQL's integer, which no sum of sizes reaches.
fn at_most(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
