//! The task that gives entries their place in the chain and puts them into the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use wayleave_core::ports::{AuditLog, AuditRow, ChainLink, Clock, MAX_AUDIT_DETAIL, StoreError};
use wayleave_core::time::Timestamp;

use super::chain::{ChainKey, GENESIS};
use super::heads::Heads;
use super::{Entry, Message, Recorder, is_aggregated};

/// Rows in one write.
const BATCH: usize = 512;
/// Rows that wait for a store that does not answer; more are counted as dropped.
const BACKLOG: usize = 65_536;
/// How often aggregated counts are written.
const PERIOD: Duration = Duration::from_secs(60);
/// Different sources that are counted apart within a period.
const SOURCES: usize = 4096;
/// How long to wait before a failed write is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// How a chain is written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct WriterOptions<'a> {
    /// Whose chain.
    pub node: &'a str,
    /// How often its head is signed, if there are new rows. It is signed at the end in any case.
    pub head_interval: Duration,
}

/// What is counted together: event, source and reason.
type Counted = (&'static str, Option<Box<str>>, Option<&'static str>);

/// Writes one node's chain.
pub struct Writer {
    log: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    key: ChainKey,
    heads: Heads,
    node: Box<str>,
    head_interval: Duration,
    last: ChainLink,
    signed: u64,
    waiting: Vec<AuditRow>,
    counted: HashMap<Counted, u32>,
    queue: mpsc::Receiver<Message>,
    recorder: Recorder,
    reported_dropped: u64,
}

impl Writer {
    /// Picks up a node's chain where it ends.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say where that is.
    pub async fn start(
        log: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
        key: ChainKey,
        heads: Heads,
        options: WriterOptions<'_>,
    ) -> Result<(Recorder, Self), StoreError> {
        let WriterOptions { node, head_interval } = options;
        let last = log.head(node).await?.unwrap_or(ChainLink { sequence: 0, mac: GENESIS });
        let (recorder, queue) = Recorder::channel();
        let writer = Self {
            log,
            clock,
            key,
            heads,
            node: node.into(),
            head_interval,
            signed: 0,
            last,
            waiting: Vec::new(),
            counted: HashMap::new(),
            queue,
            recorder: recorder.clone(),
            reported_dropped: 0,
        };
        Ok((recorder, writer))
    }

    /// Writes until `stop`, then what is left, and signs the head.
    pub async fn run(mut self, stop: tokio_util::sync::CancellationToken) {
        let mut period = every(PERIOD);
        let mut head = every(self.head_interval);
        let mut retry = every(RETRY);
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                // The queue comes last: a flood that keeps it full holds up nothing else. What is in it when `stop`
                // comes is taken below.
                biased;
                () = stop.cancelled() => break,
                _ = period.tick() => self.close_period().await,
                _ = head.tick() => self.sign(),
                _ = retry.tick(), if !self.waiting.is_empty() => self.write().await,
                received = self.queue.recv_many(&mut messages, BATCH) => {
                    if received == 0 {
                        break;
                    }
                    self.take(&mut messages).await;
                }
            }
        }
        self.queue.close();
        while self.queue.recv_many(&mut messages, BATCH).await > 0 {
            self.take(&mut messages).await;
        }
        self.close_period().await;
        self.sign();
    }

    async fn take(&mut self, messages: &mut Vec<Message>) {
        let mut flushes = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Entry(at, entry) => self.add(at, *entry),
                Message::Flush(done) => flushes.push(done),
            }
        }
        self.write().await;
        for done in flushes {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }

    fn add(&mut self, at: Timestamp, entry: Entry) {
        if is_aggregated(entry.event) {
            let key = (entry.event, entry.source.clone(), entry.reason);
            if let Some(count) = self.counted.get_mut(&key) {
                *count = count.saturating_add(1);
                return;
            }
            if self.counted.len() < SOURCES {
                self.counted.insert(key, 0);
            } else {
                // Past the bound all sources share one counter.
                let count = self.counted.entry((entry.event, None, entry.reason)).or_insert(0);
                *count = count.saturating_add(1);
                return;
            }
        }
        self.push(at, entry, 1);
    }

    fn push(&mut self, at: Timestamp, entry: Entry, count: u32) {
        if self.waiting.len() >= BACKLOG {
            self.recorder.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Entry { event, session, subject, actor, source, reason, request, detail } = entry;
        let detail = detail.map(|detail| detail.to_string()).filter(|detail| detail.len() <= MAX_AUDIT_DETAIL);
        let mut row = AuditRow {
            node: self.node.clone(),
            link: ChainLink { sequence: self.last.sequence + 1, mac: GENESIS },
            at,
            event: event.into(),
            session,
            subject,
            actor,
            source,
            reason: reason.map(Into::into),
            request,
            count,
            detail: detail.map(Into::into),
        };
        row.link.mac = self.key.mac(&self.last.mac, &row);
        self.last = row.link;
        self.waiting.push(row);
    }

    async fn write(&mut self) {
        while !self.waiting.is_empty() {
            let batch = self.waiting.get(..self.waiting.len().min(BATCH)).unwrap_or_default();
            let written = batch.len();
            match self.log.append(batch).await {
                Ok(()) => {
                    self.waiting.drain(..written);
                }
                Err(error) => {
                    // The write may have happened although its answer was lost; what is in is not written again.
                    if let Ok(Some(head)) = self.log.head(&self.node).await
                        && let Some(index) = self.waiting.iter().position(|row| row.link == head)
                    {
                        self.waiting.drain(..=index);
                        continue;
                    }
                    self.recorder.stuck.store(true, Ordering::Relaxed);
                    let (error, waiting) = (&error as &dyn std::error::Error, self.waiting.len());
                    tracing::error!(error, waiting, node = &*self.node, "the audit log cannot be written");
                    return;
                }
            }
        }
        self.recorder.stuck.store(false, Ordering::Relaxed);
    }

    /// Writes down what was counted.
    async fn close_period(&mut self) {
        let now = self.clock.now();
        for ((event, source, reason), count) in std::mem::take(&mut self.counted) {
            if count > 0 {
                self.push(now, Entry { event, source, reason, ..Entry::default() }, count);
            }
        }
        let dropped = self.recorder.dropped();
        if dropped > self.reported_dropped {
            let count = u32::try_from(dropped - self.reported_dropped).unwrap_or(u32::MAX);
            self.reported_dropped = dropped;
            self.push(now, Entry { event: "audit.dropped", ..Entry::default() }, count);
        }
        self.write().await;
    }

    /// Signs the end of the chain. A head promises that its row is in the store, so nothing is signed while rows wait.
    fn sign(&mut self) {
        if !self.waiting.is_empty() || self.last.sequence <= self.signed {
            return;
        }
        match self.heads.export(&self.node, self.last, self.clock.now()) {
            Ok(()) => self.signed = self.last.sequence,
            Err(error) => tracing::error!(%error, "the head of the audit log cannot be signed"),
        }
        if let Err(error) = self.heads.trim() {
            tracing::error!(%error, "the signed heads of the audit log cannot be trimmed");
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}
