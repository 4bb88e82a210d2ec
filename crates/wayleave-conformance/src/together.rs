//! Starting tasks at the same instant.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::{JoinHandle, yield_now};

use crate::bench::Running;

/// Runs the tasks in parallel, released by a barrier once all are ready; their outcomes in the order given.
pub(crate) async fn together<F>(tasks: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<F> = tasks.into_iter().collect();
    let barrier = Arc::new(Barrier::new(tasks.len()));
    let handles: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut outcomes = Vec::with_capacity(handles.len());
    for handle in handles {
        outcomes.push(joined(handle).await);
    }
    outcomes
}

/// Runs two tasks of different kinds in parallel, released by a barrier. From round to round the one or the other gets
/// a head start of a few steps, so that a quick implementation is met in the middle, too.
pub(crate) async fn both<A, B>(round: u32, a: A, b: B) -> (A::Output, B::Output)
where
    A: Future<Output: Send> + Send + 'static,
    B: Future<Output: Send> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(2));
    let start = |behind: u32| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            for _ in 0..behind {
                yield_now().await;
            }
        }
    };
    let steps = round / 2 % 6;
    let (before_a, before_b) =
        if round.is_multiple_of(2) { (start(steps), start(0)) } else { (start(0), start(steps)) };
    let a = tokio::spawn(async move {
        before_a.await;
        a.await
    });
    let b = tokio::spawn(async move {
        before_b.await;
        b.await
    });
    (joined(a).await, joined(b).await)
}

/// Boxes a task, so that different ones fit into one [`together`].
pub(crate) fn boxed<T>(task: impl Future<Output = T> + Send + 'static) -> Running<T> {
    Box::pin(task)
}

async fn joined<T>(handle: JoinHandle<T>) -> T {
    match handle.await {
        Ok(outcome) => outcome,
        Err(failure) => match failure.try_into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            Err(cancelled) => panic!("a task of the race was cancelled: {cancelled}"),
        },
    }
}
