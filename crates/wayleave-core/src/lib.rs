//! For authors of stores and authenticators: the domain of Wayleave. Applications depend on `wayleave` instead.
//!
//! Everything here is a value or a decision over values. Nothing does I/O, reads a clock or draws randomness: time
//! and entropy are arguments, and the world outside is reached through the traits in [`ports`].

pub mod authentication;
pub mod blob;
pub mod decide;
pub mod entries;
pub mod id;
pub mod lockout;
pub mod memory;
pub mod permission;
pub mod policy;
pub mod ports;
pub mod record;
pub mod refresh;
pub mod routing;
pub mod seal;
pub mod stored;
pub mod subject;
pub mod ticket;
pub mod time;
pub mod token;
