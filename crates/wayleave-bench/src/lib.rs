//! For people who work on the project: what Wayleave costs, as one table of ratios. Nothing depends on this crate.
//!
//! Every figure stands beside one of the same run on the same machine: a bare hash and lookup, bare Argon2id, the plain
//! route of the same server, the disk's own speed. Absolute figures of two machines or two hours do not compare; these
//! ratios nearly do. Nothing here fails for being slow.

#![allow(clippy::disallowed_methods, reason = "measuring reads the clock")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is what it is run for")]

pub mod arguments;
mod document;
mod embedded;
mod floor;
mod http;
mod logins;
mod machine;
mod measure;
mod memory;
mod plan;
mod problem;
mod process;
mod refreshes;
mod report;
mod results;
mod run;
mod stores;
mod sweep;
mod validation;
mod world;

pub use problem::Problem;
pub use run::run;
