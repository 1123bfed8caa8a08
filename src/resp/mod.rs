//! The Redis serialization protocol, versions 2 and 3, without sockets: requests are parsed from bytes, replies are
//! written to a buffer in memory.

pub mod args;
pub mod error;
pub mod out;
pub mod parse;
pub mod reply;
