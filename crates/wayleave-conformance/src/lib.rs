//! For authors of stores and directories: the test suites that every implementation of a port of `wayleave-core` must
//! pass, races included. Nothing else depends on it, and nothing outside tests should.
//!
//! A suite asks for a maker, a function that gives a fresh and empty implementation each time it is called:
//!
//! ```
//! # use std::sync::Arc;
//! # use wayleave_conformance::directory::{Directory, ManualClock};
//! # use wayleave_conformance::fixtures;
//! # use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
//! async fn memory() -> Directory {
//!     let clock = Arc::new(ManualClock::new(fixtures::BASE));
//!     let directory = MemoryDirectory::new(DirectoryLimits::default(), clock.clone());
//!     Directory::of(Arc::new(directory), clock)
//! }
//!
//! // One test for each case, so that the test runner shows them apart:
//! mod directory {
//!     use super::memory;
//!     wayleave_conformance::directory_suite!(memory);
//! }
//! # fn main() {}
//! ```
//!
//! [`store_suite!`] does the same for [`wayleave_core::ports::SessionStore`]. What must outlive the implementation (a
//! temporary directory, a server process) goes along in a pair: a maker may return `(implementation, guard)`. Where
//! one test per case is not wanted, [`store::suite`] and [`directory::suite`] run all cases in one go.
//!
//! Cases use their own constant time ([`fixtures::BASE`]) and never wait for the clock: an implementation that
//! measures a lifetime by any clock but the `now` that it is given fails. They panic when the implementation is wrong,
//! and expect a multi-thread tokio runtime, without which the races would be none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing case panics: that is how a test says so"
)]

pub mod directory;
pub mod fixtures;
pub mod store;

mod bench;
mod macros;
mod together;

pub use bench::{Bench, Case, Fresh, Races, Running, run_case};
