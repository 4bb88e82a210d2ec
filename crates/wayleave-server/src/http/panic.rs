//! A panic in a handler is a 500 with our body; the process lives, and the panic's text stays out of sight (R171).

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::error::{ApiError, ErrorCode};

/// Answers 500 `internal_error` when what lies inside panics; for `axum::middleware::from_fn`.
///
/// Nothing shared can be left half changed: our locks are never held over user code, and a request's own values are
/// dropped with it.
pub async fn catch_panic(request: Request, next: Next) -> Response {
    match Guarded(Box::pin(next.run(request))).await {
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

struct Guarded<F>(Pin<Box<F>>);

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}
