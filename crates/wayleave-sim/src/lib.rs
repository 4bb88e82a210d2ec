//! A simulator for the tests of this workspace: several nodes over one store and one bus, with their clients, in virtual
//! time. A seed determines everything that happens: every delay, fault, crash and choice, so that a run can be repeated.
//!
//! The nodes are the real [`wayleave::SessionManager`] and [`wayleave::cluster::Cluster`]; what lies between them is
//! not: links that delay, lose and cut, clocks that drift and jump. A run leaves a [`history::History`], and the
//! checkers in [`check`] judge it without knowing how the nodes work.

mod chaos;
pub mod check;
mod clients;
mod clocks;
mod directory;
mod gate;
pub mod history;
pub mod mutations;
mod node;
pub mod plan;
mod run;
mod store;
mod world;

pub use run::{Report, run};
