//! Races for names, quotas and versions.

use std::sync::Arc;

use wayleave_core::ports::{Allowance, AppendPiece, BeginUpload, BlobsDue, CommitUpload, DeleteBlob, Expected, Upload};
use wayleave_core::time::Timestamp;

use super::{
    Blobs, PLENTY, assert_gone, commit, create, done, find, name, owner, pieces, put, read, stage, upload, usage,
};
use crate::bench::Bench;
use crate::fixtures::{BASE, at};
use crate::together::{both, together};

const CONTENDERS: u32 = 20;

pub(super) async fn one_of_many_replaces_a_version(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    for round in bench.rounds() {
        let seen = create(&blobs, round * 100, &format!("r{round}")).await;
        one_of_many(&blobs, round, Expected::Exactly(seen.id)).await;
    }
}

pub(super) async fn one_of_many_creates_a_name(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    for round in bench.rounds() {
        one_of_many(&blobs, round, Expected::Absent).await;
    }
}

/// No write is lost: of all who have seen one version, or none, one writes the next.
async fn one_of_many(blobs: &Blobs, round: u32, expected: Expected) {
    let (base, under) = (round * 100, format!("r{round}"));
    for number in 1..=CONTENDERS {
        stage(blobs, &upload(base + number), &pieces(base + number, 0)).await;
    }
    let outcomes = together((1..=CONTENDERS).map(|number| {
        let (blobs, under) = (Arc::clone(blobs), under.clone());
        async move { (number, commit(&blobs, &upload(base + number), &under, expected).await) }
    }))
    .await;
    let current = find(blobs, &under).await.unwrap();
    let mut winners = 0;
    for (number, outcome) in outcomes {
        match outcome {
            CommitUpload::Done(blob) => {
                winners += 1;
                assert_eq!(blob, current);
                assert_eq!(read(blobs, &blob).await, Some(pieces(base + number, 0)));
            }
            CommitUpload::Mismatch => assert_gone(blobs, &upload(base + number)).await,
            CommitUpload::OverQuota | CommitUpload::Missing => panic!("{outcome:?}"),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(usage(blobs).await.uploads, 0);
}

pub(super) async fn no_crowd_passes_the_quota(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    for round in bench.rounds() {
        let base = round * 100;
        // Pieces: of twenty that write 1000 bytes each, seven find room. Commits: five of those.
        let staging = Allowance { bytes: 7500, ..PLENTY };
        let committing = Allowance { bytes: 5500, ..PLENTY };
        for number in 0..CONTENDERS {
            stage(&blobs, &upload(base + number), &[]).await;
        }
        let outcomes = together((0..CONTENDERS).map(|number| {
            let blobs = Arc::clone(&blobs);
            async move {
                let upload = upload(base + number);
                let outcome = blobs.append(&upload, &staging, 0, vec![1; 1000]).await.unwrap();
                (upload, outcome)
            }
        }))
        .await;
        let (kept, refused): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(_, outcome)| *outcome == AppendPiece::Done);
        assert!(refused.iter().all(|(_, outcome)| *outcome == AppendPiece::OverQuota));
        assert_eq!((kept.len(), usage(&blobs).await.staged_bytes), (7, 7000));
        let outcomes = together((0..).zip(kept).map(|(number, (upload, _)): (u32, _)| {
            let blobs = Arc::clone(&blobs);
            async move {
                let name = name(&format!("n{number}"));
                blobs.commit(&upload, &name, Expected::Absent, &committing, BASE).await.unwrap()
            }
        }))
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, CommitUpload::Done(_))).count(), 5);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == CommitUpload::OverQuota).count(), 2);
        let counted = usage(&blobs).await;
        assert_eq!((counted.bytes, counted.blobs, counted.staged_bytes), (5000, 5, 0));
        assert_eq!(blobs.delete_all(&owner()).await.unwrap(), 5);
    }
}

pub(super) async fn no_crowd_passes_the_number_of_uploads(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    let four = Allowance { uploads: 4, ..PLENTY };
    for round in bench.rounds() {
        let outcomes = together((0..CONTENDERS).map(|number| {
            let blobs = Arc::clone(&blobs);
            async move { blobs.begin(&upload(round * 100 + number), &four, BASE, Timestamp::MIN).await.unwrap() }
        }))
        .await;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == BeginUpload::Done).count(), 4);
        assert_eq!(usage(&blobs).await.uploads, 4);
        assert_eq!(blobs.delete_all(&owner()).await.unwrap(), 0);
    }
}

