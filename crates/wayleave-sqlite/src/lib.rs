//! For whoever puts a deployment of one machine together: Wayleave's session store and directories in one SQLite file.
//!
//! [`SqliteStore`] implements every port of [`wayleave_core::ports`] that keeps something, but that of blobs, which
//! [`SqliteVault`] has in a file of its own. Files are in WAL mode; one connection writes, in transactions that begin
//! with the write lock, and several read. Writes that wait for each other are committed together, each keeping an
//! outcome of its own. What a port has returned is on the disk: it survives the death of the process, and with
//! [`Durability::Full`] a loss of power.
//!
//! What a session carries, credentials and ticket payloads are sealed with the deployment's key ring, bound to the row
//! that they are in. Tokens are kept as hashes only.

mod accounts;
mod audit;
mod columns;
mod counters;
mod credentials;
mod error;
mod invitations;
mod known_devices;
mod options;
mod schema;
mod service_keys;
mod sessions;
mod settings;
mod store;
mod stored;
mod subjects;
mod tickets;
mod vault;
mod writer;

pub use error::OpenError;
pub use options::{Durability, Options, Schema};
pub use store::{ForeignWrites, SqliteStore};
pub use vault::SqliteVault;
