//! The session manager over stores and directories in memory, with time, entropy and faults under control.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod background;
mod change;
mod cluster;
mod coherence;
mod end;
mod events;
mod faults;
mod fixture;
mod jwt;
mod limits;
mod open;
mod parking;
mod reauthenticate;
mod refresh;
mod rules;
mod validate;
mod warm;
