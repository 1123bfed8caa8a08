//! Keys of any type, databases as a whole, and walking them: the rows and the handlers below.

use super::spec::Spec;

/// The rows.
pub const ROWS: &[Spec] = &[];
