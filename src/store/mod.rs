//! The key space: table, entries, databases. Knows nothing of clients, replies or propagation.
//!
//! Each part uses those below it, and not those above:
//! ```text
//! collections, fields, prefetch   collections opened by key, hashes with their fields' deadlines, loading ahead
//! db                              one database: lookups, storing, removing
//! snapshot, hold                  what a snapshot has of a database that is in use; what long readers have under way
//! expiry, open, forecast          the wheel and what is due; entries open for change; what will be due when
//! accounting, notes, moment       counters and the gate of changes; what happened; when, and for whom
//! access, evict, nearest          how keys are remembered to be used; which of them go first when memory is short
//! entry, table, members, types    one key with its value; how keys and members are found; what values are made of
//! blob, pack, hash                blocks and packs of bytes; the hash of keys
//! ```

pub mod access;
mod accounting;
mod blessed;
pub mod blob;
pub mod collections;
pub mod db;
pub mod defrag;
pub mod entry;
pub mod evict;
mod expiry;
#[cfg(debug_assertions)]
mod fingerprint;
pub mod forecast;
pub mod hash;
pub mod hold;
pub mod members;
mod moment;
#[cfg(all(test, debug_assertions))]
mod mutation_tests;
mod nearest;
pub mod notes;
pub mod open;
pub mod pack;
pub mod prefetch;
pub mod sizes;
pub mod snapshot;
pub mod table;
pub mod types;
