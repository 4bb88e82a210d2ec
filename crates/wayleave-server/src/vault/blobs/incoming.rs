//! A body on its way in, cut into pieces.

use std::time::Duration;

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use wayleave_core::ports::MAX_PIECE;

use crate::error::{ApiError, ErrorCode};
use crate::http::body::is_too_large;

/// A request's body, of which no more than one piece and what has just arrived is in memory.
pub struct Incoming<'b> {
    body: &'b mut Body,
    /// What has arrived past the last piece.
    rest: Bytes,
    /// How much is still to come, where the client said so.
    left: Option<u64>,
    /// Whether the body has come to its end, after which nobody may ask it for more.
    over: bool,
    stall: Duration,
    until: Instant,
}

impl<'b> Incoming<'b> {
    /// A body of `declared` bytes, if that is known, of which something must arrive every `stall`, and all by `until`.
    #[must_use]
    pub fn new(body: &'b mut Body, declared: Option<u64>, stall: Duration, until: Instant) -> Self {
        Self { body, rest: Bytes::new(), left: declared, over: false, stall, until }
    }

    /// The next piece: of [`MAX_PIECE`] bytes, but for the last. None at the end.
    ///
    /// # Errors
    /// 413 `blob_too_large`, 408 `request_timeout`, or 400 `bad_request` when the client broke off.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let left = self.left.map_or(MAX_PIECE, |left| usize::try_from(left).unwrap_or(MAX_PIECE));
        let mut piece = Vec::with_capacity(left.min(MAX_PIECE));
        while piece.len() < MAX_PIECE {
            if self.rest.is_empty() && (self.over || !self.arrived().await?) {
                break;
            }
            let wanted = (MAX_PIECE - piece.len()).min(self.rest.len());
            piece.extend_from_slice(self.rest.get(..wanted).unwrap_or_default());
            self.rest.advance(wanted);
        }
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(length));
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// Waits for more; whether there was any.
    async fn arrived(&mut self) -> Result<bool, ApiError> {
        loop {
            let patience = self.until.min(Instant::now() + self.stall);
            match timeout_at(patience, self.body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => {
                        self.rest = data;
                        return Ok(true);
                    }
                    // Trailers, or nothing.
                    Ok(_) | Err(_) => {}
                },
                Ok(Some(Err(error))) if is_too_large(&error) => return Err(ApiError::new(ErrorCode::BlobTooLarge)),
                Ok(Some(Err(_))) => return Err(ApiError::new(ErrorCode::BadRequest)),
                Ok(None) => {
                    self.over = true;
                    return Ok(false);
                }
                Err(_) => return Err(ApiError::new(ErrorCode::RequestTimeout)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
