//! Leaves that know nothing of the database: clock, numbers as text, glob patterns, random numbers.

pub mod glob;
pub mod num;
pub mod prng;
pub mod quote;
