//! AleaDB: a single-threaded, in-memory, Redis-compatible database whose TTLs are timers and whose queries are live.
//!
//! # Layers
//! Each layer may use those before it, and only those; siblings do not know each other (`tests/tidy.rs` checks it).
//! ```text
//! base     clock, numbers as text, globs, quoting, random numbers
//! sys      the operating system: signals, limits, log, listening sockets, service manager, helper thread, allocator
//! resp     requests parsed from bytes, replies written to a buffer; no sockets
//! timer    the hashed timing wheel; no clock
//! store    hash table, entries, databases; no clients
//! feature  who subscribed to what, waits for which key, watches which; no sockets, no sessions
//! config   directives, redis.conf, command line
//! persist  values as Redis's dump files hold them, and single ones as DUMP does; no keys, no clients
//! server   the parts commands work on: databases, sessions, counters
//! command  a row and a handler for every command, by family
//! engine   gates, dispatch, transactions, what follows a command, housekeeping
//! net      sockets and the loop; the only layer that knows mio
//! ```
//! `server` and `command` know each other's types: a handler is called with a [`server::ctx::Ctx`], and a session
//! remembers the last [`command::Command`] it sent.
//!
//! # The life of a command
//! 1. [`net::reactor`] waits for events, takes the time once, and goes round the ready connections. Each is read once
//!    into a buffer they all share.
//! 2. [`resp::parse`] finds the arguments: slices of that buffer, never copied. [`command::lookup`] finds the row of the
//!    name, and the first key's bucket begins to load. The next connection is read meanwhile.
//! 3. [`engine::dispatch`] asks the gates (known? arity? authenticated? memory? paused?) and calls the row's handler, unless
//!    the client is in a transaction: then the command is copied, and runs with EXEC.
//! 4. The handler, for `GET` the function `get` in `command::string`, looks the key up in [`store::db`] (a key whose
//!    deadline has passed is not there, whatever the wheel has done) and writes its reply into the connection's output.
//! 5. If it changed a key that clients wait for, [`engine::settle`] runs their commands before anybody's next one.
//! 6. After the commands come the timers: due keys leave, within a budget.
//! 7. Then the replies go out, one write per connection, and the turn ends.
//!
//! # Reading order
//! [`net::reactor`], [`engine::dispatch`], `command::string`, [`store::db`], [`store::table`], [`store::entry`],
//! [`timer::wheel`].

pub mod base;
pub mod command;
pub mod config;
pub mod engine;
pub mod feature;
pub mod net;
pub mod persist;
pub mod resp;
pub mod server;
pub mod store;
pub mod sys;
pub mod timer;
