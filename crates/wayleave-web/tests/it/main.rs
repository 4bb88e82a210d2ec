//! What embedding applications rely on, through the public interface alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod carriers;
mod client;
mod cookies;
mod csrf;
mod data;
mod kv;
mod races;
mod sealed;
mod sign_in;
mod watching;
