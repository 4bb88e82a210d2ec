//! The layer as a tower service: what happens before and after the handler.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum_core::extract::Request;
use axum_core::response::{IntoResponse as _, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::shared::Shared;
use super::slot::Slot;
use super::{SessionLayer, guard};
use crate::reject::SessionRejection;

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A service whose requests have sessions; see [`SessionLayer`].
#[derive(Clone)]
pub struct SessionService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for SessionService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = SessionFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.shared.start_upkeep();
        let slot = Arc::new(Slot::new(Arc::clone(&self.shared)));
        if guard::is_harmless(&self.shared, &request) {
            return begin(&mut self.inner, slot, request);
        }
        // The one that was made ready is the one to call.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        SessionFuture::boxed(async move {
            match guard::guard(&slot, request).await {
                Ok(request) => begin(&mut ready, slot, request).await,
                Err(error) => Ok(finish(&slot, error.into_response()).await),
            }
        })
    }
}

fn begin<S>(inner: &mut S, slot: Arc<Slot>, mut request: Request) -> SessionFuture<S::Future>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    request.extensions_mut().insert(Arc::clone(&slot));
    // What the client holds must be right after a panic, too.
    match catch_unwind(AssertUnwindSafe(|| inner.call(request))) {
        Ok(future) => SessionFuture { step: Step::Handler { future, slot } },
        Err(_) => SessionFuture::finishing(slot, SessionRejection::Panicked.into_response()),
    }
}

pin_project! {
    /// The answer to a request that may have a session. Costs a request that does not ask for it next to nothing.
    pub struct SessionFuture<F> {
        #[pin]
        step: Step<F>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F> {
        Handler { #[pin] future: F, slot: Arc<Slot> },
        Boxed { future: Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> },
    }
}

impl<F> SessionFuture<F> {
    fn boxed(future: impl Future<Output = Result<Response, Infallible>> + Send + 'static) -> Self {
        Self { step: Step::Boxed { future: Box::pin(future) } }
    }

    fn finishing(slot: Arc<Slot>, response: Response) -> Self {
        Self::boxed(async move { Ok(finish(&slot, response).await) })
    }
}

impl<F> Future for SessionFuture<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (future, slot) = match this.step.as_mut().project() {
            StepProjection::Boxed { future } => return future.as_mut().poll(context),
            StepProjection::Handler { future, slot } => (future, slot),
        };
        let response = match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(outcome) => match ready!(outcome) {
                Ok(response) => response,
                Err(never) => match never {},
            },
            Err(_) => SessionRejection::Panicked.into_response(),
        };
        match slot.finish_at_once(response) {
            Ok(response) => Poll::Ready(Ok(response)),
            Err(response) => {
                let SessionFuture { step } = Self::finishing(Arc::clone(slot), response);
                this.step.set(step);
                poll_boxed(this.step, context)
            }
        }
    }
}

fn poll_boxed<F>(step: Pin<&mut Step<F>>, context: &mut Context<'_>) -> Poll<Result<Response, Infallible>> {
    match step.project() {
        StepProjection::Boxed { future } => future.as_mut().poll(context),
        StepProjection::Handler { .. } => Poll::Pending,
    }
}

async fn finish(slot: &Slot, response: Response) -> Response {
    match slot.finish(response).await {
        Ok(response) => response,
        Err((error, headers)) => {
            let mut response = error.into_response();
            for (name, value) in &headers {
                response.headers_mut().append(name, value.clone());
            }
            response
        }
    }
}
