//! Commands, byte for byte, in both protocols, without sockets: one module per family.

#[path = "../support/disk.rs"]
mod disk;
#[path = "../support/memory.rs"]
mod memory;

mod acl;
mod admin;
mod array;
mod backup;
mod bitmap;
mod bless;
mod blocking;
mod changes;
mod check;
mod claiming;
mod client;
mod clock;
mod compact;
mod conditions;
mod config;
mod connection;
#[path = "../support/contents.rs"]
mod contents;
mod databases;
mod debug;
mod defrag;
mod disk_crashes;
mod dispatch;
mod dump;
mod eviction;
mod expire;
mod expiry;
#[path = "../support/generate.rs"]
mod generate;
mod geo;
mod hash;
mod hash_expiry;
mod himport;
mod hyperloglog;
mod increx;
mod info;
#[path = "../support/interpreter.rs"]
mod interpreter;
mod introspect;
mod jobs;
mod keys;
mod lifetimes;
mod list;
mod loading;
mod log;
mod log_base;
#[path = "memory.rs"]
mod memory_command;
mod migrate;
mod move_many;
#[path = "../support/mover.rs"]
mod mover;
mod msetex;
mod notify;
mod observe;
#[cfg(debug_assertions)]
mod packs;
mod pieces;
mod producers;
mod pubsub;
mod reactive;
#[path = "../support/recorded_calls.rs"]
mod recorded_calls;
mod recovery;
mod replication;
#[path = "../support/resp.rs"]
mod resp;
#[path = "../support/rng.rs"]
mod rng;
mod roaring;
#[path = "../support/rows.rs"]
mod rows;
mod script_libraries;
mod scripting;
mod set;
mod set_expiry;
mod snapshot;
mod sort;
mod standalone;
mod storage_faults;
mod stream;
mod string;
mod tracking;
mod transaction;
mod versions;
mod watch;
mod zset;
mod zset_expiry;
mod zset_moves;
