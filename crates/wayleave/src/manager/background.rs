//! What goes on besides requests: writing activity down, and sweeping.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wayleave_core::id::Slot;
use wayleave_core::ports::{StoreError, Swept};

use super::SessionManager;

/// How often, and how much at once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Background {
    /// Between two writes of activity.
    pub flush_every: Duration,
    /// Touches in one write.
    pub flush_batch: usize,
    /// Between two sweeps.
    pub sweep_every: Duration,
    /// Records in one step of a sweep.
    pub sweep_batch: u32,
    /// Between two looks for pairs whose refresh window has closed.
    pub erase_every: Duration,
    /// How long an ended session stays on record, so that its client can be told that it expired.
    pub keep_ended: Duration,
}

impl Default for Background {
    /// Activity every 2 s in batches of 1,000; sweeps every minute in steps of 1,000; pairs erased every 20 s; ended
    /// sessions kept for a day.
    fn default() -> Self {
        Self {
            flush_every: Duration::from_secs(2),
            flush_batch: 1000,
            sweep_every: Duration::from_secs(60),
            sweep_batch: 1000,
            erase_every: Duration::from_secs(20),
            keep_ended: Duration::from_secs(86_400),
        }
    }
}

/// Between two looks for changes whose outcome was unknown and is not any more.
const DOUBT_EVERY: Duration = Duration::from_secs(1);
/// Batches of activity that may fail before the rest has to wait.
const MOST_FAILURES: usize = 4;

/// Between two rounds of anything, at least.
const SHORTEST: Duration = Duration::from_millis(1);

impl SessionManager {
    /// Writes activity, erases pairs and sweeps until `stop`; then writes what is left. None of them waits for another: a
    /// sweep may be long. Among other nodes, also speaks and listens to them: until this runs, and after it has stopped,
    /// nothing can be changed then.
    pub async fn run_background(self: Arc<Self>, background: Background, stop: CancellationToken) {
        let left = CancellationToken::new();
        tokio::join!(self.run_cluster(left.clone()), async {
            self.keep_up(background, stop).await;
            left.cancel();
        });
    }

    /// Only speaks and listens to the other nodes, until `stop`: for a process that does not stay. Without other nodes
    /// there is nothing to do.
    pub async fn run_cluster(&self, stop: CancellationToken) {
        if let Some(cluster) = &self.state.cluster {
            cluster.run(|stale| self.forget(stale), stop).await;
        }
    }

    async fn keep_up(&self, background: Background, stop: CancellationToken) {
        let Background { flush_every, flush_batch, sweep_every, sweep_batch, erase_every, keep_ended } = background;
        let (this, stop) = (self, &stop);
        tokio::join!(
            repeat(flush_every, stop, move || async move {
                report("writing activity down", this.flush(flush_batch).await.map(drop));
            }),
            repeat(DOUBT_EVERY, stop, move || async move { this.state.doubt_again() }),
            repeat(erase_every, stop, move || async move {
                report("erasing spent pairs", this.erase_pairs(sweep_batch).await.map(drop));
            }),
            repeat(sweep_every, stop, move || async move {
                // A long sweep does not hold up the end: what it leaves, the next one removes.
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    swept = this.sweep(keep_ended, sweep_batch) => report("sweeping", swept.map(drop)),
                }
            }),
        );
        report("writing activity down", self.flush(flush_batch).await.map(drop));
    }

    /// Writes waiting activity down, in batches, until none waits that waited at the start. A batch that fails does not
    /// hold up the others: a part of a store may be away. After a few of them the rest is left to the next time, which
    /// begins there.
    ///
    /// # Errors
    /// The first [`StoreError`]; what was not written still waits.
    pub async fn flush(&self, batch: usize) -> Result<usize, StoreError> {
        let pending = &self.state.pending;
        let (mut written, mut failures) = (0, Vec::new());
        let mut from = pending.resume();
        let (waiting, mut seen) = (pending.len(), 0);
        while seen < waiting && failures.len() < MOST_FAILURES {
            let touches = pending.batch(from, batch.max(1));
            let Some(last) = touches.last().map(|touch| touch.slot) else {
                if from == Slot(0) {
                    break;
                }
                from = Slot(0);
                continue;
            };
            seen += touches.len();
            match self.state.store.touch(&touches).await {
                Ok(_) => {
                    pending.written(&touches);
                    written += touches.len();
                    from = last;
                }
                Err(error) => {
                    failures.push(error);
                    from = Slot(last.0.wrapping_add(1));
                }
            }
        }
        pending.resume_at(from);
        match failures.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(written),
        }
    }

    /// Erases the sealed pairs whose refresh window has closed, in steps of `batch` that let others in between; how many.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot.
    pub async fn erase_pairs(&self, batch: u32) -> Result<u64, StoreError> {
        let before = self.clock.now().minus(self.rules().window());
        let mut erased = 0;
        loop {
            let step = self.state.store.erase_pairs(before, batch.max(1)).await?;
            erased += u64::from(step);
            if step < batch.max(1) {
                return Ok(erased);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Removes what ended more than `keep_ended` ago, in steps of `batch` that let others in between.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot.
    pub async fn sweep(&self, keep_ended: Duration, batch: u32) -> Result<Swept, StoreError> {
        let mut all = Swept::default();
        loop {
            let step = self.sweep_step(keep_ended, batch).await?;
            all.records = all.records.saturating_add(step.records);
            all.tickets = all.tickets.saturating_add(step.tickets);
            if !step.more {
                return Ok(all);
            }
            tokio::task::yield_now().await;
        }
    }

    /// One step of a sweep, for callers that show progress.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot.
    pub async fn sweep_step(&self, keep_ended: Duration, batch: u32) -> Result<Swept, StoreError> {
        self.state.store.sweep(self.clock.now().minus(keep_ended), batch.max(1)).await
    }
}

/// Does `work` at once and then every so often, until `stop`.
async fn repeat<F: Future<Output = ()>>(every: Duration, stop: &CancellationToken, work: impl Fn() -> F) {
    // An interval of no length would be a panic.
    let mut ticks = tokio::time::interval(every.max(SHORTEST));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => work().await,
        }
    }
}

fn report(doing: &str, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{doing} failed; it will be tried again");
    }
}
