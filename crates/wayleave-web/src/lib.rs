//! For Rust web applications: sessions inside your own process.

pub mod bearer;
pub mod cookies;
pub mod csrf;
pub mod fetch_metadata;
pub mod origin;
