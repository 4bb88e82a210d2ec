//! The integration tests of the server, in one binary; one module per concern.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cli;
mod http_cors;
mod http_errors;
mod http_limits;
mod http_serve;
mod http_stack;
mod kill;
mod nginx;
mod process;
mod support;
mod world;
