//! The real program with real sockets, and real clients against it: `redis-cli`, `redis-benchmark`, the `redis` crate,
//! redis-py and ioredis. What commands answer is tested elsewhere; here it is what only a whole process can show.
//!
//! A client program that is missing makes its tests say `SKIPPED` on standard error; with `CI=true` it makes them fail.

#[path = "../support/resp.rs"]
mod resp;
#[path = "../support/server.rs"]
mod server;

mod abuse;
mod acl;
mod background;
mod backup;
mod check;
mod clients;
mod connections;
mod directory;
mod eviction;
mod examples;
mod leaving;
mod lifecycle;
mod limits;
mod manager;
mod memory;
mod metrics;
mod migrate;
mod process;
mod reactive;
mod readme;
mod replicas;
mod replication;
mod saving;
mod scripting;
