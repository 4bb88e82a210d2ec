//! Stores in process memory.
