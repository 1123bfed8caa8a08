//! The Lua interpreter: PUC Lua 5.1.5, which the build script compiles from a package's sources with substitutions of its own
//! (`scripts/build/substitutions.rs`), its sandbox, and what scripts may call. No databases, no clients: a command that a script
//! calls is handed to whoever runs the script.
//!
//! - [`library`]: libraries of functions;
//! - [`vm`]: an interpreter and the stack its scripts run on;
//! - [`state`]: what functions in Rust see of Lua;
//! - `sandbox`: the globals of scripts and of functions;
//! - `api`: `redis.*`;
//! - `random`: its random numbers;
//! - [`lib`]: `cjson`, `cmsgpack`, `struct` and `bit`;
//! - `convert`: replies as Lua's values, and the other way around;
//! - `ffi`, `alloc`: the C interface, and the memory.
//!
//! Unsafe code is in `ffi`, `alloc`, `state` with its tables, and `vm` with its memory; all that scripts can call is written on the
//! safe [`state::Frame`].

mod alloc;
mod api;
mod convert;
mod ffi;
pub mod lib;
pub mod library;
mod random;
mod sandbox;
pub mod state;
pub mod vm;

#[cfg(test)]
mod tests;
