//! Commands, byte for byte, in both protocols, without sockets: one module per family.

#[path = "../support/memory.rs"]
mod memory;

mod admin;
mod client;
mod connection;
mod expire;
mod keys;
mod config;
mod debug;
mod info;
mod introspect;
#[path = "memory.rs"]
mod memory_command;
mod string;
