//! The commands: their rows, their handlers and what can be told of them without running one.

pub mod syntax;
