//! The key space: table, entries, databases. Knows nothing of clients, replies or propagation.

pub mod db;
pub mod entry;
pub mod forecast;
pub mod hash;
pub mod table;
pub mod types;
