//! From arguments to a finished reply: the gates every command passes, the handler, and what follows it.
//!
//! Clients enter here, and whatever else will run commands enters here too; there is no other way to a handler.

mod call;
pub mod cron;
pub mod dispatch;
mod purge;
pub mod reactive;
pub mod settle;
mod transaction;
pub mod wake;
