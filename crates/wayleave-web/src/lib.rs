//! For Rust web applications: sessions inside your own process.

pub mod bearer;
mod config;
pub mod cookies;
pub mod csrf;
pub mod fetch_metadata;
mod keys;
pub mod origin;
mod sealed;

pub use config::{ConfigError, Reason, SessionBackend, SessionConfig};
pub use keys::{InvalidKey, KEY_BYTES, MAX_KEYS, SessionKey, SessionKeys};
pub use sealed::CookieSessionStore;
