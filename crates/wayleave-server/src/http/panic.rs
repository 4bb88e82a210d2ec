//! A panic in a handler is a 500 with our body; the process lives, and the panic's text stays out of sight (R171).

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::response::{IntoResponse as _, Response};

use crate::error::{ApiError, ErrorCode};

/// The answer of `inside`, or 500 `internal_error` when it panics.
///
/// Nothing shared can be left half changed: our locks are never held over user code, and a request's own values are
/// dropped with it.
pub(super) async fn caught(inside: impl Future<Output = Response>) -> Response {
    match Guarded(pin!(inside)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(ErrorCode::InternalError).into_response(),
    }
}

/// Replaces the process's panic hook by one that writes where a panic happened and never what it said, since the text
/// may hold a secret (R164). For the binary's start.
pub fn install_silent_hook() {
    std::panic::set_hook(Box::new(report));
}

fn report(info: &PanicHookInfo<'_>) {
    let (file, line) = info.location().map_or(("unknown", 0), |location| (location.file(), location.line()));
    tracing::error!(file, line, "a panic was caught");
}

struct Guarded<'a, F>(Pin<&'a mut F>);

impl<F: Future> Future for Guarded<'_, F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}
