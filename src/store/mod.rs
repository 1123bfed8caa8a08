//! The key space: table, entries, databases. Knows nothing of clients, replies or propagation.

pub mod hash;
pub mod table;
