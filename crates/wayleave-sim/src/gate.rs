//! What lets a node's work go on, stand still or never go on again: as a process that runs, is stopped, or is killed.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// How a process is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum Going {
    #[default]
    On,
    /// Nothing of it runs, its timers included.
    Still,
    /// Nothing of it ever runs again.
    Dead,
}

/// What all work of one process passes.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    going: Going,
    waiting: Vec<Waker>,
}

impl Gate {
    /// From now on it is like this. Who is dead stays so.
    pub(crate) fn set(&self, going: Going) {
        let mut state = self.0.lock();
        if state.going != Going::Dead {
            state.going = going;
        }
        for waker in std::mem::take(&mut state.waiting) {
            waker.wake();
        }
    }

    /// Does `work` while the process goes on; nothing when it died before the work was done.
    pub(crate) async fn go<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| match self.poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Going::Dead) => Poll::Ready(None),
            Poll::Ready(Going::On | Going::Still) => work.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// Waits until the process goes on; for ever, when it never does.
    pub(crate) async fn pass(&self) {
        if self.go(std::future::ready(())).await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Going> {
        let mut state = self.0.lock();
        if state.going != Going::Dead {
            // Also while it goes on: who works must notice a death.
            state.waiting.retain(|waker| !waker.will_wake(context.waker()));
            state.waiting.push(context.waker().clone());
        }
        if state.going == Going::Still { Poll::Pending } else { Poll::Ready(state.going) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_stands_still_and_ends() {
        let gate = Arc::new(Gate::default());
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let worker = |gate: &Arc<Gate>, seconds: u32| {
            let gate = Arc::clone(gate);
            tokio::spawn(async move { gate.go(tokio::time::sleep_until(begun + seconds * second)).await.is_some() })
        };
        let (short, long) = (worker(&gate, 1), worker(&gate, 20));
        tokio::task::yield_now().await;
        gate.set(Going::Still);
        tokio::time::sleep_until(begun + 5 * second).await;
        assert!(!short.is_finished());
        gate.set(Going::On);
        assert!(short.await.unwrap());
        assert_eq!(begun.elapsed(), 5 * second);
        gate.set(Going::Dead);
        assert!(!long.await.unwrap());
        assert_eq!(begun.elapsed(), 5 * second);
        gate.set(Going::On);
        assert!(gate.go(async {}).await.is_none(), "the dead stay dead");
    }
}
