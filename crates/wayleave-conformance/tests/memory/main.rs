//! The suites against the implementations in process memory, and against stores that are wrong on purpose.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a test panics")]

mod blobs;
mod broken;
mod bus;
mod custom_store;
mod directory;
mod store;
mod whole;
