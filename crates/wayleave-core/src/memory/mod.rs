//! Stores in process memory.

mod directory;

pub use directory::{DirectoryLimits, MemoryDirectory};
