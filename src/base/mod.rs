//! Leaves that know nothing of the database: clock, numbers and metrics as text, glob patterns, quoting, compression, random
//! numbers, sorting of a part or some at a time, digests as text, what things take on the heap.

pub mod clock;
pub mod glob;
pub mod heap;
pub mod lzf;
pub mod merge_sort;
pub mod murmur;
pub mod num;
pub mod openmetrics;
pub mod partial_sort;
pub mod prng;
pub mod quote;
pub mod xxh3;
