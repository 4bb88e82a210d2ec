//! What every [`BlobStore`] must do: versions that are whole or not there, changed by whoever knows the one before, and
//! counted to the byte, races included.

use std::sync::Arc;

use wayleave_core::blob::{BlobId, BlobName};
use wayleave_core::ports::{
    Allowance, AppendPiece, BeginUpload, Blob, BlobStore, BlobUsage, CommitUpload, Expected, MAX_PIECE, Upload,
};
use wayleave_core::subject::Subject;

use crate::bench::{Bench, Case, Fresh, Races, run_all};
use crate::fixtures::{BASE, bytes, person};
use crate::macros::case_table;

mod current;
mod quota;
mod races;
mod removal;
mod uploads;

/// The store under test.
pub type Blobs = Arc<dyn BlobStore>;

#[doc(hidden)]
#[macro_export]
macro_rules! __blobs_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            uploads {
                are_nobodys_until_they_are_committed,
                are_read_as_they_were_written,
                take_pieces_in_their_order_only,
                refuse_pieces_of_other_lengths,
                belong_to_their_owner,
                are_aborted,
                never_share_an_id,
                end_with_their_commit,
            }
            current {
                is_what_was_committed_last,
                changes_as_expected_only,
                is_kept_apart_by_owner_and_name,
                is_listed_in_the_order_of_names,
                is_deleted_as_expected_only,
            }
            quota {
                is_counted_to_the_byte,
                refuses_pieces_and_commits_beyond_it,
                leaves_room_for_a_replacement,
                limits_the_number_of_blobs,
                limits_the_number_of_uploads,
                limits_what_is_kept_of_the_past,
            }
            removal {
                leaves_what_was_replaced_to_its_readers,
                sweeps_uploads_that_nobody_finished,
                goes_in_steps,
                drops_abandoned_uploads_for_a_new_one,
                takes_everything_of_an_owner,
            }
            races {
                one_of_many_replaces_a_version,
                one_of_many_creates_a_name,
                no_crowd_passes_the_quota,
                no_crowd_passes_the_number_of_uploads,
                readers_get_one_version_whole,
                a_commit_or_an_abort,
                a_commit_or_the_end_of_the_owner,
                a_deletion_or_a_replacement,
            }
        }
    };
}

const CASES: &[Case<Blobs>] = crate::__blobs_cases!([case_table]);

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Blobs>] {
    CASES
}

/// Runs every case, its races as often as `races` says, each on a fresh store.
///
/// # Panics
/// When any fails, naming those that failed.
pub async fn suite<M, F, R>(make: M, races: Races)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Blobs>>,
{
    run_all(CASES.iter(), Bench::new(make, races)).await;
}

/// More than any case needs.
const PLENTY: Allowance = Allowance { bytes: 1 << 30, blobs: 1000, uploads: 1000, overlap: 0 };

fn owner() -> Subject {
    person(1)
}

fn name(text: &str) -> BlobName {
    text.parse().unwrap()
}

/// An upload of [`owner`].
fn upload(number: u32) -> Upload {
    Upload { owner: owner(), id: BlobId(bytes("upload", number)) }
}

/// The pieces of a version that no other number has: so many whole ones, and a shorter last one.
fn pieces(number: u32, whole: u32) -> Vec<Vec<u8>> {
    let piece = |at: u32, length| bytes::<64>("piece", number * 1000 + at).into_iter().cycle().take(length).collect();
    (0..whole).map(|at| piece(at, MAX_PIECE)).chain([piece(whole, 1000)]).collect()
}

/// Begins an upload and writes pieces to it.
async fn stage(blobs: &Blobs, upload: &Upload, pieces: &[Vec<u8>]) {
    assert_eq!(blobs.begin(upload, &PLENTY, BASE, BASE).await.unwrap(), BeginUpload::Done);
    for (number, piece) in (0..).zip(pieces) {
        assert_eq!(append(blobs, upload, number, piece).await, AppendPiece::Done);
    }
}

async fn append(blobs: &Blobs, upload: &Upload, number: u32, piece: &[u8]) -> AppendPiece {
    blobs.append(upload, &PLENTY, number, piece.to_vec()).await.unwrap()
}

async fn commit(blobs: &Blobs, upload: &Upload, to: &str, expected: Expected) -> CommitUpload {
    blobs.commit(upload, &name(to), expected, &PLENTY, BASE).await.unwrap()
}

/// Writes a version whole.
async fn put(blobs: &Blobs, number: u32, to: &str, expected: Expected, pieces: &[Vec<u8>]) -> CommitUpload {
    let upload = upload(number);
    stage(blobs, &upload, pieces).await;
    commit(blobs, &upload, to, expected).await
}

/// A new name with a version of one short piece.
async fn create(blobs: &Blobs, number: u32, to: &str) -> Blob {
    done(put(blobs, number, to, Expected::Absent, &pieces(number, 0)).await)
}

fn done(outcome: CommitUpload) -> Blob {
    match outcome {
        CommitUpload::Done(blob) => blob,
        CommitUpload::Mismatch | CommitUpload::OverQuota | CommitUpload::Missing => panic!("{outcome:?}"),
    }
}

async fn find(blobs: &Blobs, under: &str) -> Option<Blob> {
    blobs.find(&owner(), &name(under)).await.unwrap()
}

/// All pieces of a version; none when any is missing.
async fn read(blobs: &Blobs, blob: &Blob) -> Option<Vec<Vec<u8>>> {
    let mut pieces = Vec::new();
    for number in 0..blob.pieces {
        pieces.push(blobs.piece(blob.id, number).await.unwrap()?);
    }
    assert_eq!(blobs.piece(blob.id, blob.pieces).await.unwrap(), None);
    Some(pieces)
}

/// Nothing of an upload is left.
async fn assert_gone(blobs: &Blobs, upload: &Upload) {
    for number in 0..3 {
        assert_eq!(blobs.piece(upload.id, number).await.unwrap(), None);
    }
    assert_eq!(append(blobs, upload, 0, b"late").await, AppendPiece::Missing);
    assert_eq!(commit(blobs, upload, "late", Expected::Absent).await, CommitUpload::Missing);
    assert!(!blobs.abort(upload).await.unwrap());
}

async fn usage(blobs: &Blobs) -> BlobUsage {
    blobs.usage(&owner()).await.unwrap()
}
