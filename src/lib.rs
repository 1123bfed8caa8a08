//! AleaDB: a single-threaded, in-memory, Redis-compatible database.

pub mod base;
pub mod timer;
