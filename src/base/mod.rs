//! Leaves that know nothing of the database: clock, numbers as text, glob patterns, quoting, random numbers.

pub mod clock;
pub mod glob;
pub mod murmur;
pub mod num;
pub mod prng;
pub mod quote;
