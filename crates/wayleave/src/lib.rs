//! For applications: [`SessionManager`] opens, validates, refreshes and ends sessions over any store.
//!
//! The decisions are those of `wayleave-core`, which is re-exported as [`core`]; this crate runs them against a store,
//! keeps a coherent cache in front of it, writes activity down in batches, and tells subscribers what happened.

pub use wayleave_core as core;

mod activity;
mod ambient;
pub mod cluster;
mod coherent;
mod epochs;
pub mod events;
pub mod jwt;
pub mod kv;
mod manager;

pub use ambient::{SystemClock, SystemEntropy, SystemUptime};
pub use manager::{
    AccessToken, Background, Ended, ExtendError, Freshness, Issued, Open, OpenError, Opened, Options, Origin, Parts,
    RefreshError, Refreshed, Rules, Session, SessionManager, Shown, TokenView, UpdateError, ValidateError,
};
