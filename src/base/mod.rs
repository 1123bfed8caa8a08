//! Leaves that know nothing of the database: clock, numbers as text, glob patterns, random numbers.

pub mod clock;
