//! Data in the forms in which it leaves the server and comes back.
//!
//! - `rdb`: Redis's dump files: values, and the whole file key by key, in the versions of Redis and Valkey.
//! - `payload`: one value with a footer that tells version and checksum: what DUMP shows and RESTORE takes.
//! - `dicedb`: the payloads of DiceDB's DUMP, which RESTORE takes as well.
//! - `digest`: a number that stands for the data, the same as Redis's.
//! - `snapshot`: the entries of a snapshot on their way into a file.
//! - `aof`: the log's manifest and the lines that it has beside Redis's commands.
//! - `check`: what is in a file, and whether it could be loaded.
//! - `storage`: the disk, behind a trait that a simulated one implements as well.
//!
//! Whatever is read may come from anyone: it is checked throughout before it becomes a value, and what reading takes in
//! memory is in proportion to the bytes that were read. Called by commands. Knows nothing of databases, clients and replies.

pub mod aof;
pub mod check;
pub mod dicedb;
pub mod digest;
pub mod directory;
pub mod payload;
pub mod rdb;
pub mod recover;
pub mod snapshot;
pub mod storage;
