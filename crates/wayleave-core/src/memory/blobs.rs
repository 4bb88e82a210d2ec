//! The vault's blobs in process memory: for tests, examples and deployments that keep nothing across a restart.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;

use async_trait::async_trait;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::blob::{BlobId, BlobName};
use crate::ports::{
    Allowance, AppendPiece, BeginUpload, Blob, BlobStore, BlobUsage, BlobsDue, CommitUpload, DeleteBlob, Expected,
    MAX_PIECE, StoreError, SweptBlobs, Upload,
};
use crate::subject::Subject;
use crate::time::Timestamp;

/// How much a [`MemoryBlobs`] holds at most, of all owners together. What would pass it is [`StoreError::Full`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BlobLimits {
    /// Bytes of every version: current, replaced and being written.
    pub bytes: u64,
    /// Versions of every kind.
    pub versions: usize,
}

impl Default for BlobLimits {
    /// 1 GiB, 100 000 versions.
    fn default() -> Self {
        Self { bytes: 1 << 30, versions: 100_000 }
    }
}

/// Blobs in process memory: bounded, gone with the process, seen by nobody else. Each operation is one critical section.
pub struct MemoryBlobs {
    limits: BlobLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owners: BTreeMap<Subject, Owned>,
    contents: Contents,
}

/// What one owner has.
#[derive(Default)]
struct Owned {
    blobs: BTreeMap<BlobName, Blob>,
    uploads: BTreeMap<BlobId, Staged>,
    // In the order in which they were replaced.
    replaced: VecDeque<Replaced>,
}

struct Staged {
    size: u64,
    pieces: u32,
    begun_at: Timestamp,
}

struct Replaced {
    id: BlobId,
    size: u64,
    at: Timestamp,
}

/// The pieces of every version.
#[derive(Default)]
struct Contents {
    versions: HashMap<BlobId, Vec<Box<[u8]>>>,
    bytes: u64,
}

impl MemoryBlobs {
    /// An empty store.
    #[must_use]
    pub fn new(limits: BlobLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }
}

impl Default for MemoryBlobs {
    fn default() -> Self {
        Self::new(BlobLimits::default())
    }
}

