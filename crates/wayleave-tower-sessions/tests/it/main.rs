//! Our stores behind tower-sessions' trait: the promises of whole records, and the real layer over them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "what fails in a test panics")]

mod errors;
mod layer;
mod records;
