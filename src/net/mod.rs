//! Connections and the loop. This layer owns the connections and, beside them, the server. It is the only one that knows mio, and
//! in it only the shell does: [`reactor`] with [`listener`], and the kernel's sockets in [`transport`].
#![doc = include_str!("DESIGN.md")]

mod batch;
mod body;
mod busy;
mod clients;
mod conn;
mod gate;
pub mod http;
mod input;
pub mod listener;
mod metrics;
pub mod reactor;
mod replica;
pub mod transport;
pub mod turn;
