//! The integration tests of the server, in one binary; one module per concern.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod administration;
mod administration_settings;
mod asks;
mod authorization;
mod bearer_refresh;
mod cli;
mod cookie_sessions;
mod credentials;
mod error_codes;
mod every_route;
mod forward_auth;
mod http_cors;
mod http_errors;
mod http_limits;
mod http_serve;
mod http_stack;
mod joining;
mod jwt_forgeries;
mod jwt_sessions;
mod kill;
mod nginx;
mod openapi;
mod password_sign_in;
mod passwords;
mod paths;
mod people;
mod process;
mod roles;
mod schema;
mod services;
mod snapshots;
mod support;
mod world;
