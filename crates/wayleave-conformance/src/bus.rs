//! What every [`Bus`] must do: one order for all who listen, nothing lost but with the connection, and that told.
//!
//! ```ignore
//! mod cases {
//!     async fn fresh() -> (wayleave_conformance::bus::Nodes, Database) { ... }
//!
//!     wayleave_conformance::bus_suite!(fresh);
//! }
//! ```
//!
//! A message that does not come is given up on after ten seconds.

use std::sync::Arc;

use wayleave_core::ports::Bus;

use crate::bench::{Bench, Case, Fresh, Races, Running, run_all};
use crate::macros::case_table;

mod listening;
mod loss;
mod order;

/// Two nodes on one bus of their own, on which nobody else publishes.
#[derive(Clone)]
pub struct Nodes {
    /// The bus as each node has it.
    pub nodes: [Arc<dyn Bus>; 2],
    /// Cuts the connections of all who listen, as a broken network or a restart of the broker would. Publishing and
    /// listening anew work afterwards, if not at once.
    pub cut: Arc<dyn Fn() -> Running<()> + Send + Sync>,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bus_cases {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*
            listening {
                everybody_hears_it,
                hears_everything_from_the_start,
                carries_every_byte,
                refuses_what_is_too_long,
                a_wait_that_is_given_up_loses_nothing,
            }
            order {
                is_the_same_for_all,
                keeps_what_one_node_says_in_turn,
            }
            loss {
                is_told_and_stays_told,
                is_over_for_who_listens_anew,
            }
        }
    };
}

/// Every case.
#[must_use]
pub fn cases() -> &'static [Case<Nodes>] {
    crate::__bus_cases!([case_table])
}

/// Runs every case, each on a fresh bus.
///
/// # Panics
/// When any fails, naming those that failed.
pub async fn suite<M, F, R>(make: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
    R: Into<Fresh<Nodes>>,
{
    run_all(cases().iter(), Bench::new(make, Races::QUICK)).await;
}
