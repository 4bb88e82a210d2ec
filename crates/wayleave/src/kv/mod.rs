//! Key-value sessions: a small map of texts behind an id, with a lifetime, in any store.
//!
//! [`SessionData`] is the map, [`SessionStore`] keeps it. A store compares before it sets: data that somebody else
//! has saved meanwhile is not overwritten, and data that somebody has deleted is not brought back. [`update`] makes
//! use of that, so that two requests that change different keys both have their way; [`overwrite`] is for interfaces that know
//! whole records alone.
//!
//! [`RecordSessions`] is such a store over every [`ports::SessionStore`](wayleave_core::ports::SessionStore),
//! [`InMemorySessionStore`] one in process memory.

mod codec;
mod data;
mod memory;
mod principal;
mod records;
mod revocations;
mod store;

pub use codec::Undecodable;
pub use data::{Handle, KeyChange, SessionData, TooLarge, Unreadable, Unwritable};
pub use memory::InMemorySessionStore;
pub use principal::Principal;
pub use records::{OnUndecodable, RecordSessions, RecordSessionsOptions};
pub use revocations::{RecordRevocations, Revocations};
pub use store::{SaveError, SessionStore, UpdateError, overwrite, update};
