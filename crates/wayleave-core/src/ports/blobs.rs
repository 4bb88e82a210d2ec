//! The vault's blobs: ciphertext under names, in versions that are replaced as a whole.
//!
//! A version is written in pieces under an id of its own and is nobody's until it is committed, which makes it the
//! current one under a name in one step. What it replaces stays readable by its id for a while, so that whoever is in
//! the middle of it reads one version from its first byte to its last.

use async_trait::async_trait;

use super::StoreError;
use crate::blob::{BlobId, BlobName};
use crate::subject::Subject;
use crate::time::Timestamp;

/// Most bytes of a piece.
pub const MAX_PIECE: usize = 256 * 1024;

/// The current version under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The name.
    pub name: BlobName,
    /// The version.
    pub id: BlobId,
    /// Its bytes.
    pub size: u64,
    /// Its pieces, which are numbered from 0.
    pub pieces: u32,
    /// When it was committed.
    pub changed_at: Timestamp,
}

/// A version that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Whose it is.
    pub owner: Subject,
    /// What it becomes: 128 random bits, never used before.
    pub id: BlobId,
}

/// How much one owner may have. What would pass it is refused in the step that would.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of blobs. Of versions that were replaced or deleted, as many again are kept for readers: the oldest go
    /// first.
    pub bytes: u64,
    /// Blobs, and versions that were replaced or deleted.
    pub blobs: u32,
    /// Versions that are being written.
    pub uploads: u32,
    /// By how much the bytes of blobs and uploads together may pass `bytes`, so that who has used all of it can
    /// still replace something. A commit never passes `bytes`.
    pub overlap: u64,
}

/// What an owner has.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobUsage {
    /// Bytes of blobs.
    pub bytes: u64,
    /// Blobs.
    pub blobs: u32,
    /// Bytes of versions that are being written.
    pub staged_bytes: u64,
    /// Versions that are being written.
    pub uploads: u32,
    /// Bytes of versions that were replaced or deleted and are not yet swept.
    pub replaced_bytes: u64,
    /// Versions that were replaced or deleted and are not yet swept.
    pub replaced: u32,
}

impl Allowance {
    /// Whether there is room for another upload.
    #[must_use]
    pub const fn admits_upload(&self, usage: &BlobUsage) -> bool {
        usage.uploads < self.uploads
    }

    /// Whether there is room for `more` bytes of an upload.
    #[must_use]
    pub const fn admits_piece(&self, usage: &BlobUsage, more: u64) -> bool {
        let held = usage.bytes.saturating_add(usage.staged_bytes).saturating_add(more);
        held <= self.bytes.saturating_add(self.overlap)
    }

    /// Whether a version of `size` bytes may be committed where one of `replaces` bytes is, if any.
    #[must_use]
    pub const fn admits_commit(&self, usage: &BlobUsage, size: u64, replaces: Option<u64>) -> bool {
        let (freed, has_place) = match replaces {
            Some(freed) => (freed, true),
            None => (0, usage.blobs < self.blobs),
        };
        has_place && usage.bytes.saturating_sub(freed).saturating_add(size) <= self.bytes
    }

    /// Whether so much of what was replaced may be kept.
    #[must_use]
    pub const fn admits_replaced(&self, usage: &BlobUsage) -> bool {
        usage.replaced_bytes <= self.bytes && usage.replaced <= self.blobs
    }
}

/// What must be under a name for a change to be made.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Absent,
    /// Any version.
    Present,
    /// This version.
    Exactly(BlobId),
}

impl Expected {
    /// Whether it holds where `current` is.
    #[must_use]
    pub fn holds(self, current: Option<BlobId>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::Exactly(id) => current == Some(id),
        }
    }
}

/// What became of a new upload.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum BeginUpload {
    /// It can be written.
    Done,
    /// The owner has as many as there may be.
    TooMany,
    /// The id was used before.
    Exists,
}

/// What became of a piece.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AppendPiece {
    /// It is kept.
    Done,
    /// The owner would have too much.
    OverQuota,
    /// There is no such upload of this owner, or its next piece has another number.
    Missing,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CommitUpload {
    /// The upload is the current version.
    Done(Blob),
    /// Something else than expected was under the name.
    Mismatch,
    /// The owner would have too much.
    OverQuota,
    /// There is no such upload of this owner.
    Missing,
}

/// What became of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum DeleteBlob {
    /// This was the current version; there is none now.
    Done(Blob),
    /// Something else than expected was under the name.
    Mismatch,
}

/// What a sweep of blobs looks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BlobsDue {
    /// Versions that were replaced or deleted before that.
    pub replaced_before: Timestamp,
    /// Uploads that were begun before that and are neither committed nor aborted.
    pub begun_before: Timestamp,
}

/// What a sweep of blobs removed.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SweptBlobs {
    /// Versions that had been replaced or deleted.
    pub replaced: u32,
    /// Uploads.
    pub uploads: u32,
    /// Whether there is more to remove.
    pub more: bool,
}

/// Keeps blobs. The content is ciphertext of the client's and is never looked at.
///
/// Every operation is atomic. What an owner has is counted in the step that changes it, so that no number of parallel
/// writers passes an [`Allowance`].
#[async_trait]
pub trait BlobStore: Send + Sync {
    /// The current version under a name.
    async fn find(&self, owner: &Subject, name: &BlobName) -> Result<Option<Blob>, StoreError>;

    /// The current versions in the order of the bytes of their names, from the one after `after`, at most `most` (1 to
    /// 1000).
    async fn list(&self, owner: &Subject, after: Option<&BlobName>, most: u32) -> Result<Vec<Blob>, StoreError>;

    /// What an owner has.
    async fn usage(&self, owner: &Subject) -> Result<BlobUsage, StoreError>;

    /// A piece of a version, current or not. `None` past the last one, and when the version has been removed.
    async fn piece(&self, id: BlobId, number: u32) -> Result<Option<Vec<u8>>, StoreError>;

    /// Begins a version. Uploads of the same owner that were begun before `abandoned` are aborted first: whoever wrote
    /// them is gone.
    async fn begin(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        now: Timestamp,
        abandoned: Timestamp,
    ) -> Result<BeginUpload, StoreError>;

    /// Adds piece `number`, from 0 on and without gaps, of 1 to [`MAX_PIECE`] bytes; any other length is
    /// [`StoreError::Full`]. A piece that was refused leaves the upload as it was.
    async fn append(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        number: u32,
        piece: Vec<u8>,
    ) -> Result<AppendPiece, StoreError>;

    /// Makes an upload the current version under `name`, if what is expected is there now, and the quota allows it; that
    /// is looked at in this order. The upload has ended whatever comes of it: nothing of a refused one is left.
    async fn commit(
        &self,
        upload: &Upload,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<CommitUpload, StoreError>;

    /// Ends an upload, of which nothing is left. Whether there was one.
    async fn abort(&self, upload: &Upload) -> Result<bool, StoreError>;

    /// Takes a name away from its current version, if it is the expected one.
    async fn delete(
        &self,
        owner: &Subject,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<DeleteBlob, StoreError>;

    /// Removes everything of an owner at once: blobs, what was replaced, and uploads, whose next piece is then
    /// [`AppendPiece::Missing`]. How many blobs there were.
    async fn delete_all(&self, owner: &Subject) -> Result<u32, StoreError>;

    /// Removes what is due, at most `most` versions and as many uploads.
    async fn sweep(&self, due: BlobsDue, most: u32) -> Result<SweptBlobs, StoreError>;
}
