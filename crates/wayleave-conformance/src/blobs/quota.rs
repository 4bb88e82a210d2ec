//! What an owner may have.

use wayleave_core::ports::{
    Allowance, AppendPiece, BeginUpload, BlobUsage, CommitUpload, DeleteBlob, Expected, Upload,
};

use super::{
    Blobs, PLENTY, assert_gone, commit, create, done, find, name, owner, pieces, put, read, stage, upload, usage,
};
use crate::bench::Bench;
use crate::fixtures::{BASE, at, person};

/// The length of the one piece that `create` writes.
const SMALL: u64 = 1000;

pub(super) async fn is_counted_to_the_byte(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    assert_eq!(usage(&blobs).await, BlobUsage::default());
    let first = create(&blobs, 1, "a").await;
    stage(&blobs, &upload(2), &[vec![1; 300], vec![2; 50]]).await;
    let counted = BlobUsage { bytes: SMALL, blobs: 1, staged_bytes: 350, uploads: 1, ..BlobUsage::default() };
    assert_eq!(usage(&blobs).await, counted);
    let _ = done(commit(&blobs, &upload(2), "a", Expected::Exactly(first.id)).await);
    let counted = BlobUsage { bytes: 350, blobs: 1, replaced_bytes: SMALL, replaced: 1, ..BlobUsage::default() };
    assert_eq!(usage(&blobs).await, counted);
    let outcome = blobs.delete(&owner(), &name("a"), Expected::Present, &PLENTY, BASE).await.unwrap();
    assert!(matches!(outcome, DeleteBlob::Done(_)), "{outcome:?}");
    let counted = BlobUsage { replaced_bytes: SMALL + 350, replaced: 2, ..BlobUsage::default() };
    assert_eq!(usage(&blobs).await, counted);
    assert_eq!(blobs.usage(&person(2)).await.unwrap(), BlobUsage::default());
}

pub(super) async fn refuses_pieces_and_commits_beyond_it(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let allowance = Allowance { bytes: 2500, ..PLENTY };
    let _ = create(&blobs, 1, "a").await;
    stage(&blobs, &upload(2), &[vec![2; 1000]]).await;
    // What is staged counts along, whichever upload it is of.
    stage(&blobs, &upload(3), &[]).await;
    let append = async |number, length| blobs.append(&upload(3), &allowance, number, vec![3; length]).await.unwrap();
    assert_eq!(append(0, 501).await, AppendPiece::OverQuota);
    assert_eq!(append(0, 500).await, AppendPiece::Done);
    assert_eq!(append(1, 1).await, AppendPiece::OverQuota);
    let tight = Allowance { bytes: 1999, ..PLENTY };
    let refused = blobs.commit(&upload(2), &name("b"), Expected::Absent, &tight, BASE).await.unwrap();
    assert_eq!(refused, CommitUpload::OverQuota);
    assert_gone(&blobs, &upload(2)).await;
    // And what has ended does not.
    assert_eq!(append(1, 500).await, AppendPiece::Done);
    let exact = Allowance { bytes: 2000, ..PLENTY };
    let _ = done(blobs.commit(&upload(3), &name("b"), Expected::Absent, &exact, BASE).await.unwrap());
    assert_eq!(usage(&blobs).await.bytes, 2000);
}

/// Who has used everything can still replace, and no more than that.
pub(super) async fn leaves_room_for_a_replacement(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let allowance = Allowance { bytes: 1000, overlap: 800, ..PLENTY };
    let full = create(&blobs, 1, "a").await;
    stage(&blobs, &upload(2), &[]).await;
    let append = async |number, length| blobs.append(&upload(2), &allowance, number, vec![2; length]).await.unwrap();
    assert_eq!(append(0, 801).await, AppendPiece::OverQuota);
    assert_eq!(append(0, 800).await, AppendPiece::Done);
    let commit = async |number: u32, under: &str, expected| {
        blobs.commit(&upload(number), &name(under), expected, &allowance, BASE).await.unwrap()
    };
    stage(&blobs, &upload(3), &[vec![3]]).await;
    assert_eq!(commit(3, "b", Expected::Absent).await, CommitUpload::OverQuota);
    let second = done(commit(2, "a", Expected::Exactly(full.id)).await);
    assert_eq!(second.size, 800);
    // A replacement may not pass it either.
    stage(&blobs, &upload(4), &[vec![4; 1001]]).await;
    assert_eq!(commit(4, "a", Expected::Exactly(second.id)).await, CommitUpload::OverQuota);
    assert_eq!(find(&blobs, "a").await, Some(second));
    stage(&blobs, &upload(5), &[vec![5; 200]]).await;
    let _ = done(commit(5, "b", Expected::Absent).await);
}

