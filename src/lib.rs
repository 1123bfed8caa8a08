//! AleaDB: a single-threaded, in-memory, Redis-compatible database.

pub mod base;
pub mod store;
pub mod sys;
pub mod timer;
pub mod config;
pub mod command;
