//! For operators: the session server, its configuration and its command line. The one place where concrete parts meet.

pub mod access;
pub mod accounts;
pub mod app;
pub mod assembly;
pub mod audit;
pub mod changes;
pub mod cli;
pub mod config;
pub mod cookies;
mod device;
pub mod error;
mod gate;
pub mod http;
pub mod links;
pub mod logging;
pub mod metrics;
mod openapi;
pub mod router;
pub mod routes;
pub mod secrets;
pub mod settings;
pub mod signing;
pub mod strangers;
pub mod text;
pub mod trail;
pub mod unknown;
pub mod wire;
