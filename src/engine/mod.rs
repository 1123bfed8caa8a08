//! From arguments to a finished reply, and what follows: the gates that a client's command passes, transactions, those who wait,
//! live queries, and what happens by the clock.
//!
//! Handlers are called by [`crate::command::run`], and by nothing else; a client's commands come there through
//! [`dispatch`].
#![doc = include_str!("DESIGN.md")]

pub mod cron;
pub mod dispatch;
pub mod jobs;
pub mod links;
pub mod persistence;
mod pieces;
mod purge;
pub mod reactive;
pub mod replication;
pub mod scripting;
pub mod settle;
mod transaction;
pub mod wake;
