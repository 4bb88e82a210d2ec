//! The vault's blobs on their way in and out: piece by piece, within limits of size, time and number.
//!
//! A transfer holds one piece in memory, and the server a bounded number of transfers. What comes in is staged in the
//! store and becomes a version in one step at its end; what goes out is one version from its first byte to its last.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use serde_json::json;
use tokio::time::Instant;
use wayleave_core::blob::{BlobId, BlobName};
use wayleave_core::ports::{
    Allowance, AppendPiece, BeginUpload, Blob, BlobStore, BlobUsage, BlobsDue, Clock, CommitUpload, DeleteBlob,
    Entropy, Expected, StoreError, SweptBlobs, Upload,
};
use wayleave_core::subject::Subject;
use wayleave_core::time::Timestamp;

use crate::error::{ApiError, ErrorCode};
use crate::metrics::Metrics;

mod incoming;
mod outgoing;
mod transfers;

pub use incoming::Incoming;
use outgoing::Outgoing;
pub use transfers::Transfers;

/// How long what was replaced or deleted stays for those who are reading it. No transfer may take longer.
pub const GRACE: Duration = Duration::from_secs(15 * 60);
/// How long after the longest upload it is certain that nobody writes it any more.
const MARGIN: Duration = Duration::from_secs(60);
/// Versions that one step of a sweep removes, so that uploads need not wait for long in between.
const SWEEP_STEP: u32 = 4;
/// Steps of one sweep; what is left is swept the next time.
const SWEEP_STEPS: u32 = 256;

/// What blobs may be and take.
#[derive(Copy, Clone, Debug)]
pub struct BlobOptions {
    /// Bytes of one blob.
    pub most_bytes: u64,
    /// What one account may have.
    pub allowance: Allowance,
    /// How long one transfer may take; at most [`GRACE`].
    pub transfer_timeout: Duration,
    /// How long a client may send nothing of a body.
    pub stall_timeout: Duration,
}

/// The blobs of all accounts.
pub struct Blobs {
    store: Arc<dyn BlobStore>,
    options: BlobOptions,
    transfers: Transfers,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Metrics,
}

/// What [`Blobs`] takes.
pub struct Parts {
    /// Where they are kept.
    pub store: Arc<dyn BlobStore>,
    /// What they may be and take.
    pub options: BlobOptions,
    /// How many go in and out at a time.
    pub transfers: Transfers,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For versions.
    pub entropy: Arc<dyn Entropy>,
    /// Where bytes are counted.
    pub metrics: Metrics,
}

/// A page of blobs, and what there is in all.
pub struct Listed {
    /// The blobs, in the order of their names.
    pub blobs: Vec<Blob>,
    /// Whether there are more.
    pub more: bool,
    /// What the account has.
    pub usage: BlobUsage,
}

