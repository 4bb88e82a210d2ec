//! Our stores behind Tideway's trait: the promises of whole records, and Tideway's surface beside ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "what fails in a test panics")]

mod context;
mod cookies;
mod errors;
mod records;
mod surface;
