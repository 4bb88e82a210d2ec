//! What is current under a name: replaced and deleted by whoever knows what is there.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use wayleave_core::blob::{BlobId, BlobName};
use wayleave_core::ports::{Allowance, Blob, CommitUpload, DeleteBlob, Expected, StoreError, Upload};
use wayleave_core::stored;
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use super::{FIND, upload};
use crate::columns::Columns;
use crate::error::failed;
use crate::writer::Write;

pub(super) const TAKE_NAME: &str = "UPDATE vault_versions SET state = 'replaced', name = NULL, at = ?2 WHERE id = ?1";
pub(super) const GIVE_NAME: &str = "UPDATE vault_versions SET state = 'current', name = ?2, at = ?3 WHERE id = ?1";
// Of those that were replaced in one millisecond, the one that was begun first.
pub(super) const DROP_OLDEST: &str = "DELETE FROM vault_versions WHERE rowid = (SELECT rowid FROM vault_versions \
     WHERE owner = ?1 AND state = 'replaced' ORDER BY at, rowid LIMIT 1)";

pub(super) struct Commit {
    pub(super) upload: Upload,
    pub(super) name: BlobName,
    pub(super) expected: Expected,
    pub(super) allowance: Allowance,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for Commit {
    type Output = CommitUpload;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<CommitUpload, StoreError> {
        let Self { upload, name, expected, allowance, now } = self;
        let Some((size, pieces)) = upload::staged(connection, upload).await? else {
            return Ok(CommitUpload::Missing);
        };
        let owner = &upload.owner;
        let current = find(connection, owner, name).await?;
        if !expected.holds(current.as_ref().map(|blob| blob.id)) {
            upload::abort(connection, upload).await?;
            return Ok(CommitUpload::Mismatch);
        }
        let usage = upload::usage(connection, owner).await?;
        if !allowance.admits_commit(&usage, size, current.as_ref().map(|blob| blob.size)) {
            upload::abort(connection, upload).await?;
            return Ok(CommitUpload::OverQuota);
        }
        if let Some(was) = &current {
            take_name(connection, was.id, *now).await?;
        }
        let give = sqlx::query(GIVE_NAME).bind(upload.id.0.to_vec()).bind(name.as_str()).bind(now.as_millis());
        give.execute(&mut *connection).await.map_err(failed)?;
        drop_surplus(connection, owner, allowance).await?;
        Ok(CommitUpload::Done(Blob { name: name.clone(), id: upload.id, size, pieces, changed_at: *now }))
    }
}

pub(super) struct Delete {
    pub(super) owner: Subject,
    pub(super) name: BlobName,
    pub(super) expected: Expected,
    pub(super) allowance: Allowance,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Write for Delete {
    type Output = DeleteBlob;

    async fn run(&self, connection: &mut SqliteConnection) -> Result<DeleteBlob, StoreError> {
        let Self { owner, name, expected, allowance, now } = self;
        let current = find(connection, owner, name).await?;
        let Some(was) = current.filter(|was| expected.holds(Some(was.id))) else {
            return Ok(DeleteBlob::Mismatch);
        };
        take_name(connection, was.id, *now).await?;
        drop_surplus(connection, owner, allowance).await?;
        Ok(DeleteBlob::Done(was))
    }
}

async fn find(connection: &mut SqliteConnection, owner: &Subject, name: &BlobName) -> Result<Option<Blob>, StoreError> {
    let query = sqlx::query(FIND).bind(owner.as_str()).bind(name.as_str());
    let row = query.fetch_optional(connection).await.map_err(failed)?;
    row.map(|row| stored::blob(Columns(&row))).transpose()
}

async fn take_name(connection: &mut SqliteConnection, id: BlobId, now: Timestamp) -> Result<(), StoreError> {
    let take = sqlx::query(TAKE_NAME).bind(id.0.to_vec()).bind(now.as_millis());
    take.execute(connection).await.map_err(failed).map(drop)
}

/// Removes what is kept for readers beyond the allowance.
async fn drop_surplus(
    connection: &mut SqliteConnection,
    owner: &Subject,
    allowance: &Allowance,
) -> Result<(), StoreError> {
    while !allowance.admits_replaced(&upload::usage(connection, owner).await?) {
        let drop = sqlx::query(DROP_OLDEST).bind(owner.as_str());
        if drop.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
            break;
        }
    }
    Ok(())
}
