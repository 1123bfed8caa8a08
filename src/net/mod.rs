//! Connections and the loop; owns the connections and, beside them, the server. The only layer that knows mio, and in it only
//! the shell does: [`reactor`] with [`listener`], and the kernel's sockets in [`transport`].

mod batch;
mod clients;
mod conn;
mod input;
pub mod listener;
pub mod reactor;
pub mod transport;
pub mod turn;
