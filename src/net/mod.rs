//! Sockets and the loop. The only part that knows mio; owns the connections and, beside them, the server.

pub mod conn;
pub mod listener;
pub mod reactor;
