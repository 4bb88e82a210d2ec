//! `MemoryBlobs` passes every case, and refuses what would pass its limits.

use std::sync::Arc;

use wayleave_conformance::blobs::{Blobs, suite};
use wayleave_conformance::fixtures::{BASE, bytes, person};
use wayleave_conformance::{Races, blobs_suite};
use wayleave_core::blob::BlobId;
use wayleave_core::memory::{BlobLimits, MemoryBlobs};
use wayleave_core::ports::{Allowance, AppendPiece, BeginUpload, BlobStore as _, StoreError, Upload};

async fn fresh() -> Blobs {
    Arc::new(MemoryBlobs::default())
}

mod conformance {
    use super::{blobs_suite, fresh};

    blobs_suite!(fresh);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blobs_at_length() {
    suite(fresh, Races::DEEP).await;
}

/// Whatever owners may have, together they get no more than the store may take.
#[tokio::test]
async fn all_owners_together_are_bounded() {
    let blobs = MemoryBlobs::new(BlobLimits { bytes: 1000, versions: 2 });
    let allowance = Allowance { bytes: u64::MAX, blobs: 10, uploads: 10, overlap: 0 };
    let [first, second, third] = [1, 2, 3].map(|n| Upload { owner: person(n), id: BlobId(bytes("upload", n)) });
    for upload in [&first, &second] {
        assert_eq!(blobs.begin(upload, &allowance, BASE, BASE).await.unwrap(), BeginUpload::Done);
    }
    let refused = blobs.begin(&third, &allowance, BASE, BASE).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert_eq!(blobs.append(&first, &allowance, 0, vec![1; 600]).await.unwrap(), AppendPiece::Done);
    let refused = blobs.append(&second, &allowance, 0, vec![1; 401]).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert!(blobs.abort(&first).await.unwrap());
    assert_eq!(blobs.append(&second, &allowance, 0, vec![1; 1000]).await.unwrap(), AppendPiece::Done);
    assert_eq!(blobs.begin(&third, &allowance, BASE, BASE).await.unwrap(), BeginUpload::Done);
}