impl fmt::Debug for MemoryBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBlobs").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn find(&self, owner: &Subject, name: &BlobName) -> Result<Option<Blob>, StoreError> {
        let state = self.state.lock();
        Ok(state.owners.get(owner).and_then(|owned| owned.blobs.get(name)).cloned())
    }

    async fn list(&self, owner: &Subject, after: Option<&BlobName>, most: u32) -> Result<Vec<Blob>, StoreError> {
        let state = self.state.lock();
        let Some(owned) = state.owners.get(owner) else { return Ok(Vec::new()) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let blobs = owned.blobs.range::<BlobName, _>((from, Bound::Unbounded));
        Ok(blobs.take(whole(most.clamp(1, 1000))).map(|(_, blob)| blob.clone()).collect())
    }

    async fn usage(&self, owner: &Subject) -> Result<BlobUsage, StoreError> {
        Ok(self.state.lock().owners.get(owner).map(Owned::usage).unwrap_or_default())
    }

    async fn piece(&self, id: BlobId, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let state = self.state.lock();
        let pieces = state.contents.versions.get(&id);
        Ok(pieces.and_then(|pieces| pieces.get(whole(number))).map(|piece| piece.to_vec()))
    }

    async fn begin(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        now: Timestamp,
        abandoned: Timestamp,
    ) -> Result<BeginUpload, StoreError> {
        let mut state = self.state.lock();
        let State { owners, contents } = &mut *state;
        if let Some(owned) = owners.get_mut(&upload.owner) {
            owned.abort_begun_before(abandoned, contents, u32::MAX);
        }
        if contents.versions.contains_key(&upload.id) {
            return Ok(BeginUpload::Exists);
        }
        let usage = owners.get(&upload.owner).map(Owned::usage).unwrap_or_default();
        if !allowance.admits_upload(&usage) {
            return Ok(BeginUpload::TooMany);
        }
        if contents.versions.len() >= self.limits.versions {
            return Err(StoreError::Full);
        }
        contents.versions.insert(upload.id, Vec::new());
        let staged = Staged { size: 0, pieces: 0, begun_at: now };
        owners.entry(upload.owner.clone()).or_default().uploads.insert(upload.id, staged);
        Ok(BeginUpload::Done)
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
        let mut state = self.state.lock();
        let State { owners, contents } = &mut *state;
        let Some(owned) = owners.get_mut(&upload.owner) else { return Ok(AppendPiece::Missing) };
        let usage = owned.usage();
        let Some(staged) = owned.uploads.get_mut(&upload.id).filter(|staged| staged.pieces == number) else {
            return Ok(AppendPiece::Missing);
        };
        let more = length(&piece);
        if !allowance.admits_piece(&usage, more) {
            return Ok(AppendPiece::OverQuota);
        }
        let bytes = contents.bytes.saturating_add(more);
        let pieces = contents.versions.get_mut(&upload.id).filter(|_| bytes <= self.limits.bytes);
        pieces.ok_or(StoreError::Full)?.push(piece.into());
        contents.bytes = bytes;
        staged.size += more;
        staged.pieces += 1;
        Ok(AppendPiece::Done)
    }

    async fn commit(
        &self,
        upload: &Upload,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<CommitUpload, StoreError> {
        let mut state = self.state.lock();
        let State { owners, contents } = &mut *state;
        let Some(owned) = owners.get_mut(&upload.owner) else { return Ok(CommitUpload::Missing) };
        let Some(Staged { size, pieces, begun_at: _ }) = owned.uploads.remove(&upload.id) else {
            return Ok(CommitUpload::Missing);
        };
        let current = owned.blobs.get(name);
        let refusal = if !expected.holds(current.map(|blob| blob.id)) {
            Some(CommitUpload::Mismatch)
        } else if !allowance.admits_commit(&owned.usage(), size, current.map(|blob| blob.size)) {
            Some(CommitUpload::OverQuota)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            contents.remove(upload.id);
            state.tidy(&upload.owner);
            return Ok(refusal);
        }
        let blob = Blob { name: name.clone(), id: upload.id, size, pieces, changed_at: now };
        if let Some(was) = owned.blobs.insert(name.clone(), blob.clone()) {
            owned.retire(&was, allowance, now, contents);
        }
        Ok(CommitUpload::Done(blob))
    }

    async fn abort(&self, upload: &Upload) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let State { owners, contents } = &mut *state;
        let was_there = owners.get_mut(&upload.owner).is_some_and(|owned| owned.uploads.remove(&upload.id).is_some());
        if was_there {
            contents.remove(upload.id);
            state.tidy(&upload.owner);
        }
        Ok(was_there)
    }

    async fn delete(
        &self,
        owner: &Subject,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<DeleteBlob, StoreError> {
        let mut state = self.state.lock();
        let State { owners, contents } = &mut *state;
        let Some(owned) = owners.get_mut(owner) else { return Ok(DeleteBlob::Mismatch) };
        if !expected.holds(owned.blobs.get(name).map(|blob| blob.id)) {
            return Ok(DeleteBlob::Mismatch);
        }
        let Some(was) = owned.blobs.remove(name) else { return Ok(DeleteBlob::Mismatch) };
        owned.retire(&was, allowance, now, contents);
        state.tidy(owner);
        Ok(DeleteBlob::Done(was))
    }

    async fn delete_all(&self, owner: &Subject) -> Result<u32, StoreError> {
        let mut state = self.state.lock();
        let Owned { blobs, uploads, replaced } = state.owners.remove(owner).unwrap_or_default();
        let current = blobs.values().map(|blob| blob.id);
        let ids = current.chain(uploads.into_keys()).chain(replaced.into_iter().map(|replaced| replaced.id));
        for id in ids {
            state.contents.remove(id);
        }
        Ok(count(blobs.len()))
    }

    async fn sweep(&self, due: BlobsDue, most: u32) -> Result<SweptBlobs, StoreError> {
        let mut state = self.state.lock();
        let State { owners, contents } = &mut *state;
        let mut swept = SweptBlobs::default();
        for owned in owners.values_mut() {
            let is_due = |replaced: &Replaced| replaced.at < due.replaced_before;
            while swept.replaced < most
                && let Some(at) = owned.replaced.iter().position(is_due)
                && let Some(replaced) = owned.replaced.remove(at)
            {
                contents.remove(replaced.id);
                swept.replaced += 1;
            }
            swept.uploads += owned.abort_begun_before(due.begun_before, contents, most - swept.uploads);
        }
        owners.retain(|_, owned| !owned.is_empty());
        swept.more = swept.replaced >= most || swept.uploads >= most;
        Ok(swept)
    }
}

impl State {
    /// Forgets an owner who has nothing.
    fn tidy(&mut self, owner: &Subject) {
        if self.owners.get(owner).is_some_and(Owned::is_empty) {
            self.owners.remove(owner);
        }
    }
}

impl Owned {
    fn usage(&self) -> BlobUsage {
        let Self { blobs, uploads, replaced } = self;
        BlobUsage {
            bytes: blobs.values().map(|blob| blob.size).sum(),
            blobs: count(blobs.len()),
            staged_bytes: uploads.values().map(|staged| staged.size).sum(),
            uploads: count(uploads.len()),
            replaced_bytes: replaced.iter().map(|replaced| replaced.size).sum(),
            replaced: count(replaced.len()),
        }
    }

    fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.uploads.is_empty() && self.replaced.is_empty()
    }

    /// Keeps what was current for its readers, within the allowance.
    fn retire(&mut self, was: &Blob, allowance: &Allowance, now: Timestamp, contents: &mut Contents) {
        self.replaced.push_back(Replaced { id: was.id, size: was.size, at: now });
        while !allowance.admits_replaced(&self.usage())
            && let Some(oldest) = self.replaced.pop_front()
        {
            contents.remove(oldest.id);
        }
    }

    /// Aborts at most `most` uploads; how many there were.
    fn abort_begun_before(&mut self, before: Timestamp, contents: &mut Contents, most: u32) -> u32 {
        let begun = self.uploads.iter().filter(|(_, staged)| staged.begun_at < before).map(|(id, _)| *id);
        let due: Vec<_> = begun.take(whole(most)).collect();
        for id in &due {
            self.uploads.remove(id);
            contents.remove(*id);
        }
        count(due.len())
    }
}

impl Contents {
    fn remove(&mut self, id: BlobId) {
        let pieces = self.versions.remove(&id).unwrap_or_default();
        self.bytes -= pieces.iter().map(|piece| length(piece)).sum::<u64>();
    }
}

fn length(piece: &[u8]) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn whole(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