pub(super) async fn limits_the_number_of_blobs(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let two = Allowance { blobs: 2, ..PLENTY };
    let empty = async |number: u32, under: &str, expected| {
        stage(&blobs, &upload(number), &[]).await;
        blobs.commit(&upload(number), &name(under), expected, &two, BASE).await.unwrap()
    };
    let _ = done(empty(1, "a", Expected::Absent).await);
    let _ = done(empty(2, "b", Expected::Absent).await);
    assert_eq!(empty(3, "c", Expected::Absent).await, CommitUpload::OverQuota);
    let _ = done(empty(4, "b", Expected::Present).await);
    let deleted = blobs.delete(&owner(), &name("a"), Expected::Present, &two, BASE).await.unwrap();
    assert!(matches!(deleted, DeleteBlob::Done(_)), "{deleted:?}");
    let _ = done(empty(5, "c", Expected::Absent).await);
}

pub(super) async fn limits_the_number_of_uploads(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let two = Allowance { uploads: 2, ..PLENTY };
    let begin = async |upload: &Upload| blobs.begin(upload, &two, at(5), BASE).await.unwrap();
    assert_eq!(begin(&upload(1)).await, BeginUpload::Done);
    assert_eq!(begin(&upload(2)).await, BeginUpload::Done);
    assert_eq!(begin(&upload(3)).await, BeginUpload::TooMany);
    assert_eq!(begin(&Upload { owner: person(2), ..upload(4) }).await, BeginUpload::Done);
    assert!(blobs.abort(&upload(1)).await.unwrap());
    assert_eq!(begin(&upload(3)).await, BeginUpload::Done);
    let _ = done(commit(&blobs, &upload(2), "a", Expected::Absent).await);
    assert_eq!(begin(&upload(5)).await, BeginUpload::Done);
    assert_eq!(begin(&upload(6)).await, BeginUpload::TooMany);
}

/// Versions that are replaced over and over take no more room than an owner may have.
pub(super) async fn limits_what_is_kept_of_the_past(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let by_bytes = Allowance { bytes: 2 * SMALL, ..PLENTY };
    let by_number = Allowance { blobs: 2, ..PLENTY };
    for (base, under, allowance) in [(0, "a", by_bytes), (100, "b", by_number)] {
        let mut versions = vec![create(&blobs, base, under).await];
        for number in base + 1..base + 5 {
            stage(&blobs, &upload(number), &pieces(number, 0)).await;
            let outcome = blobs.commit(&upload(number), &name(under), Expected::Present, &allowance, BASE).await;
            versions.push(done(outcome.unwrap()));
        }
        let [gone @ .., third, fourth, current] = &versions[..] else { panic!("{versions:?}") };
        for blob in gone {
            assert_eq!(read(&blobs, blob).await, None);
        }
        for blob in [third, fourth, current] {
            assert!(read(&blobs, blob).await.is_some());
        }
        assert_eq!(usage(&blobs).await.replaced, 2);
        assert_eq!(blobs.delete_all(&owner()).await.unwrap(), 1);
    }
    // A deletion counts as much.
    let one = Allowance { blobs: 1, ..PLENTY };
    let mut versions = Vec::new();
    for number in 200..203 {
        versions.push(done(put(&blobs, number, "c", Expected::Absent, &pieces(number, 0)).await));
        let outcome = blobs.delete(&owner(), &name("c"), Expected::Present, &one, BASE).await.unwrap();
        assert!(matches!(outcome, DeleteBlob::Done(_)), "{outcome:?}");
    }
    assert_eq!(usage(&blobs).await.replaced, 1);
    assert!(read(&blobs, &versions[2]).await.is_some());
    assert_eq!(read(&blobs, &versions[1]).await, None);
}
