//! Commands, byte for byte, in both protocols, without sockets: one module per family.

#[path = "../support/memory.rs"]
mod memory;

mod config;
mod debug;
mod info;
mod introspect;
#[path = "memory.rs"]
mod memory_command;
mod string;
