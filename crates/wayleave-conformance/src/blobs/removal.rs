//! What becomes of versions that are no longer current.

use wayleave_core::ports::{Allowance, BeginUpload, BlobUsage, BlobsDue, DeleteBlob, Expected, SweptBlobs, Upload};
use wayleave_core::time::Timestamp;

use super::{Blobs, PLENTY, assert_gone, commit, create, done, find, name, owner, pieces, read, stage, upload, usage};
use crate::bench::Bench;
use crate::fixtures::{BASE, at, person};

const NOTHING: BlobsDue = BlobsDue { replaced_before: Timestamp::MIN, begun_before: Timestamp::MIN };

async fn replace(blobs: &Blobs, number: u32, under: &str, now: Timestamp) {
    stage(blobs, &upload(number), &pieces(number, 0)).await;
    let _ = done(blobs.commit(&upload(number), &name(under), Expected::Present, &PLENTY, now).await.unwrap());
}

pub(super) async fn leaves_what_was_replaced_to_its_readers(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let [replaced, deleted] = [create(&blobs, 1, "a").await, create(&blobs, 2, "b").await];
    replace(&blobs, 3, "a", at(10)).await;
    let outcome = blobs.delete(&owner(), &name("b"), Expected::Present, &PLENTY, at(20)).await.unwrap();
    assert!(matches!(outcome, DeleteBlob::Done(_)), "{outcome:?}");
    for (before, removed) in [(at(10), 0), (at(11), 1), (at(20), 0), (at(21), 1), (at(99), 0)] {
        let swept = blobs.sweep(BlobsDue { replaced_before: before, ..NOTHING }, 10).await.unwrap();
        assert_eq!(swept, SweptBlobs { replaced: removed, uploads: 0, more: false }, "{before:?}");
        assert_eq!(read(&blobs, &replaced).await, (before < at(11)).then(|| pieces(1, 0)));
        assert_eq!(read(&blobs, &deleted).await, (before < at(21)).then(|| pieces(2, 0)));
    }
    let current = find(&blobs, "a").await.unwrap();
    assert_eq!(read(&blobs, &current).await, Some(pieces(3, 0)));
    assert_eq!(usage(&blobs).await, BlobUsage { bytes: current.size, blobs: 1, ..BlobUsage::default() });
}

pub(super) async fn sweeps_uploads_that_nobody_finished(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let kept = create(&blobs, 1, "a").await;
    for (number, begun) in [(2, at(10)), (3, at(20))] {
        assert_eq!(blobs.begin(&upload(number), &PLENTY, begun, BASE).await.unwrap(), BeginUpload::Done);
        let _ = blobs.append(&upload(number), &PLENTY, 0, vec![1; 10]).await.unwrap();
    }
    let swept = blobs.sweep(BlobsDue { begun_before: at(20), ..NOTHING }, 10).await.unwrap();
    assert_eq!(swept, SweptBlobs { replaced: 0, uploads: 1, more: false });
    assert_gone(&blobs, &upload(2)).await;
    let counted = BlobUsage { bytes: kept.size, blobs: 1, staged_bytes: 10, uploads: 1, ..BlobUsage::default() };
    assert_eq!(usage(&blobs).await, counted);
    let _ = done(commit(&blobs, &upload(3), "b", Expected::Absent).await);
}

pub(super) async fn goes_in_steps(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let _ = create(&blobs, 1, "a").await;
    for number in 2..7 {
        replace(&blobs, number, "a", BASE).await;
        stage(&blobs, &upload(100 + number), &[]).await;
    }
    let due = BlobsDue { replaced_before: at(1), begun_before: at(1) };
    for (removed, more) in [(2, true), (2, true), (1, false), (0, false)] {
        let swept = blobs.sweep(due, 2).await.unwrap();
        assert_eq!(swept, SweptBlobs { replaced: removed, uploads: removed, more });
    }
}

/// A crash leaves uploads that nobody will finish; they do not keep their owner from beginning others for long.
pub(super) async fn drops_abandoned_uploads_for_a_new_one(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let two = Allowance { uploads: 2, ..PLENTY };
    let begin = async |upload: &Upload, now, abandoned| blobs.begin(upload, &two, now, abandoned).await.unwrap();
    for (number, begun) in [(1, at(10)), (2, at(20))] {
        assert_eq!(begin(&upload(number), begun, BASE).await, BeginUpload::Done);
        let _ = blobs.append(&upload(number), &two, 0, vec![1; 10]).await.unwrap();
    }
    let foreign = Upload { owner: person(2), ..upload(3) };
    assert_eq!(begin(&foreign, at(10), BASE).await, BeginUpload::Done);
    assert_eq!(begin(&upload(4), at(30), at(10)).await, BeginUpload::TooMany);
    assert_eq!(begin(&upload(4), at(30), at(11)).await, BeginUpload::Done);
    assert_gone(&blobs, &upload(1)).await;
    assert_eq!(usage(&blobs).await, BlobUsage { staged_bytes: 10, uploads: 2, ..BlobUsage::default() });
    // Of others nothing is dropped.
    assert!(blobs.abort(&foreign).await.unwrap());
}

pub(super) async fn takes_everything_of_an_owner(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    assert_eq!(blobs.delete_all(&owner()).await.unwrap(), 0);
    let first = create(&blobs, 1, "a").await;
    let second = create(&blobs, 2, "b").await;
    replace(&blobs, 3, "a", BASE).await;
    stage(&blobs, &upload(4), &pieces(4, 1)).await;
    let theirs = Upload { owner: person(2), ..upload(5) };
    stage(&blobs, &theirs, &pieces(5, 0)).await;
    let theirs = done(commit(&blobs, &theirs, "a", Expected::Absent).await);
    assert_eq!(blobs.delete_all(&owner()).await.unwrap(), 2);
    for blob in [&first, &second] {
        assert_eq!(read(&blobs, blob).await, None);
    }
    assert_gone(&blobs, &upload(3)).await;
    assert_gone(&blobs, &upload(4)).await;
    assert_eq!(usage(&blobs).await, BlobUsage::default());
    assert_eq!(blobs.list(&owner(), None, 10).await.unwrap(), []);
    assert_eq!(read(&blobs, &theirs).await, Some(pieces(5, 0)));
}
