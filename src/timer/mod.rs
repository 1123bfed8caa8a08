//! Timers without a clock: a hashed timing wheel that says when a payload is worth looking at again.
//!
//! [`wheel`] is the whole interface. `nodes` (the pool of list nodes) and `occupied` (the bitmap of non-empty slots)
//! are its parts. Nothing here reads time, knows a key or a connection, or decides what is due: owners do.

mod nodes;
mod occupied;
pub mod wheel;

#[cfg(test)]
mod tests;

pub use wheel::{KEY_SLOTS, Progress, SweepVerdict, Verdict, Visitor, Wheel};
