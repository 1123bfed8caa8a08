//! MEMORY and its subcommands: the rows and the handlers below.

use super::spec::Spec;

/// The rows.
pub const ROWS: &[Spec] = &[];
