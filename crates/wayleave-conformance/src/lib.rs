//! For authors of stores and directories: the test suites that every implementation of a port of `wayleave-core` must
//! pass, races included. Nothing else depends on it, and nothing outside tests should.
//!
//! # Testing a store of one's own
//!
//! Add `wayleave-conformance` and tokio to the `[dev-dependencies]`, and write an integration test. A suite asks for a
//! maker: a function that gives a fresh and empty store each time it is called, alone or in a pair with what must
//! outlive it (a temporary directory, a server process), which is dropped when the case is over:
//!
//! ```
//! # use wayleave_core::memory::MemoryStore as MyStore;
//! # struct Folder;
//! # impl Folder { fn new() -> Self { Self } }
//! # fn open(_: &Folder) -> MyStore { MyStore::default() }
//! // tests/conformance.rs
//! use std::sync::Arc;
//! use wayleave_conformance::{Races, store};
//!
//! async fn fresh() -> (store::Store, Folder) {
//!     let folder = Folder::new();
//!     (Arc::new(open(&folder)), folder)
//! }
//!
//! // One test for each case, in modules by operation: `cases::insert::never_overwrites_an_id`, ...
//! mod cases {
//!     use super::fresh;
//!     wayleave_conformance::store_suite!(fresh);
//! }
//!
//! // The races once more and at length, to be run before a release.
//! #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
//! #[ignore = "takes a while"]
//! async fn races_at_length() {
//!     store::race(fresh, Races::DEEP).await;
//! }
//! # fn main() {
//! #     let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
//! #     runtime.block_on(store::suite(fresh));
//! # }
//! ```
//!
//! Where one test per case is not wanted, [`store::suite`] runs all cases in one go and names those that failed. A case
//! that fails stands in the module of its operation, below a sentence that says what the port demands.
//!
//! # Testing directories
//!
//! [`directory_suite!`] and [`directory::suite`] do the same for the directory ports, which come together in one
//! [`directory::Directory`]. An implementation of a few of them borrows the others, for example from memory:
//!
//! ```
//! # use std::sync::Arc;
//! # use wayleave_conformance::Races;
//! # use wayleave_conformance::directory::{self, Directory, ManualClock, Port};
//! # use wayleave_conformance::fixtures;
//! # use wayleave_core::memory::{DirectoryLimits, MemoryDirectory};
//! # fn my_settings() -> MemoryDirectory {
//! #     MemoryDirectory::new(DirectoryLimits::default(), Arc::new(ManualClock::new(fixtures::BASE)))
//! # }
//! async fn fresh() -> Directory {
//!     let clock = Arc::new(ManualClock::new(fixtures::BASE));
//!     let memory = MemoryDirectory::new(DirectoryLimits::default(), clock.clone());
//!     Directory { settings: Arc::new(my_settings()), ..Directory::of(Arc::new(memory), clock) }
//! }
//!
//! # async fn test() {
//! directory::suite_of(Port::Settings, fresh, Races::QUICK).await;
//! # }
//! # tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(test());
//! ```
//!
//! # What the cases expect
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

pub mod blobs;
pub mod bus;
pub mod directory;
pub mod fixtures;
pub mod kv;
pub mod store;

mod bench;
mod macros;
mod together;

/// The page's code is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/custom-store.md")]
struct CustomStore;

pub use bench::{Bench, Case, Fresh, Races, Running, run_case};
