//! For whoever puts a deployment of several machines together: Wayleave's session store, directories and bus in a
//! PostgreSQL database, version 15 or newer.
//!
//! [`PostgresStore`] implements every port of [`wayleave_core::ports`] that keeps something, and the bus over
//! LISTEN/NOTIFY. Every operation is one statement and one round trip; what takes several steps is a function in the
//! database, made by the migrations. Nothing rests on the server's isolation level or locale: connections set what they
//! need. What a port has returned has been committed and survives a crash of the server.
//!
//! What a session carries, credentials and ticket payloads are sealed with the deployment's key ring, bound to the row
//! that they are in. Tokens are kept as hashes only.

mod accounts;
mod audit;
mod bus;
mod columns;
mod counters;
mod credentials;
mod error;
mod invitations;
mod known_devices;
mod options;
mod pool;
mod schema;
mod service_keys;
mod sessions;
mod settings;
mod statement;
mod store;
mod stored;
mod subjects;
mod tickets;
mod vault;

pub use error::OpenError;
pub use options::{Options, Schema};
pub use store::PostgresStore;
