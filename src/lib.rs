//! AleaDB: a single-threaded, in-memory, Redis-compatible database whose TTLs are timers and whose queries are live.
//!
//! # Layers
//! Each layer may use those before it, and only those; siblings do not know each other (`tests/tidy.rs` checks it).
//! ```text
//! base     clock, numbers as text, globs, quoting, random numbers
//! sys      the operating system: signals, limits, log, listening sockets, service manager, helper thread, allocator
//! resp     requests parsed from bytes, replies written to a buffer; no sockets
//! timer    the hashed timing wheel; no clock
//! lua      the Lua interpreter: its interface, the sandbox, what scripts may call; no databases, no clients
//! store    hash table, entries, databases; no clients
//! feature  who subscribed to what, waits for which key, watches which, may do what; no sockets, no sessions
//! config   directives, redis.conf, command line
//! persist  Redis's dump files, and single values as DUMP shows them; the disk; no databases, no clients
//! server   the parts commands work on: databases, clients, watchers, counters; what follows from a change
//! command  a row and a handler for every command, by family
//! engine   gates, dispatch, transactions, what follows a command, housekeeping
//! net      the turn over connections of any kind, and the loop that knows mio
//! ```
//! `server` and `command` know each other's types: a handler is called with a [`server::ctx::Ctx`], and a session
//! remembers the last [`command::Command`] it sent.
//!
//! # The life of a command
//! A GET passes twelve files and comes back five times, where the arrows point to the left:
//! ```text
//!  1 net::reactor          waits for events, notes which connections are ready
//!  2   net::turn           takes the ready ones, and asks each for its bytes
//!  3     net::input        reads once into the buffer they all share            <- to the turn
//!  4     net::batch        has the commands parsed, and their keys loaded
//!  5       resp::parse     finds the arguments: slices of that buffer
//!  6       command::spec::registry  finds the row of the name                   <- to the turn, for the next connection
//!  7     engine::dispatch  asks the gates: arity? password? permission? memory? paused?
//!  8       command::run    builds what a handler sees, and calls it
//!  9         command::string  the handler `get` under its row
//! 10           store::db   looks the key up: one whose deadline has passed is not there
//! 11             store::table  the bucket and the entry                         <- to the handler
//! 12           resp::reply writes the value into the connection's output        <- to the turn, for the next command
//!    net::turn             after the timers, one write for each connection      <- to the reactor
//! ```
//! A client in a transaction has its commands copied at 7, and they run with EXEC. A command that waits for keys is copied
//! as well, and [`engine::settle`] runs it again when one of them has changed.
//!
//! # The way of a change
//! A handler that has changed data says so: `ctx.change(Change::new(EventClass::String, "set", key))`. From this one value
//! ([`server::change`]) follow
//! 1. the count of changes;
//! 2. the *touch*: transactions that watch the key fail, clients that wait for it may have their turn, queries that name it
//!    are evaluated when the command is over;
//! 3. the keyspace event, published at once into the outbox;
//! 4. when the handler has returned, what is passed on to a log and to replicas: the command as it was given, or the ones that
//!    the handler named with `ctx.propagate_as` ([`server::propagation`]).
//!
//! Then [`engine::settle`] evaluates the queries and serves the clients that wait; what that changes goes the same way. The
//! outbox is emptied into the outputs before anybody's next command.
//!
//! Keys and fields that expire take the same way from the second step on, by the notes that a database makes of them. The
//! whole of it, and how a result comes to its watchers, is told in [`engine`]; a turn of the loop in [`net`].
//!
//! # Adding a command
//! 1. A row in the family's file, the handler under it. The row says what COMMAND, ACL, key extraction and the README say.
//! 2. A command that changes data is flagged as a write, records each key it changes with a `Change`, and names what is to be
//!    propagated if it depends on the time, on chance, or on what it waited for. In debug builds a handler that changes data
//!    and says nothing fails, and so does one that says so without the flag.
//! 3. An example in `tests/it/changes.rs`: its event and what it propagates. That test fails for a write without one.
//! 4. Its replies in `tests/it/`, byte for byte in both protocols; and a run of `tests/differential`, which takes its grammar from
//!    the row and compares with a real Redis.
//! 5. `cargo test` says how to renew the README's table.
//!
//! # Reading order
//! [`net::turn`], [`engine::dispatch`], [`command::run`], `command::string`, [`server::change`], [`store::db`], [`store::table`],
//! [`store::entry`], [`timer::wheel`].

pub mod base;
pub mod command;
pub mod config;
pub mod engine;
pub mod feature;
pub mod lua;
pub mod net;
pub mod persist;
pub mod resp;
pub mod server;
pub mod store;
pub mod sys;
pub mod timer;
