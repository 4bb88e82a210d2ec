//! Stub.

pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod secrets;
