//! What every key-value [`SessionStore`] must do, and what one that keeps nothing can.
//!
//! ```
//! # use std::time::Duration;
//! # use wayleave::kv::InMemorySessionStore as MyStore;
//! mod cases {
//!     # use std::{sync::Arc, time::Duration};
//!     # use wayleave::kv::InMemorySessionStore as MyStore;
//!     use wayleave_conformance::kv::Kv;
//!
//!     async fn fresh() -> Kv {
//!         Kv::of(MyStore::new(Duration::from_secs(3600)))
//!     }
//!
//!     wayleave_conformance::kv_suite!(fresh);
//! }
//! # fn main() {}
//! ```
//!
//! Lifetimes of key-value sessions are measured by the wall clock, so two cases wait for some milliseconds.

use std::sync::Arc;

use wayleave::kv::{OnUndecodable, SaveError, SessionData, SessionStore};

use crate::bench::{Bench, Case, Fresh, Races, Running, run_all};
use crate::macros::case_table;

mod lifetime;
mod races;
mod saving;
mod sealing;
mod undecodable;
mod whole;

pub use whole::{Failed, Whole, WholeRecord, creating, creating_cases, whole_record, whole_record_cases};

/// A store under test.
#[derive(Clone)]
pub struct Kv {
    /// The store.
    pub store: Arc<dyn SessionStore>,
    /// How to damage what it holds, if anything can be damaged that it holds.
    pub damage: Option<Damage>,
}

impl Kv {
    /// A store in which nothing can be damaged: it keeps values, not bytes.
    pub fn of(store: impl SessionStore + 'static) -> Self {
        Self { store: Arc::new(store), damage: None }
    }
}

/// How to damage a session in a store, and what the store promises to do then.
#[derive(Clone)]
pub struct Damage {
    /// What the store was told to do with data that it cannot read.
    pub policy: OnUndecodable,
    /// Makes every session in the store unreadable.
    pub damage: Arc<dyn Fn() -> Running<()> + Send + Sync>,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __kv_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            saving {
                gives_back_what_was_saved,
                knows_no_other_id,
                new_data_replaces_nothing,
                what_was_read_replaces_what_it_was_read_from,
                an_older_state_replaces_nothing,
                when_it_was_made_never_changes,
                holds_the_largest_data,
                refuses_data_that_is_too_large,
                update_changes_what_is_there,
                update_creates_nothing,
                says_that_it_is_healthy,
            }
            lifetime {
                deletes,
                a_save_after_a_delete_brings_nothing_back,
                new_data_under_a_deleted_id_is_refused,
                an_expired_one_is_gone,
                saving_expired_data_deletes,
                a_longer_life_lasts,
                cleaning_up_spares_the_living,
            }
            undecodable {
                follows_the_policy,
            }
            races {
                writers_of_different_keys_both_win,
                no_increment_is_lost,
                one_of_two_new_ones_wins,
                a_deletion_beats_every_writer,
            }
        }
    };
}

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Kv>] {
    crate::__kv_cases!([case_table])
}

/// Runs every case on stores that `make` gives.
///
/// # Panics
/// When any fails, after all have run, naming those that failed.
pub async fn suite<M, F, R>(make: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Kv>>,
{
    run_all(cases().iter(), Bench::new(make, Races::QUICK)).await;
}

/// Runs the races alone, as thoroughly as asked.
///
/// # Panics
/// As [`suite`].
pub async fn race<M, F, R>(make: M, races: Races)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Kv>>,
{
    run_all(cases().iter().filter(|case| case.group == "races"), Bench::new(make, races)).await;
}

/// Seals data.
pub type Seal = dyn Fn(&SessionData) -> Result<String, SaveError> + Send + Sync;

/// A store that keeps nothing: the client holds the sealed data, and the sealed text stands for the id.
#[derive(Clone)]
pub struct Stateless {
    /// Seals data.
    pub seal: Arc<Seal>,
    /// Opens it again, as [`SessionStore::load`].
    pub store: Arc<dyn SessionStore>,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stateless_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            sealing {
                opens_what_was_sealed,
                two_seals_of_one_state_differ,
                a_changed_character_opens_nothing,
                an_expired_one_opens_nothing,
                says_by_how_much_it_is_too_long,
                shows_nothing_of_what_is_in_it,
                revokes_if_and_only_if_it_says_so,
                cannot_tell_an_older_state_from_a_newer,
            }
        }
    };
}

/// Every case for stores that keep nothing. What they cannot promise is among them, so that nobody takes it for granted:
/// they merge no writes, and an older state that a client kept opens like a newer one.
#[must_use]
pub fn stateless_cases() -> &'static [Case<Stateless>] {
    crate::__stateless_cases!([case_table])
}

/// Runs every case on sealing stores that `make` gives.
///
/// # Panics
/// As [`suite`].
pub async fn stateless<M, F, R>(make: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Stateless>>,
{
    run_all(stateless_cases().iter(), Bench::new(make, Races::QUICK)).await;
}
