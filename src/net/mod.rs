//! Sockets and the loop. The only part that knows mio; owns the connections and, beside them, the server.

mod batch;
pub mod conn;
mod conns;
pub mod listener;
pub mod reactor;
mod send;
