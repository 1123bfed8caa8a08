//! AleaDB: a single-threaded, in-memory, Redis-compatible database.

pub mod base;
pub mod command;
pub mod config;
pub mod engine;
pub mod net;
pub mod resp;
pub mod server;
pub mod store;
pub mod sys;
pub mod timer;
