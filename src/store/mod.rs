//! The key space: table, entries, databases. Knows nothing of clients, replies or propagation.

pub mod blob;
pub mod collections;
pub mod db;
pub mod entry;
pub mod fields;
pub mod forecast;
pub mod hash;
pub mod members;
pub mod pack;
pub mod prefetch;
mod size_class;
pub mod table;
pub mod types;