/// Whatever is written and swept meanwhile, what a reader gets is one version from its first piece to its last, or it
/// is told that the version is gone; never a mixture.
pub(super) async fn readers_get_one_version_whole(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    for round in bench.rounds() {
        let (base, under) = (round * 100, format!("r{round}"));
        let _ = done(put(&blobs, base, &under, Expected::Absent, &pieces(base, 2)).await);
        let (reader, writer) = (Arc::clone(&blobs), Arc::clone(&blobs));
        let (read_under, write_under) = (under.clone(), under.clone());
        let (_, ()) = both(
            round,
            async move {
                for _ in 0..8 {
                    let blob = find(&reader, &read_under).await.expect("always one version");
                    let number = (base..base + 5).find(|number| upload(*number).id == blob.id).unwrap();
                    assert_eq!(read(&reader, &blob).await, Some(pieces(number, 2)));
                }
            },
            async move {
                for number in base + 1..base + 5 {
                    stage(&writer, &upload(number), &pieces(number, 2)).await;
                    let now = at(number.into());
                    let (upload, under) = (upload(number), name(&write_under));
                    let outcome = writer.commit(&upload, &under, Expected::Present, &PLENTY, now).await;
                    let _ = done(outcome.unwrap());
                    // None of them is due yet.
                    let due = BlobsDue { replaced_before: at(base.into()), begun_before: BASE };
                    assert_eq!(writer.sweep(due, 1).await.unwrap().uploads, 0);
                }
            },
        )
        .await;
    }
}

/// Never both, never neither.
pub(super) async fn a_commit_or_an_abort(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    for round in bench.rounds() {
        let under = format!("r{round}");
        stage(&blobs, &upload(round), &pieces(round, 1)).await;
        let (one, other, to) = (Arc::clone(&blobs), Arc::clone(&blobs), under.clone());
        let (outcome, aborted) =
            both(round, async move { commit(&one, &upload(round), &to, Expected::Absent).await }, async move {
                other.abort(&upload(round)).await.unwrap()
            })
            .await;
        match outcome {
            CommitUpload::Done(blob) => {
                assert!(!aborted);
                assert_eq!(read(&blobs, &blob).await, Some(pieces(round, 1)));
            }
            CommitUpload::Missing => {
                assert!(aborted);
                assert_eq!(find(&blobs, &under).await, None);
                assert_gone(&blobs, &upload(round)).await;
            }
            CommitUpload::Mismatch | CommitUpload::OverQuota => panic!("{outcome:?}"),
        }
    }
}

/// Whoever was first, nothing of the owner is left.
pub(super) async fn a_commit_or_the_end_of_the_owner(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    for round in bench.rounds() {
        stage(&blobs, &upload(round), &pieces(round, 1)).await;
        let (one, other) = (Arc::clone(&blobs), Arc::clone(&blobs));
        let (outcome, ended) =
            both(round, async move { commit(&one, &upload(round), "a", Expected::Absent).await }, async move {
                other.delete_all(&owner()).await.unwrap()
            })
            .await;
        assert_eq!(matches!(outcome, CommitUpload::Done(_)), ended == 1, "{outcome:?}");
        assert_gone(&blobs, &upload(round)).await;
        assert_eq!(usage(&blobs).await, wayleave_core::ports::BlobUsage::default());
    }
}

/// Of two who have seen the same version, one changes it.
pub(super) async fn a_deletion_or_a_replacement(bench: Bench<Blobs>) {
    let blobs = bench.fresh().await;
    for round in bench.rounds() {
        let (base, under) = (round * 100, format!("r{round}"));
        let seen = Expected::Exactly(create(&blobs, base, &under).await.id);
        let next: Upload = upload(base + 1);
        stage(&blobs, &next, &pieces(base + 1, 0)).await;
        let (one, other) = (Arc::clone(&blobs), Arc::clone(&blobs));
        let (to, from) = (under.clone(), name(&under));
        let (committed, deleted) = both(round, async move { commit(&one, &next, &to, seen).await }, async move {
            other.delete(&owner(), &from, seen, &PLENTY, BASE).await.unwrap()
        })
        .await;
        let committed = matches!(committed, CommitUpload::Done(_));
        assert_eq!(committed, deleted == DeleteBlob::Mismatch);
        assert_eq!(find(&blobs, &under).await.is_some(), committed);
    }
}