impl Blobs {
    /// Puts them together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, options, transfers, clock, entropy, metrics } = parts;
        Self { store, options, transfers, clock, entropy, metrics }
    }

    /// What they may be and take.
    #[must_use]
    pub const fn options(&self) -> &BlobOptions {
        &self.options
    }

    /// The current version under a name.
    ///
    /// # Errors
    /// 503 when the store does not answer, as everywhere here.
    pub async fn find(&self, owner: &Subject, name: &BlobName) -> Result<Option<Blob>, ApiError> {
        Ok(self.store.find(owner, name).await?)
    }

    /// At most `most` blobs after a name.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn list(&self, owner: &Subject, after: Option<&BlobName>, most: u32) -> Result<Listed, ApiError> {
        let mut blobs = self.store.list(owner, after, most.saturating_add(1)).await?;
        let shown = usize::try_from(most).unwrap_or(usize::MAX);
        let more = blobs.len() > shown;
        blobs.truncate(shown);
        Ok(Listed { blobs, more, usage: self.store.usage(owner).await? })
    }

    /// The content of a version, as it is read from the store.
    ///
    /// # Errors
    /// 503 when there are as many transfers as there may be.
    pub fn outgoing(&self, owner: &Subject, blob: &Blob) -> Result<Body, ApiError> {
        let turn = self.transfers.begin(owner)?;
        let until = Instant::now() + self.options.transfer_timeout;
        Ok(Body::new(Outgoing::new(Arc::clone(&self.store), blob, until, turn, self.metrics.clone())))
    }

    /// Takes a body in, as an upload that is nobody's yet. Whoever gets it commits or aborts it.
    ///
    /// # Errors
    /// 413 `blob_too_large` and `vault_quota_exceeded`, 408, 400 when the client broke off, 429 when the account has as many
    /// uploads as it may, 503. Nothing is left then.
    pub async fn receive(&self, owner: &Subject, body: &mut Body, declared: Option<u64>) -> Result<Upload, ApiError> {
        let turn = self.transfers.begin(owner)?;
        if let Some(declared) = declared {
            self.admit(owner, declared).await?;
        }
        let upload = self.begin(owner).await?;
        let until = Instant::now() + self.options.transfer_timeout;
        let incoming = Incoming::new(body, declared, self.options.stall_timeout, until);
        let received = self.fill(&upload, incoming).await;
        drop(turn);
        match received {
            Ok(()) => Ok(upload),
            Err(error) => {
                self.abort(&upload).await;
                Err(error)
            }
        }
    }

    /// Makes an upload the current version.
    ///
    /// # Errors
    /// 412 `precondition_failed`, 413 `vault_quota_exceeded`, 503. Nothing is left then.
    pub async fn commit(&self, upload: &Upload, name: &BlobName, expected: Expected) -> Result<Blob, ApiError> {
        let allowance = &self.options.allowance;
        match self.store.commit(upload, name, expected, allowance, self.clock.now()).await {
            Ok(CommitUpload::Done(blob)) => Ok(blob),
            Ok(CommitUpload::Mismatch) => Err(ApiError::new(ErrorCode::PreconditionFailed)),
            Ok(CommitUpload::OverQuota) => Err(self.over_quota(&upload.owner).await),
            Ok(CommitUpload::Missing) => Err(gone()),
            Err(error) => {
                self.abort(upload).await;
                Err(error.into())
            }
        }
    }

    /// Ends an upload. One that cannot be reached now is swept later.
    pub async fn abort(&self, upload: &Upload) {
        if let Err(error) = self.store.abort(upload).await {
            tracing::warn!(%error, "an upload could not be removed; it will be swept");
        }
    }

    /// Deletes what is under a name; what it was.
    ///
    /// # Errors
    /// 412 `precondition_failed`, 503.
    pub async fn delete(&self, owner: &Subject, name: &BlobName, expected: Expected) -> Result<Blob, ApiError> {
        match self.store.delete(owner, name, expected, &self.options.allowance, self.clock.now()).await? {
            DeleteBlob::Done(was) => Ok(was),
            DeleteBlob::Mismatch => Err(ApiError::new(ErrorCode::PreconditionFailed)),
        }
    }

    /// Removes versions that nobody can be reading any more, and uploads that nobody can be writing.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer.
    pub async fn sweep(&self) -> Result<SweptBlobs, StoreError> {
        let now = self.clock.now();
        let due = BlobsDue { replaced_before: now.minus(GRACE), begun_before: self.abandoned(now) };
        let mut swept = SweptBlobs::default();
        for _ in 0..SWEEP_STEPS {
            let SweptBlobs { replaced, uploads, more } = self.store.sweep(due, SWEEP_STEP).await?;
            swept.replaced += replaced;
            swept.uploads += uploads;
            swept.more = more;
            if !more {
                break;
            }
        }
        Ok(swept)
    }

    /// Refuses what is known beforehand not to fit, so that it need not be sent.
    async fn admit(&self, owner: &Subject, declared: u64) -> Result<(), ApiError> {
        if declared > self.options.most_bytes {
            return Err(ApiError::new(ErrorCode::BlobTooLarge));
        }
        let usage = self.store.usage(owner).await?;
        if self.options.allowance.admits_piece(&usage, declared) { Ok(()) } else { Err(self.over_quota(owner).await) }
    }

    async fn begin(&self, owner: &Subject) -> Result<Upload, ApiError> {
        let mut id = [0; 16];
        self.entropy.fill(&mut id)?;
        let upload = Upload { owner: owner.clone(), id: BlobId(id) };
        let now = self.clock.now();
        match self.store.begin(&upload, &self.options.allowance, now, self.abandoned(now)).await? {
            BeginUpload::Done => Ok(upload),
            BeginUpload::TooMany => Err(ApiError::new(ErrorCode::RateLimited)
                .with_details(json!({ "reason": "uploads" }))
                .with_retry_after(Duration::from_secs(1))),
            // 128 bits that came before are no random bits.
            BeginUpload::Exists => Err(wayleave_core::ports::EntropyFailure.into()),
        }
    }

    async fn fill(&self, upload: &Upload, mut incoming: Incoming<'_>) -> Result<(), ApiError> {
        let mut number = 0;
        while let Some(piece) = incoming.piece().await? {
            let length = piece.len();
            match self.store.append(upload, &self.options.allowance, number, piece).await? {
                AppendPiece::Done => self.metrics.blob_bytes("in", length),
                AppendPiece::OverQuota => return Err(self.over_quota(&upload.owner).await),
                AppendPiece::Missing => return Err(gone()),
            }
            number += 1;
        }
        Ok(())
    }

    /// What was begun before that is written by nobody any more.
    fn abandoned(&self, now: Timestamp) -> Timestamp {
        now.minus(self.options.transfer_timeout.saturating_add(MARGIN))
    }

    async fn over_quota(&self, owner: &Subject) -> ApiError {
        let Allowance { bytes, blobs, .. } = self.options.allowance;
        match self.store.usage(owner).await {
            Ok(usage) => ApiError::new(ErrorCode::VaultQuotaExceeded).with_details(
                json!({ "bytes": usage.bytes, "quota": bytes, "blobs": usage.blobs, "most_blobs": blobs }),
            ),
            Err(error) => error.into(),
        }
    }
}

/// An upload that somebody else has ended: everything of the account was removed meanwhile.
fn gone() -> ApiError {
    ApiError::new(ErrorCode::Conflict)
}

#[cfg(test)]
mod tests;
