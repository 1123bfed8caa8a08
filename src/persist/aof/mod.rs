//! The append-only file in Redis 7's form: a directory of files, and a manifest that names them in order.
//!
//! - `manifest`: which files there are, of what kind and in which order.
//! - `base`: what is in the databases, as commands.
//! - `batch`: the line that ends what one turn of the loop has appended, by which damage is found and located.
//! - `read`: commands from the bytes of a file.
//!
//! # What lies where
//! ```text
//! appendonlydir/appendonly.aof.manifest         names the others
//! appendonlydir/appendonly.aof.1.base.rdb       the data as of some moment; or .base.aof, as commands
//! appendonlydir/appendonly.aof.1.incr.aof       what was done since, in RESP; several files, one after the other
//! ```

pub mod base;
pub mod batch;
pub mod manifest;
pub mod read;
