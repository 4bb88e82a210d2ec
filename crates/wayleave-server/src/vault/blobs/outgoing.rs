//! A version on its way out, piece by piece.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};
use wayleave_core::blob::BlobId;
use wayleave_core::ports::{Blob, BlobStore, StoreError};

use super::transfers::Turn;
use crate::metrics::Metrics;

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, Broken>> + Send>>;

/// A version as the body of an answer. The next piece is read when the one before has been taken.
pub(super) struct Outgoing {
    store: Arc<dyn BlobStore>,
    id: BlobId,
    next: u32,
    pieces: u32,
    left: u64,
    until: Instant,
    reading: Option<Reading>,
    metrics: Metrics,
    _turn: Turn,
}

/// Why an answer ends before its time; its client sees a body that is too short.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    /// It was removed: the account's blobs were, or it was replaced by so much that it had to make room.
    #[error("the version is gone")]
    Gone,
    #[error("the client takes too long")]
    TooSlow,
}

impl Outgoing {
    pub(super) fn new(store: Arc<dyn BlobStore>, blob: &Blob, until: Instant, turn: Turn, metrics: Metrics) -> Self {
        let Blob { name: _, id, size, pieces, changed_at: _ } = *blob;
        Self { store, id, next: 0, pieces, left: size, until, reading: None, metrics, _turn: turn }
    }

    fn read_next(&mut self) -> Reading {
        let (store, id, number, until) = (Arc::clone(&self.store), self.id, self.next, self.until);
        self.next += 1;
        Box::pin(async move {
            match timeout_at(until, store.piece(id, number)).await {
                Ok(Ok(Some(piece))) => Ok(Bytes::from(piece)),
                Ok(Ok(None)) => Err(Broken::Gone),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Broken::TooSlow),
            }
        })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.reading.is_none() {
            if self.next >= self.pieces {
                return Poll::Ready(None);
            }
            self.reading = Some(self.read_next());
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let read = ready!(reading.as_mut().poll(context));
        self.reading = None;
        match read {
            Ok(piece) => {
                self.left = self.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                self.metrics.blob_bytes("out", piece.len());
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Err(error) => {
                tracing::debug!(%error, "a blob was not read to its end");
                self.next = self.pieces;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reading.is_none() && self.next >= self.pieces
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
