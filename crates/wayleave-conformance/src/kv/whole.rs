//! What interfaces that know whole records alone must do over our stores: those of other session libraries, which load
//! a session, change it in memory and save all of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use wayleave_core::time::Timestamp;

use crate::bench::{Bench, Case, Fresh, Races, run_all};
use crate::macros::case_table;

mod creation;
mod ending;
mod parallel;
mod replacing;

/// All that such an interface can say about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its values. The suites use texts alone.
    pub values: BTreeMap<String, String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// An interface under test: a few lines that call the foreign one.
#[async_trait]
pub trait WholeRecord: Send + Sync {
    /// Makes a new session under `id`, or under another id if the interface chooses them, and says which. Interfaces
    /// without creation save.
    async fn create(&self, id: &str, whole: &Whole) -> Result<String, Failed>;

    /// Saves all of a session.
    async fn save(&self, id: &str, whole: &Whole) -> Result<(), Failed>;

    /// Loads all of it.
    async fn load(&self, id: &str) -> Result<Option<Whole>, Failed>;

    /// Deletes it.
    async fn delete(&self, id: &str) -> Result<(), Failed>;
}

/// Whatever the interface says when something fails.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

#[doc(hidden)]
#[macro_export]
macro_rules! __whole_record_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            replacing {
                gives_back_what_was_saved,
                knows_no_other_id,
                a_save_replaces_all_of_it,
                the_last_save_wins,
                refuses_data_that_is_too_large,
            }
            ending {
                deletes,
                a_save_after_a_delete_brings_nothing_back,
                an_expired_one_is_gone,
                a_save_after_the_end_brings_nothing_back,
                saving_expired_data_deletes,
                a_life_can_be_cut_short,
                no_life_is_longer_than_the_longest,
            }
            parallel {
                saves_leave_one_whole,
                a_deletion_beats_every_writer,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __creating_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            creation {
                overwrites_nothing,
                avoids_the_id_of_a_deleted_one,
                parallel_ones_get_a_session_each,
                what_has_expired_is_not_created,
                a_save_creates_nothing,
            }
        }
    };
}

/// Every case for interfaces to key-value stores.
#[must_use]
pub fn whole_record_cases() -> &'static [Case<Arc<dyn WholeRecord>>] {
    crate::__whole_record_cases!([case_table])
}

/// Every case for interfaces that tell creation from saving.
#[must_use]
pub fn creating_cases() -> &'static [Case<Arc<dyn WholeRecord>>] {
    crate::__creating_cases!([case_table])
}

/// Runs every case for interfaces on those that `make` gives.
///
/// # Panics
/// When any fails, after all have run, naming those that failed.
pub async fn whole_record<M, F, R>(make: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Arc<dyn WholeRecord>>>,
{
    run_all(whole_record_cases().iter(), Bench::new(make, Races::QUICK)).await;
}

/// Runs every case for interfaces that tell creation from saving.
///
/// # Panics
/// As [`whole_record`].
pub async fn creating<M, F, R>(make: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Arc<dyn WholeRecord>>>,
{
    run_all(creating_cases().iter(), Bench::new(make, Races::QUICK)).await;
}
