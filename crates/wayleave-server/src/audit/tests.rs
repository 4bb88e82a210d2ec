//! Tests of the audit log: what the writer writes, and what a verification finds of everything that can be done to it.

mod tampering;
mod writing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
use wayleave_core::ports::{AuditLog, AuditRow, Clock};
use wayleave_testkit::{FailingDirectory, FakeClock};

use super::*;

const KEY: [u8; 32] = [7; 32];
const SEED: [u8; 32] = [8; 32];
const NODE: &str = "server";

/// A store that keeps rows, and a folder for signed heads.
struct Deployment {
    log: Arc<FailingDirectory<MemoryDirectory>>,
    clock: Arc<FakeClock>,
    folder: TempDir,
}

impl Deployment {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::default());
        let limits = DirectoryLimits { audit_rows: 200_000, ..DirectoryLimits::default() };
        let memory = MemoryDirectory::new(limits, Arc::clone(&clock) as Arc<dyn Clock>);
        let log = Arc::new(FailingDirectory::new(Arc::new(memory)));
        Self { log, clock, folder: tempfile::tempdir().unwrap() }
    }

    fn head_file(&self) -> PathBuf {
        self.folder.path().join("heads.jsonl")
    }

    fn heads(&self) -> Heads {
        Heads::new(self.head_file(), &SEED)
    }

    /// A recorder and the writer behind it, which does not run yet.
    async fn prepare(&self, node: &str) -> (Recorder, Writer) {
        let options = WriterOptions { node, head_interval: Duration::from_secs(300) };
        let log = Arc::clone(&self.log) as Arc<dyn AuditLog>;
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Writer::start(log, clock, ChainKey::new(KEY), self.heads(), options).await.unwrap()
    }

    async fn start(&self, node: &str) -> Running {
        let (recorder, writer) = self.prepare(node).await;
        Running::start(recorder, writer)
    }

    /// Writes `count` rows as `node` in a process of its own, which signs the head at its end.
    async fn write(&self, node: &str, count: usize) {
        let running = self.start(node).await;
        for index in 0..count {
            running.recorder.record(self.clock.now(), entry(index));
            self.clock.advance(Duration::from_millis(1));
        }
        running.stop().await;
    }

    async fn rows(&self, node: &str) -> Vec<AuditRow> {
        let mut rows = Vec::new();
        loop {
            let from = u64::try_from(rows.len()).unwrap() + 1;
            let step = AuditLog::chain(&*self.log, node, from, 1000).await.unwrap();
            if step.is_empty() {
                return rows;
            }
            rows.extend(step);
        }
    }

    async fn verify(&self) -> Verification {
        let heads = self.heads().read().unwrap();
        verify(&*self.log, &ChainKey::new(KEY), &heads, |_| {}).await.unwrap()
    }

    async fn assert_whole(&self) {
        assert_eq!(self.verify().await.findings, []);
    }
}

/// A writer at work.
struct Running {
    recorder: Recorder,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(recorder: Recorder, writer: Writer) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(writer.run(stop.clone()));
        Self { recorder, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A row with something in every field.
fn entry(index: usize) -> Entry {
    Entry {
        event: "session.created",
        session: Some(format!("{index:016x}").into()),
        subject: Some(format!("user:{index}").into()),
        actor: Some("service:shop".into()),
        source: Some("192.0.2.0/24".into()),
        reason: Some("owner"),
        request: Some(format!("req_{index}").into()),
        detail: Some(serde_json::json!({ "index": index })),
    }
}
