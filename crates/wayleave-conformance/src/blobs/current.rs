//! The current version under a name.

use wayleave_core::blob::BlobId;
use wayleave_core::ports::{Blob, CommitUpload, DeleteBlob, Expected, Upload};

use super::{Blobs, PLENTY, assert_gone, commit, create, done, find, name, owner, pieces, put, read, stage, upload};
use crate::bench::Bench;
use crate::fixtures::{BASE, bytes, person};

pub(super) async fn is_what_was_committed_last(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let mut held = create(&blobs, 1, "a").await;
    for number in 2..5 {
        let next = done(put(&blobs, number, "a", Expected::Exactly(held.id), &pieces(number, 1)).await);
        assert_ne!(next.id, held.id);
        assert_eq!(find(&blobs, "a").await.as_ref(), Some(&next));
        assert_eq!(read(&blobs, &next).await, Some(pieces(number, 1)));
        held = next;
    }
}

pub(super) async fn changes_as_expected_only(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let other = BlobId(bytes("other", 1));
    for (number, expected) in [(1, Expected::Present), (2, Expected::Exactly(other))] {
        assert_eq!(put(&blobs, number, "a", expected, &pieces(number, 0)).await, CommitUpload::Mismatch);
        assert_gone(&blobs, &upload(number)).await;
        assert_eq!(find(&blobs, "a").await, None);
    }
    let first = create(&blobs, 3, "a").await;
    for (number, expected) in [(4, Expected::Absent), (5, Expected::Exactly(other))] {
        assert_eq!(put(&blobs, number, "a", expected, &pieces(number, 0)).await, CommitUpload::Mismatch);
        assert_gone(&blobs, &upload(number)).await;
        assert_eq!(find(&blobs, "a").await.as_ref(), Some(&first));
    }
    let second = done(put(&blobs, 6, "a", Expected::Present, &pieces(6, 0)).await);
    // The version before it no longer counts.
    assert_eq!(put(&blobs, 7, "a", Expected::Exactly(first.id), &pieces(7, 0)).await, CommitUpload::Mismatch);
    let _ = done(put(&blobs, 8, "a", Expected::Exactly(second.id), &pieces(8, 0)).await);
}

pub(super) async fn is_kept_apart_by_owner_and_name(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let mine = create(&blobs, 1, "a").await;
    let upper = create(&blobs, 2, "A").await;
    let theirs = Upload { owner: person(2), ..upload(3) };
    stage(&blobs, &theirs, &pieces(3, 0)).await;
    let theirs = done(commit(&blobs, &theirs, "a", Expected::Absent).await);
    assert_eq!(find(&blobs, "a").await, Some(mine));
    assert_eq!(find(&blobs, "A").await, Some(upper));
    assert_eq!(blobs.find(&person(2), &name("a")).await.unwrap().as_ref(), Some(&theirs));
    assert_eq!(blobs.list(&person(2), None, 10).await.unwrap(), [theirs]);
    assert_eq!(blobs.find(&person(3), &name("a")).await.unwrap(), None);
}

pub(super) async fn is_listed_in_the_order_of_names(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let mut made: Vec<Blob> = Vec::new();
    for (number, under) in (1..).zip(["b", "a", "B", "a.b", "a-b", "a_b", "Z", "0", "ab", "_"]) {
        made.push(create(&blobs, number, under).await);
    }
    // By bytes, whatever the language of the database.
    made.sort_by(|one, other| one.name.as_str().as_bytes().cmp(other.name.as_str().as_bytes()));
    assert_eq!(blobs.list(&owner(), None, 1000).await.unwrap(), made);
    let mut paged = Vec::new();
    loop {
        let page = blobs.list(&owner(), paged.last().map(|blob: &Blob| &blob.name), 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, made);
    // Also from a name that is not there.
    assert_eq!(blobs.list(&owner(), Some(&name("a0")), 2).await.unwrap(), made[made.len() - 3..][..2]);
    assert_eq!(blobs.list(&owner(), Some(&name("zz")), 2).await.unwrap(), []);
}

pub(super) async fn is_deleted_as_expected_only(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let delete = async |expected| blobs.delete(&owner(), &name("a"), expected, &PLENTY, BASE).await.unwrap();
    let other = Expected::Exactly(BlobId(bytes("other", 1)));
    for expected in [Expected::Present, other] {
        assert_eq!(delete(expected).await, DeleteBlob::Mismatch);
    }
    let first = create(&blobs, 1, "a").await;
    let neighbour = create(&blobs, 2, "b").await;
    for expected in [Expected::Absent, other] {
        assert_eq!(delete(expected).await, DeleteBlob::Mismatch);
        assert_eq!(find(&blobs, "a").await.as_ref(), Some(&first));
    }
    assert_eq!(delete(Expected::Exactly(first.id)).await, DeleteBlob::Done(first.clone()));
    assert_eq!(find(&blobs, "a").await, None);
    assert_eq!(delete(Expected::Exactly(first.id)).await, DeleteBlob::Mismatch);
    let second = create(&blobs, 3, "a").await;
    assert_eq!(delete(Expected::Present).await, DeleteBlob::Done(second));
    assert_eq!(blobs.list(&owner(), None, 10).await.unwrap(), [neighbour]);
}
