//! What is left of transfers whose store fails in the middle.

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use wayleave::SystemEntropy;
use wayleave_core::memory::MemoryBlobs;
use wayleave_core::ports::MAX_PIECE;
use wayleave_testkit::FakeClock;

use super::*;

/// A store in memory that does not answer one kind of question, from the second on.
struct Failing {
    inner: MemoryBlobs,
    fails: &'static str,
    asked: Mutex<u32>,
}

impl Failing {
    fn ask(&self, what: &'static str) -> Result<(), StoreError> {
        if what != self.fails {
            return Ok(());
        }
        let mut asked = self.asked.lock();
        *asked += 1;
        if *asked < 2 { Ok(()) } else { Err(StoreError::Unavailable(None)) }
    }
}

#[async_trait]
impl BlobStore for Failing {
    async fn find(&self, owner: &Subject, name: &BlobName) -> Result<Option<Blob>, StoreError> {
        self.ask("find")?;
        self.inner.find(owner, name).await
    }

    async fn list(&self, owner: &Subject, after: Option<&BlobName>, most: u32) -> Result<Vec<Blob>, StoreError> {
        self.ask("list")?;
        self.inner.list(owner, after, most).await
    }

    async fn usage(&self, owner: &Subject) -> Result<BlobUsage, StoreError> {
        self.ask("usage")?;
        self.inner.usage(owner).await
    }

    async fn piece(&self, id: BlobId, number: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask("piece")?;
        self.inner.piece(id, number).await
    }

    async fn begin(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        now: Timestamp,
        abandoned: Timestamp,
    ) -> Result<BeginUpload, StoreError> {
        self.ask("begin")?;
        self.inner.begin(upload, allowance, now, abandoned).await
    }

    async fn append(
        &self,
        upload: &Upload,
        allowance: &Allowance,
        number: u32,
        piece: Vec<u8>,
    ) -> Result<AppendPiece, StoreError> {
        self.ask("append")?;
        self.inner.append(upload, allowance, number, piece).await
    }

    async fn commit(
        &self,
        upload: &Upload,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<CommitUpload, StoreError> {
        self.ask("commit")?;
        self.inner.commit(upload, name, expected, allowance, now).await
    }

    async fn abort(&self, upload: &Upload) -> Result<bool, StoreError> {
        self.ask("abort")?;
        self.inner.abort(upload).await
    }

    async fn delete(
        &self,
        owner: &Subject,
        name: &BlobName,
        expected: Expected,
        allowance: &Allowance,
        now: Timestamp,
    ) -> Result<DeleteBlob, StoreError> {
        self.ask("delete")?;
        self.inner.delete(owner, name, expected, allowance, now).await
    }

    async fn delete_all(&self, owner: &Subject) -> Result<u32, StoreError> {
        self.inner.delete_all(owner).await
    }

    async fn sweep(&self, due: BlobsDue, most: u32) -> Result<SweptBlobs, StoreError> {
        self.ask("sweep")?;
        self.inner.sweep(due, most).await
    }
}

fn blobs(fails: &'static str) -> (Arc<Failing>, Blobs) {
    let store = Arc::new(Failing { inner: MemoryBlobs::default(), fails, asked: Mutex::new(0) });
    let most_bytes = 16 << 20;
    let blobs = Blobs::new(Parts {
        store: Arc::clone(&store) as _,
        options: BlobOptions {
            most_bytes,
            allowance: Allowance { bytes: 1 << 30, blobs: 10, uploads: 4, overlap: most_bytes },
            transfer_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(10),
        },
        transfers: Transfers::new(4),
        clock: Arc::new(FakeClock::default()),
        entropy: Arc::new(SystemEntropy),
        metrics: Metrics::new(),
    });
    (store, blobs)
}

fn owner() -> Subject {
    "user:somebody".parse().unwrap()
}

/// Writes `name`, which is two pieces.
async fn write(blobs: &Blobs, name: &str) -> Result<Blob, ErrorCode> {
    let mut body = Body::from(vec![7; MAX_PIECE + 1]);
    let upload = blobs.receive(&owner(), &mut body, None).await.map_err(|error| error.code())?;
    let name = name.parse().unwrap();
    blobs.commit(&upload, &name, Expected::Absent).await.map_err(|error| error.code())
}

/// R168: a store that does not answer makes an error, and nothing of what was begun is left or counted.
#[tokio::test]
async fn a_failing_store_leaves_nothing_behind() {
    for fails in ["begin", "append", "commit"] {
        let (store, blobs) = blobs(fails);
        let outcomes = [write(&blobs, "a").await, write(&blobs, "b").await];
        let done = u32::try_from(outcomes.iter().filter(|outcome| outcome.is_ok()).count()).unwrap();
        assert!(done < 2, "{fails}");
        for outcome in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(outcome, ErrorCode::StoreUnavailable, "{fails}");
        }
        let usage = store.inner.usage(&owner()).await.unwrap();
        let bytes = u64::from(done) * u64::try_from(MAX_PIECE + 1).unwrap();
        assert_eq!(usage, BlobUsage { bytes, blobs: done, ..BlobUsage::default() }, "{fails}");
        // Every turn was given back.
        let turns: Vec<_> =
            (0..4).map(|number| blobs.transfers.begin(&format!("user:{number}").parse().unwrap())).collect();
        assert!(turns.iter().all(Result::is_ok), "{fails}");
    }
}

/// R168: an answer whose store fails breaks off; it never looks complete.
#[tokio::test]
async fn an_answer_breaks_off_with_its_store() {
    let (_, blobs) = blobs("piece");
    let blob = write(&blobs, "a").await.unwrap();
    let mut body = blobs.outgoing(&owner(), &blob).unwrap_or_else(|_| panic!("refused"));
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), MAX_PIECE);
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}
