//! For whoever puts a deployment of several nodes together: Wayleave's session store and bus on Redis or Valkey, on one
//! server or a Cluster.
//!
//! [`RedisStore`] implements [`wayleave_core::ports::SessionStore`] and [`wayleave_core::ports::Bus`]; the directories
//! stay in a SQL database. Every operation is one Lua script and one round trip: a subject's records share a hash slot,
//! so that a script changes them in one step, also in a Cluster. What a session carries and ticket payloads are sealed
//! with the deployment's key ring, bound to the record that they are in. Tokens are kept as hashes only.
//!
//! What Redis can lose, and what that means for sessions, is said at [`Replication`].

mod bus;
mod error;
mod keys;
mod link;
mod options;
mod reply;
mod scripts;
mod sessions;
mod store;
mod stored;
mod tickets;

pub use error::{OpenError, Unfit};
pub use options::{InvalidPrefix, Options, Replication, Servers, Tls};
pub use store::RedisStore;
