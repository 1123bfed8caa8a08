//! COMMAND and its subcommands: what the rows say, over the wire: the rows and the handlers below.

use super::spec::Spec;

/// The rows.
pub const ROWS: &[Spec] = &[];
