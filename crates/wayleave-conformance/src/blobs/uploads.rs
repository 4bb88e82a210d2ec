//! Writing versions.

use wayleave_core::ports::{
    AppendPiece, BeginUpload, Blob, BlobUsage, CommitUpload, Expected, MAX_PIECE, StoreError, Upload,
};

use super::{
    Blobs, PLENTY, append, assert_gone, commit, create, done, find, name, owner, pieces, put, read, stage, upload,
    usage,
};
use crate::bench::Bench;
use crate::fixtures::{BASE, at, person};

pub(super) async fn are_nobodys_until_they_are_committed(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    stage(&blobs, &upload(1), &pieces(1, 1)).await;
    assert_eq!(find(&blobs, "a").await, None);
    assert_eq!(blobs.list(&owner(), None, 10).await.unwrap(), []);
    let outcome = blobs.commit(&upload(1), &name("a"), Expected::Absent, &PLENTY, at(7)).await.unwrap();
    let size = u64::try_from(MAX_PIECE + 1000).unwrap();
    let blob = Blob { name: name("a"), id: upload(1).id, size, pieces: 2, changed_at: at(7) };
    assert_eq!(outcome, CommitUpload::Done(blob.clone()));
    assert_eq!(find(&blobs, "a").await, Some(blob));
}

pub(super) async fn are_read_as_they_were_written(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(MAX_PIECE).collect();
    for (number, written) in [(1, vec![]), (2, vec![vec![0]]), (3, vec![every_byte, vec![0; 5]]), (4, pieces(4, 3))] {
        let blob = done(put(&blobs, number, &format!("b{number}"), Expected::Absent, &written).await);
        assert_eq!(blob.size, u64::try_from(written.concat().len()).unwrap());
        assert_eq!(read(&blobs, &blob).await, Some(written));
    }
}

pub(super) async fn take_pieces_in_their_order_only(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    stage(&blobs, &upload(1), &[b"first".to_vec()]).await;
    for number in [0, 2, 3, u32::MAX] {
        assert_eq!(append(&blobs, &upload(1), number, b"wrong").await, AppendPiece::Missing);
    }
    assert_eq!(append(&blobs, &upload(1), 1, b"second").await, AppendPiece::Done);
    let blob = done(commit(&blobs, &upload(1), "a", Expected::Absent).await);
    assert_eq!(read(&blobs, &blob).await, Some(vec![b"first".to_vec(), b"second".to_vec()]));
}

pub(super) async fn refuse_pieces_of_other_lengths(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    stage(&blobs, &upload(1), &[]).await;
    for length in [0, MAX_PIECE + 1] {
        let outcome = blobs.append(&upload(1), &PLENTY, 0, vec![1; length]).await;
        assert!(matches!(outcome, Err(StoreError::Full)), "{outcome:?}");
    }
    assert_eq!(usage(&blobs).await, BlobUsage { uploads: 1, ..BlobUsage::default() });
    assert_eq!(append(&blobs, &upload(1), 0, &vec![1; MAX_PIECE]).await, AppendPiece::Done);
}

pub(super) async fn belong_to_their_owner(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    stage(&blobs, &upload(1), &[b"mine".to_vec()]).await;
    let foreign = Upload { owner: person(2), ..upload(1) };
    assert_eq!(append(&blobs, &foreign, 1, b"theirs").await, AppendPiece::Missing);
    assert_eq!(commit(&blobs, &foreign, "a", Expected::Absent).await, CommitUpload::Missing);
    assert!(!blobs.abort(&foreign).await.unwrap());
    assert_eq!(blobs.usage(&person(2)).await.unwrap(), BlobUsage::default());
    let blob = done(commit(&blobs, &upload(1), "a", Expected::Absent).await);
    assert_eq!(read(&blobs, &blob).await, Some(vec![b"mine".to_vec()]));
}

pub(super) async fn are_aborted(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    stage(&blobs, &upload(1), &pieces(1, 2)).await;
    assert!(blobs.abort(&upload(1)).await.unwrap());
    assert_gone(&blobs, &upload(1)).await;
    assert_eq!(usage(&blobs).await, BlobUsage::default());
}

pub(super) async fn never_share_an_id(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let held = create(&blobs, 1, "a").await;
    stage(&blobs, &upload(2), &[b"staged".to_vec()]).await;
    for number in [1, 2] {
        for owner in [owner(), person(2)] {
            let again = Upload { owner, ..upload(number) };
            assert_eq!(blobs.begin(&again, &PLENTY, BASE, BASE).await.unwrap(), BeginUpload::Exists);
        }
    }
    assert_eq!(read(&blobs, &held).await, Some(pieces(1, 0)));
    let staged = done(commit(&blobs, &upload(2), "b", Expected::Absent).await);
    assert_eq!(read(&blobs, &staged).await, Some(vec![b"staged".to_vec()]));
}

pub(super) async fn end_with_their_commit(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let held = create(&blobs, 1, "a").await;
    assert_eq!(append(&blobs, &upload(1), 1, b"late").await, AppendPiece::Missing);
    assert_eq!(commit(&blobs, &upload(1), "b", Expected::Absent).await, CommitUpload::Missing);
    assert!(!blobs.abort(&upload(1)).await.unwrap());
    assert_eq!(read(&blobs, &held).await, Some(pieces(1, 0)));
    // One that is refused has ended, too.
    assert_eq!(put(&blobs, 2, "a", Expected::Absent, &pieces(2, 1)).await, CommitUpload::Mismatch);
    assert_gone(&blobs, &upload(2)).await;
}
