//! The server's HTTP edge: everything between the socket and the handlers, and nothing that knows of sessions.
//!
//! [`serve`] accepts connections; [`stack`] puts the general layers round the router in their right order. The rest is
//! for single routes and handlers: cookies, CSRF tokens, origins, bearer tokens, bodies, rate limits.

pub mod bearer;
pub mod body;
pub mod client_address;
pub mod cookies;
pub mod cors;
pub mod csrf;
pub mod error_body;
pub mod fetch_metadata;
pub mod headers;
pub mod limits;
pub mod origin;
pub mod panic;
pub mod query;
pub mod rate_limit;
pub mod request_id;
pub mod serve;
pub mod stack;
pub mod trace;
