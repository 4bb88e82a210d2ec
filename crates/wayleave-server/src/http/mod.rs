//! The server's HTTP edge: everything between the socket and the handlers, and nothing that knows of sessions.
//!
//! [`serve`] accepts connections; [`stack`] puts the general layers round the router in their right order. The rest is
//! for single routes and handlers: bodies, queries, rate limits. Cookies, CSRF tokens, origins and bearer tokens are those of
//! `wayleave-web`.

pub mod body;
pub mod client_address;
pub mod conditions;
pub mod cors;
pub mod error_body;
pub mod headers;
pub mod hosts;
pub mod limits;
pub mod panic;
mod peers;
pub mod precondition;
pub mod query;
pub mod rate_limit;
mod refusals;
pub mod request_id;
pub mod serve;
pub mod stack;
pub mod trace;
mod write_deadline;
