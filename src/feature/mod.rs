//! State machines behind whole families of commands: no sockets, no clients' sessions, no clock.

pub mod acl;
pub mod blocking;
pub mod client_id;
pub mod command_log;
pub mod durations;
pub mod fieldsets;
mod ids;
pub mod latency;
pub mod members;
pub mod pubsub;
pub mod reactive;
mod shards;
mod slots;
pub mod top_keys;
pub mod tracking;
pub mod transaction;
