//! The server as a whole: TIME, SHUTDOWN, ABORT, LOLWUT: the rows and the handlers below.

use super::spec::Spec;

/// The rows.
pub const ROWS: &[Spec] = &[];
